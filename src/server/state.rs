//! Everything that the configuration decides, loaded once per request, so that it can be swapped whole.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;

use super::identities::Identities;
use super::names::PublicNames;
use super::peer::TrustedProxies;
use super::routes::Routes;
use super::session::Session;
use super::strangers::Strangers;
use super::throttle::{Throttle, ThrottleSettings};
use super::upload::Markers;
use crate::access_log::LogWriter;
use crate::authn::Chain;
use crate::authz::Rules;
use crate::clock::Clock;
use crate::identity::StripList;
use crate::metrics::Metrics;
use crate::telemetry::Tracer;
use crate::token::{Cache, Issuer, Verifier};

/// The running state.
#[derive(Debug)]
pub struct State {
    /// Public names and services.
    pub names: PublicNames,
    /// Proxies that are believed.
    pub trusted_proxies: TrustedProxies,
    /// Where paths lead.
    pub routes: Routes,
    /// Who people are.
    pub chain: Chain,
    /// Who has tried too much; the same one for every state.
    pub throttle: Arc<Throttle>,
    /// How much is too much.
    pub throttling: ThrottleSettings,
    /// What they may do.
    pub rules: Rules,
    /// Whether any rule has `from`; decisions are then kept by client address too.
    pub rules_read_client: bool,
    /// Signs tokens.
    pub issuer: Issuer,
    /// Verifies tokens.
    pub verifier: Verifier,
    /// The markers of uploads.
    pub markers: Markers,
    /// Tokens that were verified, with what was decided for each.
    pub sessions: Cache<Session>,
    /// Challenges that were made.
    pub strangers: Strangers,
    /// Identity headers that were made.
    pub identities: Identities,
    /// The header of API keys.
    pub key_header: HeaderName,
    /// Headers that never reach an upstream.
    pub strip: StripList,
    /// The path of the token endpoint.
    pub token_path: String,
    /// The key set that is served.
    pub jwks: Bytes,
    /// Most scopes in one token request.
    pub max_scopes: usize,
    /// Most bytes of a request's target.
    pub max_target: usize,
    /// Bytes a second that a request body has to bring, while nobody but its client is waited for; zero: none.
    pub body_rate: usize,
    /// How long a form body may take.
    pub form_timeout: Duration,
    /// The time.
    pub clock: Clock,
}

impl State {
    /// Rules by file and line, for the audit.
    pub(crate) fn name_rules(&self, indexes: &[usize]) -> String {
        let mut names = String::new();
        for rule in indexes.iter().filter_map(|index| self.rules.rules().get(*index)) {
            let separator = if names.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(names, "{separator}{}:{}", rule.source.file, rule.source.line);
        }
        names
    }
}

/// The path of the key set.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// What the workers share.
#[derive(Debug)]
pub struct Shared {
    /// The running state, swapped whole by a reload.
    pub state: arc_swap::ArcSwap<State>,
    /// Where request and audit lines go.
    pub log: LogWriter,
    /// Where what happens is counted.
    pub metrics: Metrics,
    /// Where it is told who took how long.
    pub tracer: Tracer,
}

impl Shared {
    /// Puts the first state in place.
    pub fn new(state: State, log: LogWriter, metrics: Metrics, tracer: Tracer) -> Arc<Self> {
        Arc::new(Self { state: arc_swap::ArcSwap::from_pointee(state), log, metrics, tracer })
    }
}
