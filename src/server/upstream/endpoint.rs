//! One address of an upstream: its connections, how many requests are on their way to it, and how it fares.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::balance::Candidate;
use super::connect::{ConnectError, Connected, Connector, Protocol};
use super::error::{At, UpstreamError};
use super::health::{Change, Health};
use super::http1;
use super::http2::{self, Shared};
use super::link::Link;
use super::pool::Pool;
use super::settings::{Address, HealthSettings, UpstreamSettings};
use super::tls::Tls;
use crate::metrics::AddressMetrics;

/// One address.
#[derive(Debug)]
pub(super) struct Endpoint {
    address: Address,
    at: At,
    /// As `Host` and `:authority` name it.
    authority: Box<str>,
    connector: Connector,
    /// How long connections are kept; none: they are not.
    keeps_for: Option<Duration>,
    http2: bool,
    /// Whether it chose HTTP/1.1 when it last had the choice.
    prefers_http1: AtomicBool,
    workers: Box<[Worker]>,
    settings: HealthSettings,
    metrics: AddressMetrics,
    /// Whether `health` is worth a look.
    is_troubled: AtomicBool,
    health: Mutex<Health>,
}

/// The connections of one worker, on a cache line that no other worker writes to.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Worker {
    pool: Pool,
    shared: Shared,
    /// Requests on their way.
    under_way: AtomicUsize,
}

impl Endpoint {
    pub(super) fn new(
        settings: &UpstreamSettings,
        address: &Address,
        tls: Option<&Arc<Tls>>,
        workers: usize,
    ) -> Arc<Self> {
        let shown = address.to_string();
        let authority = match address {
            Address::Tcp { .. } => shown.as_str().into(),
            Address::Unix(_) => "localhost".into(),
        };
        let UpstreamSettings { http2, connect_timeout, handshake_timeout, .. } = *settings;
        let tls = tls.map(Arc::clone);
        Arc::new(Self {
            address: address.clone(),
            metrics: settings.metrics.address(&shown),
            at: At { name: Arc::clone(&settings.name), address: Some(shown.into()) },
            authority,
            connector: Connector::new(address, tls, http2, connect_timeout, handshake_timeout),
            keeps_for: settings.pool.then_some(settings.pool_idle_timeout),
            http2,
            prefers_http1: AtomicBool::new(false),
            workers: (0..workers.max(1)).map(|_| Worker::default()).collect(),
            settings: settings.health.clone(),
            is_troubled: AtomicBool::new(false),
            health: Mutex::default(),
        })
    }

    /// Its address.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Where it is, for errors.
    pub(super) fn at(&self) -> At {
        self.at.clone()
    }

    /// Its address as it is shown.
    pub(super) fn shown(&self) -> &str {
        self.at.address.as_deref().unwrap_or_default()
    }

    /// As `Host` names it.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// How long connections are kept; none: they are not.
    pub(super) fn keeps_for(&self) -> Option<Duration> {
        self.keeps_for
    }

    pub(super) fn pool(&self, worker: usize) -> &Pool {
        &self.of(worker).pool
    }

    fn of(&self, worker: usize) -> &Worker {
        // There is one at least, and each has its own unless there are more than were told.
        &self.workers[worker % self.workers.len()]
    }

    /// A link over a connection that is there already. `look`: the request can be sent only once.
    pub(super) async fn kept(&self, worker: usize, look: bool) -> Option<Link> {
        let limit = self.keeps_for?;
        if self.http2 {
            if look {
                // What the kernel knows already of the connection's end is heard first, as in the pool.
                tokio::task::yield_now().await;
            }
            if let Some(link) = self.of(worker).shared.take() {
                return Some(link);
            }
        }
        self.pool(worker).take(limit, look).await.map(Link::Http1)
    }

    /// A link over a new connection, or over one that somebody else has just made and shares.
    pub(super) async fn connect(&self, worker: usize) -> Result<Link, UpstreamError> {
        let shared = &self.of(worker).shared;
        let Some(idle) = self.keeps_for.filter(|_| self.http2 && !self.prefers_http1.load(Ordering::Relaxed)) else {
            return self.connect_alone().await;
        };
        let _only_one = shared.connecting.lock().await;
        if let Some(link) = shared.take() {
            return Ok(link);
        }
        let Connected { socket, protocol } = self.socket().await?;
        if protocol == Protocol::Http1 {
            self.prefers_http1.store(true, Ordering::Relaxed);
            return self.open(Connected { socket, protocol }).await;
        }
        let connection = http2::Connection::open(socket, &self.authority).await.map_err(|error| self.refused(error))?;
        shared.add(&connection, idle);
        Ok(Link::Http2(http2::Stream::new(connection)))
    }

    /// A link over a new connection that nobody else uses.
    pub(super) async fn connect_alone(&self) -> Result<Link, UpstreamError> {
        self.open(self.socket().await?).await
    }

    async fn open(&self, Connected { socket, protocol }: Connected) -> Result<Link, UpstreamError> {
        match protocol {
            Protocol::Http1 => Ok(Link::Http1(http1::Connection::new(socket))),
            Protocol::Http2 => {
                let opened = http2::Connection::open(socket, &self.authority).await;
                let connection = opened.map_err(|error| self.refused(error))?;
                Ok(Link::Http2(http2::Stream::new(connection)))
            }
        }
    }

    /// A connection that nothing has been sent over.
    pub(super) async fn socket(&self) -> Result<Connected, UpstreamError> {
        self.connector.connect().await.map_err(|error| match error {
            ConnectError::Connect(source) => self.refused(source),
            ConnectError::ConnectTimeout(limit) => UpstreamError::ConnectTimeout { at: self.at(), limit },
            ConnectError::Handshake(source) => UpstreamError::Handshake { at: self.at(), source },
            ConnectError::HandshakeTimeout(limit) => UpstreamError::HandshakeTimeout { at: self.at(), limit },
        })
    }

    /// The error of a connection that was never one.
    pub(super) fn refused(&self, source: std::io::Error) -> UpstreamError {
        UpstreamError::Connect { at: self.at(), source }
    }

    /// What counts when addresses are chosen from.
    pub(super) fn candidate(&self, now: Instant) -> Candidate {
        Candidate {
            load: self.workers.iter().map(|worker| worker.under_way.load(Ordering::Relaxed)).sum(),
            is_in: self.is_in(now),
        }
    }

    /// Whether it should get requests.
    pub(super) fn is_in(&self, now: Instant) -> bool {
        !self.is_troubled.load(Ordering::Relaxed) || self.health().is_in(now)
    }

    /// Whether probes do not speak against it.
    pub(super) fn is_up(&self) -> bool {
        !self.is_troubled.load(Ordering::Relaxed) || self.health().is_up()
    }

    /// Notes that a request was answered.
    pub(super) fn answered(&self) {
        if self.is_troubled.load(Ordering::Relaxed) && self.note(Health::answered) == Change::In {
            tracing::info!(upstream = &*self.at.name, address = self.shown(), "gets requests again");
        }
    }

    /// Notes that a request failed.
    pub(super) fn failed(&self) {
        if let Change::Ejected(time) = self.note(|health| health.failed(Instant::now(), &self.settings)) {
            self.metrics.ejected();
            let (upstream, address) = (&*self.at.name, self.shown());
            tracing::warn!(upstream, address, "gets no requests for {time:?}: too many failed in a row");
        }
    }

    /// Notes what became of a probe.
    pub(super) fn probed(&self, answered: bool) -> Change {
        let change = self.note(|health| health.probed(answered, &self.settings));
        self.metrics.set_healthy(self.is_up());
        change
    }

    fn note(&self, what: impl FnOnce(&mut Health) -> Change) -> Change {
        let mut health = self.health();
        let change = what(&mut health);
        self.is_troubled.store(!health.is_spotless(), Ordering::Relaxed);
        change
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is on its way to an address, until its response has been read.
#[derive(Debug)]
pub(super) struct UnderWay {
    endpoint: Arc<Endpoint>,
    worker: usize,
}

impl UnderWay {
    /// For a request that this worker sends.
    pub(super) fn new(endpoint: &Arc<Endpoint>, worker: usize) -> Self {
        endpoint.of(worker).under_way.fetch_add(1, Ordering::Relaxed);
        Self { endpoint: Arc::clone(endpoint), worker }
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Who sends it.
    pub(super) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.endpoint.of(self.worker).under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
