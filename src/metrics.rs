//! What is counted and timed, for `/metrics`.
//!
//! Whoever has something to count calls a method here, with values of enums: no label is ever a text that a client sent, so the
//! number of series is bounded whatever comes. Names that the configuration gives (upstreams, members) get handles once, when
//! the gateway is built. `exposed` holds the names and meanings of all metrics; docs/metrics.md says the same to operators.

mod cells;
mod exposed;
mod labels;
mod named;
mod process;
#[cfg(test)]
mod tests;
mod text;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cells::{Counters, Level, Times};
pub use labels::{
    Action, Answer, CacheKind, Grant, Handshake, Label, Link, LoginFailure, Outcome, Protocol, Refusal, Reload, Retry,
    Route, Status, Throttle, TokenResult,
};
pub use named::{AddressMetrics, InFlight, MemberMetrics, UpstreamMetrics, Waiting};
use named::{Names, OfMember, OfUpstream};
pub use text::Form;

use crate::access_log::{Decision, LogWriter};

/// The numbers of one gateway process. Clones are the same numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Numbers>);

/// Handles are the same where they count together.
impl PartialEq for Metrics {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Debug, Default)]
struct Numbers {
    requests: Counters<(Route, Action, Decision, Status)>,
    durations: Times<(Route,)>,
    request_bytes: Counters<(Route,)>,
    response_bytes: Counters<(Route,)>,
    broken: Counters<(Route,)>,
    in_flight: Level,

    accepted: Counters<()>,
    open: Level,
    refused: Counters<(Refusal,)>,
    accept_errors: Counters<()>,
    handshakes: Counters<(Handshake,)>,
    protocols: Counters<(Protocol,)>,

    tokens: Counters<(Grant, TokenResult)>,
    login_failures: Counters<(LoginFailure,)>,
    throttled: Counters<(Throttle,)>,
    lookups: Counters<(CacheKind, bool)>,
    members: Names<OfMember>,
    upstreams: Names<OfUpstream>,

    reloads: Counters<(Reload,)>,
    config_refused: AtomicBool,
    config_loaded: AtomicU64,
    expiries: Mutex<Vec<Expiry>>,
}

/// A request, after its end.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What it reached.
    pub route: Route,
    /// What it wanted.
    pub action: Action,
    /// What became of it.
    pub decision: Decision,
    /// The status that the client was sent.
    pub status: u16,
    /// From the complete head to the end of the response.
    pub duration: Duration,
    /// Bytes of request body.
    pub bytes_in: u64,
    /// Bytes of response body.
    pub bytes_out: u64,
    /// Whether the response was sent to its end.
    pub whole: bool,
}

/// Something that ends at a known time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// What it is for.
    pub usage: Usage,
    /// Which one it is: a file, or the id of a key.
    pub name: String,
    /// When it ends, in seconds since the epoch.
    pub at: u64,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It is shown to clients.
    Server,
    /// It vouches for the certificates of clients.
    ClientCa,
    /// It is shown to an upstream.
    UpstreamClient,
    /// It vouches for the certificate of an upstream.
    UpstreamCa,
    /// It is in the file of a key that signs or verifies tokens.
    SigningKey,
}

impl Usage {
    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::ClientCa => "client_ca",
            Self::UpstreamClient => "upstream_client",
            Self::UpstreamCa => "upstream_ca",
            Self::SigningKey => "signing_key",
        }
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request has come.
    pub fn request_begun(&self) {
        self.0.in_flight.rise();
    }

    /// A request, which [`Metrics::request_begun`] was told of, has ended.
    pub fn request_ended(&self, request: &Request) {
        let Request { route, action, decision, status, duration, bytes_in, bytes_out, whole } = *request;
        let numbers = &*self.0;
        numbers.in_flight.fall();
        numbers.requests.count((route, action, decision, Status::new(status)));
        numbers.durations.took((route,), duration);
        if bytes_in > 0 {
            numbers.request_bytes.add((route,), bytes_in);
        }
        if bytes_out > 0 {
            numbers.response_bytes.add((route,), bytes_out);
        }
        if !whole {
            numbers.broken.count((route,));
        }
    }

    /// A connection was accepted; it is open until the result is dropped.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.0.accepted.count(());
        self.0.open.rise();
        Connection(self.clone())
    }

    /// A connection was refused, before anything of a request was read.
    pub fn connection_refused(&self, why: Refusal) {
        self.0.refused.count((why,));
    }

    /// `accept` failed because of us: no file descriptor, no memory.
    pub fn accept_failed(&self) {
        self.0.accept_errors.count(());
    }

    /// A TLS handshake ended.
    pub fn handshake(&self, how: Handshake) {
        self.0.handshakes.count((how,));
    }

    /// It is known what a connection speaks.
    pub fn protocol(&self, protocol: Protocol) {
        self.0.protocols.count((protocol,));
    }

    /// A request for a token was answered.
    pub fn token(&self, grant: Grant, result: TokenResult) {
        self.0.tokens.count((grant, result));
    }

    /// Credentials were not accepted.
    pub fn login_failed(&self, why: LoginFailure) {
        self.0.login_failures.count((why,));
    }

    /// A log-in was made to wait, or turned away.
    pub fn throttled(&self, by: Throttle) {
        self.0.throttled.count((by,));
    }

    /// Something was looked for in a memory.
    pub fn lookup(&self, cache: CacheKind, found: bool) {
        self.0.lookups.count((cache, found));
    }

    /// The numbers of a member of the authn chain, for whoever asks it.
    pub fn member(&self, name: &str) -> MemberMetrics {
        MemberMetrics(self.0.members.of(name))
    }

    /// The numbers of an upstream, for whoever sends to it.
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        UpstreamMetrics(self.0.upstreams.of(name))
    }

    /// The configuration was read at the start, at this time in seconds since the epoch. That is no reload.
    pub fn configured(&self, now: u64) {
        self.0.config_loaded.store(now, Relaxed);
        self.0.config_refused.store(false, Relaxed);
    }

    /// The configuration was read again, at this time in seconds since the epoch, and is in force or was refused.
    pub fn reloaded(&self, result: Reload, now: u64) {
        self.0.reloads.count((result,));
        match result {
            Reload::Success => self.configured(now),
            Reload::Failure => self.0.config_refused.store(true, Relaxed),
        }
    }

    /// All that has a use of this kind and ends at a known time, in place of what was said of that use before.
    pub fn expiries(&self, usage: Usage, list: impl IntoIterator<Item = Expiry>) {
        let mut expiries = self.0.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        expiries.retain(|old| old.usage != usage);
        expiries.extend(list);
    }

    /// All numbers, as text. `ready` is what `/readyz` says.
    pub fn scrape(&self, form: Form, ready: bool, log: &LogWriter) -> String {
        exposed::write(&self.0, form, ready, log)
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection(Metrics);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.0.open.fall();
    }
}
