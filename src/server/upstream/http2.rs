//! Connections that speak HTTP/2, shared by many requests of one worker to one address.
//!
//! The same holds as over HTTP/1.1: a request that is given up or breaks off is reset, never ended, and an answer that comes before the
//! request is whole is read.

use std::convert::Infallible;
use std::error::Error as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::io::SurvivingWrites;
use super::link::{Exchange, Link};
use super::socket::Socket;
use crate::server::alarm::Alarm;
use crate::server::body::{BodyError, RequestBody};

/// Most requests at once over one connection; beyond that there is another. The peer may allow fewer.
const STREAMS: usize = 100;
/// How much of an answer may be on its way to a client that does not read it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all requests of a connection together: none of them can hold up the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 100;
/// The longest head of an answer.
const HEADERS: u32 = 64 * 1024;
/// After that long without a word while there are requests, the peer is asked whether it is there; and how long it may think about it.
const PING: Duration = Duration::from_secs(20);

/// The connections of one worker.
#[derive(Debug, Default)]
pub(super) struct Shared {
    open: Mutex<Vec<Arc<Connection>>>,
    /// One connects, the others wait for it.
    pub(super) connecting: tokio::sync::Mutex<()>,
}

impl Shared {
    /// A stream of a connection that has room for it.
    pub(super) fn take(&self) -> Option<Link> {
        let mut open = self.lock();
        open.retain(|connection| !connection.is_over());
        let connection = open.iter().find(|connection| connection.has_room())?;
        Some(Link::Http2(Stream::new(Arc::clone(connection))))
    }

    /// Shares a connection from now on, for as long as it is not idle for longer than `idle`.
    pub(super) fn add(&self, connection: &Arc<Connection>, idle: Duration) {
        self.lock().push(Arc::clone(connection));
        tokio::spawn(reap(Arc::downgrade(connection), idle));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a connection when it has been idle for too long. The list lets go of it when it next looks.
async fn reap(connection: Weak<Connection>, idle: Duration) {
    loop {
        let Some(next) = connection.upgrade().and_then(|connection| connection.idle_until(idle)) else { return };
        tokio::time::sleep_until(next).await;
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Cancellable>,
    driver: AbortHandle,
    scheme: Scheme,
    /// Whom requests are for whose Host cannot be told in HTTP/2.
    authority: Authority,
    streams: AtomicUsize,
    /// How many the peer allows.
    allowed: Arc<AtomicUsize>,
    /// Whether the peer has turned a request away.
    retired: AtomicBool,
    /// When the last stream ended.
    idle_since: Mutex<Instant>,
}

impl Connection {
    /// Opens the protocol over a connected socket.
    pub(super) async fn open(socket: Socket, authority: &str) -> std::io::Result<Arc<Self>> {
        let scheme = if matches!(socket, Socket::Tls(_)) { Scheme::HTTPS } else { Scheme::HTTP };
        let authority = authority.parse().unwrap_or_else(|_| Authority::from_static("localhost"));
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADERS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .handshake(TokioIo::new(SurvivingWrites::new(socket)))
            .await
            .map_err(std::io::Error::other)?;
        let allowed = Arc::new(AtomicUsize::new(STREAMS));
        let told = Arc::clone(&allowed);
        let driver = async move {
            let mut connection = std::pin::pin!(connection);
            std::future::poll_fn(|context| {
                told.store(connection.current_max_send_streams(), Ordering::Relaxed);
                // How a connection ends is seen by the requests that use it, or by nobody.
                connection.as_mut().poll(context).map(drop)
            })
            .await;
        };
        let driver = tokio::spawn(driver).abort_handle();
        Ok(Arc::new(Self {
            sender,
            driver,
            scheme,
            authority,
            streams: AtomicUsize::new(0),
            allowed,
            retired: AtomicBool::new(false),
            idle_since: Mutex::new(Instant::now()),
        }))
    }

    /// Whether it takes no more requests.
    fn is_over(&self) -> bool {
        self.sender.is_closed() || self.retired.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        let allowed = self.allowed.load(Ordering::Relaxed).clamp(1, STREAMS);
        self.streams.load(Ordering::Relaxed) < allowed
    }

    /// When to look again; none when it is over, or closed because it was idle for too long.
    fn idle_until(&self, idle: Duration) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let now = Instant::now();
        if self.streams.load(Ordering::Relaxed) > 0 {
            return Some(now + idle);
        }
        let end = *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner) + idle;
        if end > now {
            return Some(end);
        }
        self.driver.abort();
        None
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Room for one request. Dropped before the request has been sent whole, it resets it.
#[derive(Debug)]
pub(super) struct Stream {
    connection: Arc<Connection>,
    /// Breaks the body off when it is dropped.
    cancel: Option<oneshot::Sender<Infallible>>,
    alarm: Alarm,
}

impl Stream {
    /// The timer of whatever is awaited over it.
    pub(super) fn alarm(&mut self) -> &mut Alarm {
        &mut self.alarm
    }

    /// Of a connection.
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        connection.streams.fetch_add(1, Ordering::Relaxed);
        Self { connection, cancel: None, alarm: Alarm::default() }
    }

    /// Sends one request and waits for the head of its response.
    pub(super) async fn exchange(mut self, request: Box<Request<RequestBody>>) -> Exchange {
        let again = request.body().is_end_stream().then(|| Box::new(copy(&request)));
        let (mut head, body) = (*request).into_parts();
        let (path, host) = (std::mem::take(&mut head.uri), head.headers.remove(HOST));
        head.uri = absolute(&path, host.as_ref(), &self.connection);
        head.version = Version::HTTP_2;
        let (body, cancel) = Cancellable::new(body);
        self.cancel = cancel;
        let mut sender = self.connection.sender.clone();
        let mut failed = match sender.try_send_request(Request::from_parts(head, body)).await {
            Ok(response) => {
                return Exchange::Answered { response: response.map(Some), link: Link::Http2(self), again };
            }
            Err(failed) => failed,
        };
        let unsent = failed.take_message();
        let error = failed.into_error();
        if unsent.is_some() || is_unprocessed(&error) {
            self.connection.retired.store(true, Ordering::Relaxed);
        }
        let Some(request) = unsent else { return Exchange::Unanswered { error: error.into(), again } };
        let (mut head, body) = request.into_parts();
        head.uri = path;
        head.version = Version::HTTP_11;
        if let Some(host) = host {
            head.headers.insert(HOST, host);
        }
        Exchange::Unsent(Box::new(Request::from_parts(head, body.inner)))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // First the time, so that nobody sees an idle connection with the time of an earlier one.
        *self.connection.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.connection.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request without a body, to be sent once more.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty(Arc::clone(request.body().progress())));
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}

/// The URI as HTTP/2 takes it apart: the Host of the request becomes `:authority`.
fn absolute(path: &Uri, host: Option<&HeaderValue>, connection: &Connection) -> Uri {
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = path.clone().into_parts();
    parts.scheme = Some(connection.scheme.clone());
    parts.authority = Some(authority.unwrap_or_else(|| connection.authority.clone()));
    Uri::from_parts(parts).unwrap_or_else(|_| path.clone())
}

/// Whether the peer says that it has not looked at the request, so that it may be sent again whatever it does: it refused the stream, or
/// was about to close the connection (RFC 9113, section 8.7).
pub(super) fn is_unprocessed(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote()
                && (refused || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR));
        }
        source = error.source();
    }
    false
}

/// A body that breaks off as soon as nobody waits for it any more: the library goes on to send it when the head of the answer has come.
#[derive(Debug)]
struct Cancellable {
    inner: RequestBody,
    cancelled: Option<oneshot::Receiver<Infallible>>,
}

impl Cancellable {
    fn new(inner: RequestBody) -> (Self, Option<oneshot::Sender<Infallible>>) {
        if inner.is_end_stream() {
            return (Self { inner, cancelled: None }, None);
        }
        let (sender, receiver) = oneshot::channel();
        (Self { inner, cancelled: Some(receiver) }, Some(sender))
    }
}

impl Body for Cancellable {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(cancelled) = &mut this.cancelled
            && Pin::new(cancelled).poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(BodyError::GivenUp)));
        }
        Pin::new(&mut this.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
