//! The requests of one HTTP/2 connection: how many there are, how they end, and that a client takes their answers.
//!
//! hyper runs each request as a future of its own, which it hands to an executor. The one here keeps all of them with their connection,
//! so that none outlives it, and times those whose client does not open its window: no socket shows that a stream stands still.
//!
//! Some clients lose an answer whose stream is reset while they still send, even with `NO_ERROR` (RFC 9113, section 8.1): curl before 8
//! does. So what nobody reads of a request is read here and discarded, within the bounds of [`linger`], and only what goes on beyond
//! them is reset.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Sleep, sleep};

use crate::server::linger::{self, LingerSettings};

/// What is handed to the connection at once. A client that takes one such piece has moved.
const PIECE: usize = 16 * 1024;

/// What is known of the requests of one connection. All of it happens on one thread; atomics and locks only have to satisfy `Send`.
#[derive(Debug)]
pub(super) struct Streams {
    began: Instant,
    open: AtomicUsize,
    requests: AtomicU64,
    /// When the last of them ended, in milliseconds after the beginning.
    last_end: AtomicU64,
    /// How many more a client may give up.
    credit: AtomicUsize,
    most_credit: usize,
    /// Requests that hyper was told to answer, and whose futures it has not handed over yet.
    announced: Mutex<VecDeque<Arc<Stream>>>,
    /// What runs for them, for as long as the connection lives.
    tasks: Mutex<JoinSet<()>>,
    linger: LingerSettings,
}

/// One request.
#[derive(Debug)]
pub(super) struct Stream {
    of: Arc<Streams>,
    /// Whether a piece of the answer waits for the client's window.
    waits: AtomicBool,
    /// Pieces handed over.
    pieces: AtomicU64,
    /// Whether it ended otherwise than by the client: whole, or broken by us.
    answered: AtomicBool,
    /// What becomes of the part of its body that nobody reads.
    rest: Mutex<Rest>,
}

/// See [`Stream::rest`].
#[derive(Debug)]
enum Rest {
    /// It is discarded, should there be one.
    Wanted,
    /// It is being discarded.
    Discarded(AbortHandle),
    /// The request was given up: its stream is to be reset at once.
    Unwanted,
}

impl Streams {
    /// `credit`: how many requests the client may give up, beyond as many as it lets end well.
    pub(super) fn new(credit: usize, linger: LingerSettings) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            open: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            last_end: AtomicU64::new(0),
            credit: AtomicUsize::new(credit),
            most_credit: credit,
            announced: Mutex::default(),
            tasks: Mutex::default(),
            linger,
        })
    }

    /// A request has come; hyper hands over its future next.
    pub(super) fn announce(self: &Arc<Self>) -> Arc<Stream> {
        self.open.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        let stream = Arc::new(Stream {
            of: Arc::clone(self),
            waits: AtomicBool::new(false),
            pieces: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            rest: Mutex::new(Rest::Wanted),
        });
        lock(&self.announced).push_back(Arc::clone(&stream));
        stream
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Since when there is no request; `None` while there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.open.load(Relaxed) == 0).then(|| self.began + Duration::from_millis(self.last_end.load(Relaxed)))
    }

    /// Whether the client has given up more requests than it may.
    pub(super) fn is_abused(&self) -> bool {
        self.credit.load(Relaxed) == 0
    }

    fn ended(&self, answered: bool) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_end.store(since, Relaxed);
        self.open.fetch_sub(1, Relaxed);
        let credit = self.credit.load(Relaxed);
        let credit = if answered { (credit + 1).min(self.most_credit) } else { credit.saturating_sub(1) };
        // One that was used up stays so.
        if !self.is_abused() {
            self.credit.store(credit, Relaxed);
        }
    }
}

impl Stream {
    /// The answer has no body, or its body has ended, or broke for a reason that is not the client's.
    pub(super) fn answered(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Nobody reads any more of its body: the client may go on sending for a while, so that it reads the answer.
    pub(super) fn discard(&self, body: Incoming) {
        let mut rest = lock(&self.rest);
        if let (Rest::Wanted, Ok(runtime)) = (&*rest, Handle::try_current()) {
            let discarded = linger::discard_body(body, self.of.linger);
            *rest = Rest::Discarded(lock(&self.of.tasks).spawn_on(discarded, &runtime));
        }
    }

    /// The request is given up by us.
    fn give_up(&self) {
        if let Rest::Discarded(task) = std::mem::replace(&mut *lock(&self.rest), Rest::Unwanted) {
            task.abort();
        }
    }
}

/// Runs the requests of a connection for as long as it lives.
#[derive(Clone)]
pub(super) struct Requests {
    streams: Arc<Streams>,
    write_timeout: Duration,
}

impl Requests {
    pub(super) fn new(streams: Arc<Streams>, write_timeout: Duration) -> Self {
        Self { streams, write_timeout }
    }

    /// Ends all of them when it is dropped.
    pub(super) fn guard(&self) -> Guard {
        Guard(Arc::clone(&self.streams))
    }
}

impl<F> Executor<F> for Requests
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let stream = lock(&self.streams.announced).pop_front();
        let mut tasks = lock(&self.streams.tasks);
        while tasks.try_join_next().is_some() {}
        match stream {
            Some(stream) => {
                let write_timeout = self.write_timeout;
                tasks.spawn(Request { future, stream: Open(stream), write_timeout, stalled: None, seen: 0 });
            }
            // Nothing that hyper runs besides; it must not be lost all the same.
            None => drop(tasks.spawn(future)),
        }
    }
}

/// See [`Requests::guard`].
pub(super) struct Guard(Arc<Streams>);

impl Drop for Guard {
    fn drop(&mut self) {
        lock(&self.0.tasks).abort_all();
    }
}

/// A request that counts as open.
struct Open(Arc<Stream>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.of.ended(self.0.answered.load(Relaxed));
    }
}

pin_project_lite::pin_project! {
    /// hyper's future of a request, dropped when the client takes nothing of its answer for too long: the stream is reset then.
    struct Request<F> {
        #[pin]
        future: F,
        stream: Open,
        write_timeout: Duration,
        stalled: Option<Pin<Box<Sleep>>>,
        seen: u64,
    }
}

impl<F: Future<Output = ()>> Future for Request<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.future.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let stream = &this.stream.0;
        if !stream.waits.load(Relaxed) {
            *this.stalled = None;
            return Poll::Pending;
        }
        let pieces = stream.pieces.load(Relaxed);
        if *this.seen != pieces {
            *this.seen = pieces;
            *this.stalled = None;
        }
        let limit = *this.write_timeout;
        let stalled = this.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        if stalled.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        tracing::debug!("a client takes nothing of an answer; its stream is reset");
        stream.give_up();
        Poll::Ready(())
    }
}

pin_project_lite::pin_project! {
    /// The body of an answer, in pieces, watched.
    pub(super) struct StreamBody<B> {
        #[pin]
        inner: Option<B>,
        // What was not handed over yet of the last piece.
        rest: Bytes,
        stream: Arc<Stream>,
    }
}

impl<B: Body<Data = Bytes>> StreamBody<B> {
    /// `None`: there is none.
    pub(super) fn new(inner: Option<B>, stream: Arc<Stream>) -> Self {
        let body = Self { inner, rest: Bytes::new(), stream };
        if body.is_end_stream() {
            body.stream.answered();
        }
        body
    }
}

impl<B: Body<Data = Bytes>> Body for StreamBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        this.stream.waits.store(false, Relaxed);
        let Some(mut inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
        if this.rest.is_empty() {
            match inner.as_mut().poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => *this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                Poll::Ready(end) => {
                    this.stream.answered();
                    return Poll::Ready(end);
                }
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        if this.rest.is_empty() && inner.is_end_stream() {
            this.stream.answered();
        } else {
            this.stream.pieces.fetch_add(1, Relaxed);
            this.stream.waits.store(true, Relaxed);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let Some(inner) = &self.inner else { return SizeHint::with_exact(0) };
        let (mut hint, rest) = (inner.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
