//! One upstream: connections, their pool, time-outs, and the one retry of a stale connection.
//!
//! What is sent is decided elsewhere; here it only travels.

mod body;
mod bound;
mod io;
mod link;
mod own;
mod pool;
mod probe;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpStream;

pub use body::UpstreamBody;
pub use bound::BoundSettings;
use bound::{Bound, NotIn};
pub(crate) use bound::{CallerKey, Permit};
use link::{Exchange, Link};
use pool::Pool;
pub use probe::keep_probing;

use super::body::RequestBody;
use super::headers::PassedHeaders;
use super::progress::{Progress, Stage};
use super::spool::SpoolSettings;
use crate::metrics::{Link as LinkKind, Outcome, Retry, UpstreamMetrics};

/// Where an upstream is and how it is treated. Pools and limits belong to the upstream, not to its routes.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Its name, for logs.
    pub name: Arc<str>,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether connections are kept and used again.
    pub pool: bool,
    /// How long a kept connection may be idle.
    pub pool_idle_timeout: Duration,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time from the end of the request to the head of the response.
    pub response_timeout: Duration,
    /// How long a body may stand still, in either direction.
    pub body_idle_timeout: Duration,
    /// What health probes ask for.
    pub probe_path: String,
    /// How many requests it gets at once; none: as many as come.
    pub bound: Option<BoundSettings>,
    /// How request bodies are kept until they are whole; none: they stream.
    pub spool: Option<SpoolSettings>,
    /// What answers that ask for another try say of its time, where they say nothing themselves.
    pub retry_after: Option<HeaderValue>,
    /// Headers of clients that pass all the same.
    pub passed_headers: PassedHeaders,
    /// Where what happens with it is counted.
    pub metrics: UpstreamMetrics,
}

/// Why an upstream gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection.
    #[error("cannot connect to upstream {name} at {address}: {source}")]
    Connect {
        /// The upstream's name.
        name: Arc<str>,
        /// Its address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// No connection within the bound.
    #[error("upstream {name} at {address} did not accept a connection within {limit:?}")]
    ConnectTimeout {
        /// The upstream's name.
        name: Arc<str>,
        /// Its address.
        address: String,
        /// `connect_timeout`.
        limit: Duration,
    },
    /// The connection ended before the head of the response, or what came was no HTTP.
    #[error("upstream {name} closed the connection or sent no valid response: {source}")]
    Broken {
        /// The upstream's name.
        name: Arc<str>,
        /// What the protocol library said.
        source: hyper::Error,
    },
    /// The request was sent whole and no head came within the bound.
    #[error("upstream {name} did not answer within {limit:?}")]
    ResponseTimeout {
        /// The upstream's name.
        name: Arc<str>,
        /// `response_timeout`.
        limit: Duration,
    },
    /// The upstream stopped reading the request body.
    #[error("upstream {name} did not take more of the request body for {limit:?}")]
    Stalled {
        /// The upstream's name.
        name: Arc<str>,
        /// `body_idle_timeout`.
        limit: Duration,
    },
    /// The client stopped sending the request body.
    #[error("the client sent no more of the request body for {limit:?}")]
    ClientStalled {
        /// `body_idle_timeout`.
        limit: Duration,
    },
    /// The client broke off the request body.
    #[error("the client broke off the request body")]
    ClientBroke,
    /// As many requests wait for the upstream as may.
    #[error("upstream {name} is busy, and no more may wait (max_concurrent = {at_once}, queue = {queue})")]
    QueueFull {
        /// The upstream's name.
        name: Arc<str>,
        /// `max_concurrent`.
        at_once: usize,
        /// `queue`.
        queue: usize,
    },
    /// The upstream was busy with other requests for as long as this one may wait.
    #[error("upstream {name} was busy for {limit:?}, and nobody waits longer (max_concurrent = {at_once})")]
    QueueTimeout {
        /// The upstream's name.
        name: Arc<str>,
        /// `max_concurrent`.
        at_once: usize,
        /// `queue_timeout`.
        limit: Duration,
    },
}

impl UpstreamError {
    /// What it is counted as.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } => Outcome::Connect,
            Self::Broken { .. } => Outcome::Broken,
            Self::ResponseTimeout { .. } | Self::Stalled { .. } => Outcome::Timeout,
            Self::ClientStalled { .. } | Self::ClientBroke => Outcome::Client,
            Self::QueueFull { .. } => Outcome::QueueFull,
            Self::QueueTimeout { .. } => Outcome::QueueTimeout,
        }
    }
}

/// An upstream with its kept connections, one pool for each worker.
#[derive(Debug)]
pub struct Upstream {
    settings: UpstreamSettings,
    address: Option<SocketAddr>,
    pools: Box<[Pool]>,
    bound: Option<Arc<Bound>>,
}

impl Upstream {
    /// Prepares an upstream; nothing is connected yet.
    pub fn new(settings: UpstreamSettings, workers: usize) -> Arc<Self> {
        let address = settings.host.parse().ok().map(|ip| SocketAddr::new(ip, settings.port));
        let pools = (0..workers.max(1)).map(|_| Pool::default()).collect();
        let bound = settings.bound.map(Bound::new);
        Arc::new(Self { settings, address, pools, bound })
    }

    /// Its settings.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.settings
    }

    /// Waits until the upstream may get another request; none where there is no bound. What is returned goes with the request.
    pub(crate) async fn enter(&self, who: impl FnOnce() -> CallerKey) -> Result<Option<Permit>, UpstreamError> {
        let Some(bound) = &self.bound else { return Ok(None) };
        let waiting = self.settings.metrics.waits();
        let entered = bound.enter(who()).await;
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
    /// A request that a stale kept connection did not take is sent once more over a new one: any request of which nothing was
    /// written, and GET and HEAD also when the connection ended without an answer.
    pub(crate) async fn send(
        self: &Arc<Self>,
        worker: usize,
        mut request: Request<RequestBody>,
        permit: Option<Permit>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let progress = Arc::clone(request.body().progress());
        let worker = worker % self.pools.len();
        if self.settings.pool
            && let Some(link) = self.pools[worker].take(self.settings.pool_idle_timeout, !repeatable(&request)).await
        {
            self.settings.metrics.connected(LinkKind::Kept);
            let spare = repeatable(&request).then(|| copy(&request, &progress));
            match self.exchange(link, request, &progress).await? {
                Exchange::Answered(response, link) => {
                    let release = pool::Release::new(Arc::clone(self), worker, link, progress, permit);
                    return Ok(self.stream(response, release));
                }
                Exchange::Unsent(unsent) => request = unsent,
                Exchange::Unanswered(error) => match spare {
                    Some(spare) => request = spare,
                    None => return Err(self.broken(error, &progress)),
                },
            }
            self.settings.metrics.retried(Retry::Stale);
        }
        let link = self.connect().await?;
        self.settings.metrics.connected(LinkKind::New);
        match self.exchange(link, request, &progress).await? {
            Exchange::Answered(response, link) => {
                let release = pool::Release::new(Arc::clone(self), worker, link, progress, permit);
                Ok(self.stream(response, release))
            }
            Exchange::Unanswered(error) => Err(self.broken(error, &progress)),
            Exchange::Unsent(_) => Err(UpstreamError::Connect {
                name: Arc::clone(&self.settings.name),
                address: self.place(),
                source: std::io::ErrorKind::ConnectionReset.into(),
            }),
        }
    }

    async fn exchange(
        &self,
        link: Link,
        request: Request<RequestBody>,
        progress: &Progress,
    ) -> Result<Exchange, UpstreamError> {
        self.while_moving(progress, link.exchange(request)).await
    }

    /// Waits for something that comes of a request under way, as long as its body moves and the answer has time.
    pub(crate) async fn while_moving<T>(
        &self,
        progress: &Progress,
        awaited: impl Future<Output = T>,
    ) -> Result<T, UpstreamError> {
        let UpstreamSettings { body_idle_timeout, response_timeout, .. } = self.settings;
        tokio::select! {
            biased;
            came = awaited => Ok(came),
            stage = progress.stalled(body_idle_timeout, response_timeout) => Err(match stage {
                Stage::Done => self.slow(response_timeout),
                Stage::ClientIsSlow => UpstreamError::ClientStalled { limit: body_idle_timeout },
                Stage::UpstreamIsBusy =>
                    UpstreamError::Stalled { name: Arc::clone(&self.settings.name), limit: body_idle_timeout },
                Stage::Broken => UpstreamError::ClientBroke,
            }),
        }
    }

    fn slow(&self, limit: Duration) -> UpstreamError {
        UpstreamError::ResponseTimeout { name: Arc::clone(&self.settings.name), limit }
    }

    fn broken(&self, source: hyper::Error, progress: &Progress) -> UpstreamError {
        if progress.stage() == Stage::Broken {
            return UpstreamError::ClientBroke;
        }
        UpstreamError::Broken { name: Arc::clone(&self.settings.name), source }
    }

    fn stream(&self, response: Response<Incoming>, release: pool::Release) -> Response<UpstreamBody> {
        response.map(|inner| UpstreamBody::new(inner, release, self.settings.body_idle_timeout))
    }

    async fn connect(&self) -> Result<Link, UpstreamError> {
        let connecting = async {
            let stream = match self.address {
                Some(address) => TcpStream::connect(address).await?,
                None => TcpStream::connect((self.settings.host.as_str(), self.settings.port)).await?,
            };
            stream.set_nodelay(true)?;
            Link::open(stream).await
        };
        match tokio::time::timeout(self.settings.connect_timeout, connecting).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(source)) => {
                Err(UpstreamError::Connect { name: Arc::clone(&self.settings.name), address: self.place(), source })
            }
            Err(_) => Err(UpstreamError::ConnectTimeout {
                name: Arc::clone(&self.settings.name),
                address: self.place(),
                limit: self.settings.connect_timeout,
            }),
        }
    }

    fn place(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }
}

/// Whether a request may be sent twice: only safe methods without a body. The PUT that closes an upload has no body either, but
/// a second one would report a stored blob as an unknown upload.
fn repeatable(request: &Request<RequestBody>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

fn copy(request: &Request<RequestBody>, progress: &Arc<Progress>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty(Arc::clone(progress)));
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}
