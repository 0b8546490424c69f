//! One upstream: which of its addresses gets a request, time-outs, and when a request may be sent twice.
//!
//! What is sent is decided elsewhere; here it only travels.

mod balance;
mod body;
mod bound;
mod budget;
mod connect;
mod endpoint;
mod endpoints;
mod error;
mod health;
mod http1;
mod http2;
mod io;
mod link;
mod once;
mod own;
mod pool;
mod probe;
mod settings;
mod socket;
#[cfg(test)]
mod tests;
mod tls;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use balance::Tried;
pub use body::UpstreamBody;
pub use bound::BoundSettings;
use bound::{Bound, NotIn};
pub(crate) use bound::{CallerKey, Permit};
use budget::Budget;
pub(crate) use connect::Connector;
use endpoint::{Endpoint, UnderWay};
use endpoints::Endpoints;
pub(super) use error::LinkError;
pub use error::{At, UpstreamError};
pub use http1::{ReadError, ResponseReader};
use link::{Exchange, Link};
pub(crate) use once::once;
pub use probe::keep_probing;
pub use settings::{Address, HealthSettings, IdentityFiles, RetrySettings, TlsSettings, UpstreamSettings};
pub(crate) use tls::Tls;
pub use tls::UpstreamTlsError;

use super::alarm::Alarm;
use super::body::RequestBody;
use super::progress::{Progress, Stage};
use crate::metrics::{self, Retry};

/// Most addresses that one request is sent to.
const ATTEMPTS: u32 = 3;

/// An upstream with its addresses.
#[derive(Debug)]
pub struct Upstream {
    settings: UpstreamSettings,
    endpoints: Endpoints,
    tls: Option<Arc<Tls>>,
    budget: Option<Arc<Budget>>,
    bound: Option<Arc<Bound>>,
}

impl Upstream {
    /// Prepares an upstream, and reads the files of its `tls`; nothing is connected yet.
    pub fn new(settings: UpstreamSettings, workers: usize) -> Result<Arc<Self>, UpstreamTlsError> {
        Self::build(settings, workers, None)
    }

    /// Prepares an upstream that takes the place of another one of its name. Of that it keeps what its settings leave as it was: the
    /// connections and the health of an address, whose turn it is, the budget of retries. The files of `tls` are read again.
    pub fn succeed(before: &Self, settings: UpstreamSettings, workers: usize) -> Result<Arc<Self>, UpstreamTlsError> {
        Self::build(settings, workers, Some(before))
    }

    fn build(settings: UpstreamSettings, workers: usize, before: Option<&Self>) -> Result<Arc<Self>, UpstreamTlsError> {
        let alike = before.filter(|before| before.settings.reaches_like(&settings));
        let tls = match (&settings.tls, alike.and_then(|before| before.tls.as_ref())) {
            (None, _) => None,
            (Some(_), Some(tls)) => {
                tls.reload()?;
                Some(Arc::clone(tls))
            }
            (Some(tls), None) => Some(Arc::new(Tls::load(tls, settings.http2)?)),
        };
        let endpoints = settings.addresses.iter().map(|address| {
            let kept = alike.and_then(|before| before.endpoints.at(address));
            kept.unwrap_or_else(|| Endpoint::new(&settings, address, tls.as_ref(), workers))
        });
        let endpoints = Endpoints::new(endpoints);
        let budget = settings.retries.map(|retries| {
            let kept = before.filter(|before| before.settings.retries == Some(retries));
            let kept = kept.and_then(|before| before.budget.clone());
            kept.unwrap_or_else(|| Arc::new(Budget::new(retries, Instant::now())))
        });
        let bound = settings.bound.map(|bound| {
            let kept = before.filter(|before| before.settings.bound == Some(bound));
            kept.and_then(|before| before.bound.clone()).unwrap_or_else(|| Bound::new(bound))
        });
        Ok(Arc::new(Self { settings, endpoints, tls, budget, bound }))
    }

    /// Its settings.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// Reads the files of its `tls` again, which otherwise happens a little after they change. What is wrong with them leaves the old ones
    /// in place; connections that are open stay as they are.
    pub fn reload_tls(&self) -> Result<(), UpstreamTlsError> {
        self.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    /// Waits until the upstream may get another request; none where there is no bound. What is returned goes with the request.
    pub(crate) async fn enter(&self, who: impl FnOnce() -> CallerKey) -> Result<Option<Permit>, UpstreamError> {
        let Some(bound) = &self.bound else { return Ok(None) };
        let waiting = self.settings.metrics.waits();
        let entered = Box::pin(bound.enter(who())).await;
        drop(waiting);
        let entered = entered.map_err(|why| {
            let (name, BoundSettings { at_once, queue, timeout }) = (Arc::clone(&self.settings.name), bound.settings());
            match why {
                NotIn::Full => UpstreamError::QueueFull { name, at_once, queue },
                NotIn::TooLong => UpstreamError::QueueTimeout { name, at_once, limit: timeout },
            }
        });
        entered.map(Some)
    }

    /// Sends a request and waits for the head of the response; the body streams. The permit is held until the response has been read
    /// to its end, or given up.
    ///
    /// Where there are several addresses, another one gets what the first did not take: any request of which nothing was written, and
    /// GET and HEAD also when they were not answered, or by a gateway that could not; as often as the budget allows.
    pub(crate) async fn send(
        &self,
        worker: usize,
        request: Box<Request<RequestBody>>,
        permit: Option<Permit>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let progress = Arc::clone(request.body().progress());
        let several = self.endpoints.are_several();
        if let Some(budget) = self.budget.as_ref().filter(|_| several) {
            budget.count();
        }
        let mut tried = Tried::default();
        let mut endpoint = self.endpoints.next(&mut tried).ok_or_else(|| self.nowhere())?;
        let mut request = Some(request);
        loop {
            let under_way = UnderWay::new(endpoint, worker);
            let outcome = self.attempt(endpoint, worker, &mut request, &progress).await;
            let failed = match &outcome {
                Ok((response, _)) => is_of_gateways(response.status()),
                Err(error) => error.is_of_upstream(),
            };
            if several && failed {
                endpoint.failed();
                if request.is_some()
                    && let Some(other) = self.another(&mut tried)
                {
                    self.settings.metrics.retried(why_again(&outcome));
                    endpoint = other;
                    continue;
                }
            } else if several && outcome.is_ok() {
                endpoint.answered();
            }
            let (response, link) = outcome?;
            let release = pool::Release::new(under_way, link, progress, permit);
            return Ok(response.map(|incoming| UpstreamBody::new(incoming, release, self.settings.body_idle_timeout)));
        }
    }

    /// Sends a request to one address: over a kept connection, and once more over a new one if that was stale. That is any request of
    /// which nothing was written, GET and HEAD also when the connection ended without an answer, and over HTTP/2 what the peer says it
    /// has not looked at.
    ///
    /// The request is there again afterwards where another address may get it: nothing of it was sent, or it does no harm twice.
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        worker: usize,
        request: &mut Option<Box<Request<RequestBody>>>,
        progress: &Arc<Progress>,
    ) -> Result<(Response<Option<Incoming>>, Link), UpstreamError> {
        let metrics = &self.settings.metrics;
        let is_safe = request.as_ref().is_some_and(|request| repeatable(request));
        if let Some(link) = endpoint.kept(worker, !is_safe).await {
            metrics.connected(metrics::Link::Kept);
            match self.exchange(endpoint, link, request, progress).await? {
                Exchange::Answered { response, link, again } => {
                    *request = again.filter(|request| repeatable(request));
                    return Ok((response, link));
                }
                Exchange::Unsent(unsent) => *request = Some(unsent),
                Exchange::Unanswered { error, again } => {
                    *request = again.filter(|request| repeatable(request) || error.is_unprocessed());
                    if request.is_none() {
                        return Err(broken(endpoint, error, progress));
                    }
                }
            }
            metrics.retried(Retry::Stale);
        }
        let link = Box::pin(endpoint.connect(worker)).await?;
        metrics.connected(metrics::Link::New);
        match self.exchange(endpoint, link, request, progress).await? {
            Exchange::Answered { response, link, again } => {
                *request = again.filter(|request| repeatable(request));
                Ok((response, link))
            }
            Exchange::Unsent(unsent) => {
                *request = Some(unsent);
                Err(endpoint.refused(std::io::ErrorKind::ConnectionReset.into()))
            }
            Exchange::Unanswered { error, again } => {
                *request = again.filter(|request| repeatable(request));
                Err(broken(endpoint, error, progress))
            }
        }
    }

    /// Another address for a request that failed, if it may go to one.
    fn another(&self, tried: &mut Tried) -> Option<&Arc<Endpoint>> {
        let budget = self.budget.as_ref().filter(|_| tried.count() < ATTEMPTS)?;
        let other = self.endpoints.next(tried)?;
        let may = budget.take(Instant::now());
        if !may {
            self.settings.metrics.retry_refused();
        }
        may.then_some(other)
    }

    /// Takes the request and sends it, within its time. If that was over, nobody else gets the request.
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        mut link: Link,
        request: &mut Option<Box<Request<RequestBody>>>,
        progress: &Progress,
    ) -> Result<Exchange, UpstreamError> {
        // There is one whenever something is to be sent.
        let Some(request) = request.take() else { return Err(self.nowhere()) };
        let mut alarm = std::mem::take(link.alarm());
        let exchange = pin!(link.exchange(request));
        let mut outcome = self.moving(|| endpoint.at(), progress, &mut alarm, exchange).await;
        if let Ok(Exchange::Answered { link, .. }) = &mut outcome {
            *link.alarm() = alarm;
        }
        outcome
    }

    /// Waits for something that comes of a request under way, as long as its body moves and the answer has time.
    pub(crate) async fn while_moving<T>(
        &self,
        progress: &Progress,
        awaited: impl Future<Output = T>,
    ) -> Result<T, UpstreamError> {
        self.moving(|| self.anywhere(), progress, &mut Alarm::default(), pin!(awaited)).await
    }

    async fn moving<T>(
        &self,
        at: impl Fn() -> At,
        progress: &Progress,
        alarm: &mut Alarm,
        mut awaited: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, UpstreamError> {
        let UpstreamSettings { body_idle_timeout, response_timeout, .. } = self.settings;
        if progress.is_done() {
            // There is only the answer to wait for.
            let deadline = progress.answer_due(response_timeout);
            let late = || UpstreamError::ResponseTimeout { at: at(), limit: response_timeout };
            return poll_fn(|context| match awaited.as_mut().poll(context) {
                Poll::Ready(came) => Poll::Ready(Ok(came)),
                Poll::Pending => alarm.poll(context, deadline).map(|()| Err(late())),
            })
            .await;
        }
        tokio::select! {
            biased;
            came = &mut awaited => Ok(came),
            stage = Box::pin(progress.stalled(body_idle_timeout, response_timeout)) => Err(match stage {
                Stage::Done => UpstreamError::ResponseTimeout { at: at(), limit: response_timeout },
                Stage::ClientIsSlow => UpstreamError::ClientStalled { limit: body_idle_timeout },
                Stage::UpstreamIsBusy => UpstreamError::Stalled { at: at(), limit: body_idle_timeout },
                Stage::Broken => UpstreamError::ClientBroke,
            }),
        }
    }

    fn anywhere(&self) -> At {
        At { name: Arc::clone(&self.settings.name), address: None }
    }

    fn nowhere(&self) -> UpstreamError {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "it has no address");
        UpstreamError::Connect { at: self.anywhere(), source }
    }
}

/// What it means that a connection ended without an answer.
fn broken(endpoint: &Endpoint, source: LinkError, progress: &Progress) -> UpstreamError {
    if progress.stage() == Stage::Broken {
        return UpstreamError::ClientBroke;
    }
    UpstreamError::Broken { at: endpoint.at(), source }
}

/// Why a request goes to another address.
fn why_again<T>(outcome: &Result<T, UpstreamError>) -> Retry {
    match outcome {
        Ok(_) => Retry::Status,
        Err(UpstreamError::Broken { .. }) => Retry::Broken,
        Err(_) => Retry::Connect,
    }
}

/// Whether an answer says that whoever should have given one did not.
fn is_of_gateways(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Whether a request may be sent twice: only safe methods without a body. The PUT that closes an upload has no body either, but
/// a second one would report a stored blob as an unknown upload.
fn repeatable(request: &Request<RequestBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}
