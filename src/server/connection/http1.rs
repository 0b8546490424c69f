//! HTTP/1.1 on an open connection.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::num::NonZeroU64;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use super::activity::{Activity, FirstHead, HeadTimer};
use super::channel::Channel;
use super::{ConnectionSettings, DEFAULT_MAX_HEADERS, End, Inbound};
use crate::server::shutdown::ShutdownWatch;

/// The most that hyper asks for at once. It may get twice as much: what is read at once of an upload is what costs least, but memory
/// too, for each client of an upstream that takes nothing.
const MAX_BUFFER: usize = 256 * 1024;

/// Answers requests until there are no more to come. The head of the first must have come by `first_head`.
///
/// A connection that is idle for a while is parked: all that is kept of it is the socket, until there is something to read. Its service
/// is then made anew.
pub(super) async fn serve<S, B>(
    channel: &mut Channel,
    make_service: impl Fn() -> S,
    settings: &ConnectionSettings,
    first_head: Instant,
    shutdown: &mut ShutdownWatch,
) -> End
where
    S: Service<Request<Inbound>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let activity = Arc::clone(channel.activity());
    let mut told_to_end = pin!(async {
        shutdown.leaving().await;
        activity.drain();
        shutdown.draining().await;
        // One turn for the runtime to hear of what the kernel holds already: those requests deserve their answers.
        tokio::task::yield_now().await;
    });
    let mut ending = false;
    let mut head = FirstHead::Due(first_head);
    loop {
        let service = LastAnswers {
            inner: TowerToHyperService::new(make_service()),
            activity: Arc::clone(&activity),
            most: settings.requests_per_connection,
        };
        let timer = HeadTimer::new(&activity, head, settings);
        // Of its own, so that nothing of it is left while the connection is parked.
        let turn =
            Box::pin(turn(channel, service, http1(settings, timer), &activity, &mut ending, told_to_end.as_mut()));
        let idle_until = match turn.await {
            Turn::Ended(end) => return end,
            Turn::Parked(idle_until) => idle_until,
        };
        tokio::select! {
            biased;
            // Whatever it is, it is read where requests are.
            _ = channel.readable() => {}
            () = told_to_end.as_mut(), if !ending => ending = true,
            () = sleep_until(idle_until) => return End::Idle,
        }
        head = FirstHead::Idle(idle_until);
    }
}

/// What became of a connection.
enum Turn {
    Ended(End),
    /// It is idle, and nothing is lost by forgetting all but the socket; it may stay so until then.
    Parked(Instant),
}

/// Serves it until it ends, or is worth parking.
async fn turn<S, B>(
    channel: &mut Channel,
    service: LastAnswers<S>,
    http: http1::Builder,
    activity: &Activity,
    ending: &mut bool,
    mut told_to_end: Pin<&mut impl Future<Output = ()>>,
) -> Turn
where
    S: Service<Request<Inbound>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connection = http.serve_connection(TokioIo::new(channel), service);
    let mut told = false;
    let result = poll_fn(|cx| {
        *ending = *ending || told_to_end.as_mut().poll(cx).is_ready();
        let outcome = Pin::new(&mut connection).poll(cx);
        if outcome.is_ready() {
            return outcome.map(Some);
        }
        if *ending && !told && !activity.is_within_head() {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
            return Pin::new(&mut connection).poll(cx).map(Some);
        }
        if activity.parking_until().is_some() && !*ending { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;

    let Some(result) = result else {
        let idle_until = activity.parking_until();
        let parts = connection.into_parts();
        parts.io.into_inner().unread(&parts.read_buf);
        return Turn::Parked(idle_until.unwrap_or_else(Instant::now));
    };
    let end = end_of(&result, activity);
    if let Err(error) = &result {
        tracing::debug!(%error, ?end, "connection ended early");
    }
    Turn::Ended(end)
}

fn http1(settings: &ConnectionSettings, timer: HeadTimer) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(timer)
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

fn end_of(result: &hyper::Result<()>, activity: &Activity) -> End {
    match result {
        Ok(()) if activity.is_idle() => End::Idle,
        Ok(()) => End::Answered,
        Err(error) if error.is_timeout() && activity.is_within_head() => End::SlowHead,
        Err(error) if error.is_timeout() && activity.is_idle() => End::Idle,
        // hyper has answered these with a 4xx of its own.
        Err(error) if error.is_parse() => End::Answered,
        Err(_) => End::Broken,
    }
}

/// The service as hyper calls it; while the gateway drains, each answer says that it is the last, and so does that to the last request
/// of a connection that may have only so many.
///
/// hyper does so itself for requests that it knew before it was told, but not for one that comes with the telling.
#[derive(Clone)]
struct LastAnswers<S> {
    inner: TowerToHyperService<S>,
    activity: Arc<Activity>,
    most: Option<NonZeroU64>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for LastAnswers<S>
where
    S: Service<Request<Inbound>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = LastAnswer<<TowerToHyperService<S> as hyper::service::Service<Request<Inbound>>>::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let last = self.most.is_some_and(|most| self.activity.count_request() >= most.get());
        LastAnswer { inner: self.inner.call(request.map(Inbound::plain)), activity: Arc::clone(&self.activity), last }
    }
}

pin_project_lite::pin_project! {
    struct LastAnswer<F> {
        #[pin]
        inner: F,
        activity: Arc<Activity>,
        last: bool,
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
        if *this.last || this.activity.is_draining() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}
