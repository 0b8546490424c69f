//! HTTP/2 on an open connection (RFC 9113).
//!
//! What a request may be is settled by the protocol's implementation; here is what bounds a client that speaks it correctly and means
//! no good, and when the connection ends.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::time::{Instant, sleep, sleep_until};
use tower_service::Service;

use super::activity::Activity;
use super::channel::Channel;
use super::streams::{Requests, Stream, StreamBody, Streams};
use super::{ConnectionSettings, End, Inbound};
use crate::server::shutdown::ShutdownWatch;

/// What a client may send of one request's body before somebody takes it. What hyper and Go take too: enough for 10 MB/s over 100 ms.
const STREAM_WINDOW: u32 = 1 << 20;

/// The same of all requests of a connection: one that stands still does not hold up the others.
const CONNECTION_WINDOW: u32 = 2 << 20;

/// What is kept of one answer until the client takes it.
const SEND_BUFFER: usize = 64 << 10;

/// How many requests a client may take back before they were looked at (the "rapid reset" of CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// How many times a client may make us reset a request by what it sends.
const LOCAL_RESETS: usize = 100;

/// How often a client is asked whether it is still there, and how long its answer may take.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// Limits of a connection that speaks HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct Http2Settings {
    /// Requests at once; a client that begins more has them refused.
    pub streams: u32,
    /// How many requests a client may give up, beyond as many as it lets end well, before its connection is closed.
    pub resets: usize,
}

impl Default for Http2Settings {
    fn default() -> Self {
        Self { streams: 100, resets: 100 }
    }
}

/// Answers requests until there are no more to come. The first must have come by `first_head`.
pub(super) async fn serve<S, B>(
    channel: &mut Channel,
    service: S,
    settings: &ConnectionSettings,
    limits: &Http2Settings,
    first_head: Instant,
    shutdown: &mut ShutdownWatch,
) -> End
where
    S: Service<Request<Inbound>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let streams = Streams::new(limits.resets, settings.linger);
    let requests = Requests::new(Arc::clone(&streams), settings.write_timeout);
    let _all_end_with_the_connection = requests.guard();
    let service = Streamed {
        inner: TowerToHyperService::new(service),
        streams: Arc::clone(&streams),
        max_headers: settings.max_headers,
    };
    let activity = Arc::clone(channel.activity());
    let mut connection = builder(requests, settings, limits).serve_connection(TokioIo::new(&mut *channel), service);
    let mut farewell = pin!(farewell(&streams, &activity, settings, first_head, shutdown));
    let mut told: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
    let outcome = poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(Outcome::Ended(result));
        }
        if streams.is_abused() {
            return Poll::Ready(Outcome::Abused);
        }
        let patience = match &mut told {
            Some(patience) => patience,
            None if is_enough(&streams, &activity, settings) || farewell.as_mut().poll(cx).is_ready() => {
                Pin::new(&mut connection).graceful_shutdown();
                if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                    return Poll::Ready(Outcome::Ended(result));
                }
                told.insert(Box::pin(ignored(&streams, &activity, settings.linger.quiet)))
            }
            None => return Poll::Pending,
        };
        patience.as_mut().poll(cx).map(|()| Outcome::Ignored)
    })
    .await;
    drop(connection);
    outcome.end(channel)
}

fn builder(requests: Requests, settings: &ConnectionSettings, limits: &Http2Settings) -> http2::Builder<Requests> {
    let mut http = http2::Builder::new(requests);
    http.timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        // Bounds the number of CONTINUATION frames too.
        .max_header_list_size(u32::try_from(settings.max_header_size).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS);
    http
}

/// Whether there were as many requests as there may be: while the gateway leaves, that is one.
fn is_enough(streams: &Streams, activity: &Activity, settings: &ConnectionSettings) -> bool {
    let requests = streams.requests();
    activity.is_draining() && requests > 0
        || settings.requests_per_connection.is_some_and(|most| requests >= most.get())
}

/// Returns when the client is to be told that no more requests are taken: the gateway ends, or there were none for too long.
async fn farewell(
    streams: &Streams,
    activity: &Activity,
    settings: &ConnectionSettings,
    first_head: Instant,
    shutdown: &mut ShutdownWatch,
) {
    let told_to_end = async {
        shutdown.leaving().await;
        activity.drain();
        shutdown.draining().await;
        // One turn for the runtime to hear of what the kernel holds already: those requests deserve their answers.
        tokio::task::yield_now().await;
    };
    tokio::select! {
        () = told_to_end => {}
        () = silence(streams, first_head, settings.idle_timeout) => {}
    }
}

/// Returns when there was no request for so long, or none at all by `first_head`.
async fn silence(streams: &Streams, first_head: Instant, limit: Duration) {
    loop {
        let now = Instant::now();
        let end = match streams.idle_since() {
            _ if streams.requests() == 0 => first_head,
            Some(since) => since + limit,
            None => now + limit,
        };
        if end <= now {
            return;
        }
        sleep_until(end.min(now + limit)).await;
    }
}

/// Returns when a client that was told of the end has let this time go by: no request is open, and nothing moves.
async fn ignored(streams: &Streams, activity: &Activity, limit: Duration) {
    loop {
        activity.has_moved();
        sleep(limit).await;
        if streams.idle_since().is_some() && !activity.has_moved() {
            return;
        }
    }
}

/// How the implementation of the protocol was done with a connection.
#[derive(Debug)]
enum Outcome {
    /// It ended by itself.
    Ended(hyper::Result<()>),
    /// The client gave up too many of its requests.
    Abused,
    /// The client was told that this is the end, and did not end.
    Ignored,
}

impl Outcome {
    fn end(&self, channel: &Channel) -> End {
        match self {
            Self::Ended(Ok(())) => End::Answered,
            Self::Ended(Err(error)) => {
                tracing::debug!(%error, "an HTTP/2 connection ended early");
                // Where the client broke the protocol it was told so.
                if channel.has_failed() { End::Broken } else { End::Faulted }
            }
            Self::Abused => {
                tracing::debug!("a client gives up too many of its requests; its connection is cut");
                End::Broken
            }
            Self::Ignored => End::Broken,
        }
    }
}

/// The service as hyper calls it, with what HTTP/1.1 does by itself: a bound on header lines, and no body behind the answer to HEAD.
#[derive(Clone)]
struct Streamed<S> {
    inner: TowerToHyperService<S>,
    streams: Arc<Streams>,
    max_headers: usize,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Streamed<S>
where
    S: Service<Request<Inbound>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes>,
{
    type Response = Response<StreamBody<B>>;
    type Error = Infallible;
    type Future = Answer<<TowerToHyperService<S> as hyper::service::Service<Request<Inbound>>>::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let stream = self.streams.announce();
        let is_head = *request.method() == Method::HEAD;
        let request = request.map(|body| Inbound::of(body, Arc::clone(&stream)));
        let fits = request.headers().len() <= self.max_headers;
        Answer { inner: fits.then(|| self.inner.call(request)), is_head, stream }
    }
}

pin_project_lite::pin_project! {
    struct Answer<F> {
        #[pin]
        inner: Option<F>,
        is_head: bool,
        stream: Arc<Stream>,
    }
}

impl<F, B> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<StreamBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let stream = Arc::clone(this.stream);
        let Some(inner) = this.inner.as_pin_mut() else {
            let mut refusal = Response::new(StreamBody::new(None, stream));
            *refusal.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Poll::Ready(Ok(refusal));
        };
        let (mut head, body) = ready!(inner.poll(cx))?.into_parts();
        // Only HTTP/1.1 says it so.
        head.headers.remove(CONNECTION);
        if !*this.is_head {
            return Poll::Ready(Ok(Response::from_parts(head, StreamBody::new(Some(body), stream))));
        }
        if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        Poll::Ready(Ok(Response::from_parts(head, StreamBody::new(None, stream))))
    }
}
