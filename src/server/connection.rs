//! One client connection: HTTP/1.1 over a socket, from accept to an orderly end.
//!
//! What is answered is the service's part, given from outside. Nothing here looks into requests, beyond what is needed to time them.

mod activity;
mod socket;

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tower_service::Service;

use super::entrance::EntranceSettings;
use super::linger::{self, LingerSettings};
use super::shutdown::ShutdownWatch;
use super::stream::{PeerAddr, Stream};
use crate::metrics::{Metrics, Protocol};
use activity::{Activity, HeadTimer};
pub(crate) use socket::Socket;

/// hyper keeps header slots on the stack up to this number, and allocates for any other.
const DEFAULT_MAX_HEADERS: usize = 100;

/// The most that hyper buffers of a connection in each direction. Its own default of 400 KiB is more than a fast transfer needs.
const MAX_BUFFER: usize = 128 * 1024;

/// What a client hears that began a request head and did not end it in time (RFC 9110, 15.5.9).
const HEAD_TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Limits of every connection.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// From the first byte of a request head (on a new connection: from accept) to its end.
    pub header_timeout: Duration,
    /// How long a kept-alive connection may be silent between two requests.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of a response that is waiting for it.
    pub write_timeout: Duration,
    /// Header lines of one request; more are answered with 431.
    pub max_headers: usize,
    /// Bytes of one request head; more are answered with 431.
    pub max_header_size: usize,
    /// How a connection is closed while the client may be sending.
    pub linger: LingerSettings,
    /// Where connections are counted; none for those that nobody counts.
    pub metrics: Option<Metrics>,
    /// Who may come.
    pub entrance: EntranceSettings,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            max_headers: DEFAULT_MAX_HEADERS,
            max_header_size: 64 * 1024,
            linger: LingerSettings::default(),
            metrics: None,
            entrance: EntranceSettings::default(),
        }
    }
}

/// The settings of connections to come, which can be changed while others are open. Clones are the same settings.
#[derive(Clone, Debug)]
pub struct LiveSettings(Arc<ArcSwap<ConnectionSettings>>);

impl LiveSettings {
    /// What a connection that begins now gets.
    pub(crate) fn now(&self) -> Arc<ConnectionSettings> {
        self.0.load_full()
    }

    /// Changes them for connections that begin from now on.
    pub fn set(&self, settings: ConnectionSettings) {
        self.0.store(Arc::new(settings));
    }
}

impl From<ConnectionSettings> for LiveSettings {
    fn from(settings: ConnectionSettings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }
}

/// Where a connection comes from, for the service that answers it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionInfo {
    /// The client's end.
    pub peer: PeerAddr,
    /// Our end: the address that the client connected to; none where that was a unix socket.
    pub local: Option<SocketAddr>,
    /// Which of the configured addresses accepted it, by position.
    pub listener: usize,
    /// Which worker serves it, by position.
    pub worker: usize,
}

/// Serves a connection until it ends, and closes it so that the client can read the last answer.
///
/// While the gateway leaves, the next answer says that it is the last. A drain closes it at once when it is idle, else after the
/// current request. A cut drops it; a response that is under way is then reset, never ended as if it were whole.
pub async fn serve<S, B>(stream: Stream, service: S, settings: Arc<ConnectionSettings>, mut shutdown: ShutdownWatch)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut cut = shutdown.clone();
    tokio::select! {
        () = cut.cut() => {}
        () = serve_to_the_end(stream, service, &settings, &mut shutdown) => {}
    }
}

async fn serve_to_the_end<S, B>(stream: Stream, service: S, settings: &ConnectionSettings, shutdown: &mut ShutdownWatch)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    settings.metrics.as_ref().inspect(|metrics| metrics.protocol(Protocol::Http1));
    let activity = Arc::new(Activity::default());
    let socket = Socket::new(stream, Arc::clone(&activity), settings.write_timeout);
    let service = LastAnswers { inner: TowerToHyperService::new(service), activity: Arc::clone(&activity) };
    let mut connection = http1(settings, &activity).serve_connection(TokioIo::new(socket), service);

    let result = {
        let mut told_to_end = pin!(async {
            shutdown.leaving().await;
            activity.drain();
            shutdown.draining().await;
            // One turn for the runtime to hear of what the kernel holds already: those requests deserve their answers.
            tokio::task::yield_now().await;
        });
        let (mut ending, mut told) = (false, false);
        poll_fn(|cx| {
            ending = ending || told_to_end.as_mut().poll(cx).is_ready();
            let outcome = Pin::new(&mut connection).poll(cx);
            if outcome.is_ready() || told || !ending || activity.is_within_head() {
                return outcome;
            }
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
            Pin::new(&mut connection).poll(cx)
        })
        .await
    };

    let end = End::of(&result, &activity);
    if let Err(error) = &result {
        tracing::debug!(%error, ?end, "connection ended early");
    }
    let mut socket = connection.into_parts().io.into_inner();
    match end {
        End::Idle => socket.finished(),
        End::Answered => linger::close(socket, settings.linger).await,
        End::SlowHead => {
            socket.last_word(HEAD_TOO_SLOW);
            linger::close(socket, settings.linger).await;
        }
        End::Broken => {}
    }
}

fn http1(settings: &ConnectionSettings, activity: &Arc<Activity>) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(HeadTimer::new(Arc::clone(activity), settings.header_timeout, settings.idle_timeout))
        // Only that there is a time-out: how long it is, the timer decides.
        .header_read_timeout(settings.idle_timeout)
        // A client that ends its side has given up: that is how an abandoned request is noticed.
        .half_close(false)
        .max_header_size(settings.max_header_size)
        .max_buf_size(MAX_BUFFER.max(settings.max_header_size));
    if settings.max_headers != DEFAULT_MAX_HEADERS {
        http.max_headers(settings.max_headers);
    }
    http
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Between requests: there is nothing that the client would miss.
    Idle,
    /// With an answer, to a request or to something that was none.
    Answered,
    /// A request head took too long.
    SlowHead,
    /// Within a request or a response.
    Broken,
}

impl End {
    fn of(result: &hyper::Result<()>, activity: &Activity) -> Self {
        match result {
            Ok(()) if activity.is_idle() => Self::Idle,
            Ok(()) => Self::Answered,
            Err(error) if error.is_timeout() && activity.is_within_head() => Self::SlowHead,
            Err(error) if error.is_timeout() && activity.is_idle() => Self::Idle,
            // hyper has answered these with a 4xx of its own.
            Err(error) if error.is_parse() => Self::Answered,
            Err(_) => Self::Broken,
        }
    }
}

/// The service as hyper calls it; while the gateway drains, each answer says that it is the last.
///
/// hyper does so itself for requests that it knew before it was told, but not for one that comes with the telling.
#[derive(Clone)]
struct LastAnswers<S> {
    inner: TowerToHyperService<S>,
    activity: Arc<Activity>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for LastAnswers<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = LastAnswer<<TowerToHyperService<S> as hyper::service::Service<Request<Incoming>>>::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        LastAnswer { inner: self.inner.call(request), activity: Arc::clone(&self.activity) }
    }
}

pin_project_lite::pin_project! {
    struct LastAnswer<F> {
        #[pin]
        inner: F,
        activity: Arc<Activity>,
    }
}

impl<F, B> Future for LastAnswer<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if this.activity.is_draining() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod ending_tests;
#[cfg(test)]
mod framing_tests;
#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod tests;
