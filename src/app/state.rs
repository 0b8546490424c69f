//! Everything that a request is judged by, put together from a configuration.

use std::sync::Arc;

use super::StartError;
use super::chain::chain;
use super::kept::Kept;
use super::keys;
use super::routes::routes;
use super::settings;
use super::upstreams::{upstreams, used};
use crate::authz::Rules;
use crate::clock::Clock;
use crate::config::Config;
use crate::identity::StripList;
use crate::keys::KeyRing;
use crate::metrics::{Expiry, Metrics};
use crate::server::{Identities, Markers, PublicName, PublicNames, State, Strangers, Upstream};
use crate::token::{self, Cache, Issuer, Verifier};

/// A state, and what belongs to it.
pub(super) struct Built {
    pub(super) state: State,
    /// What the next state gets.
    pub(super) kept: Kept,
    /// The keys, if they are not those of `token.keys` but the one of `state_dir`.
    pub(super) own_key: Option<Arc<KeyRing>>,
    /// When the certificates of keys end.
    pub(super) expiries: Vec<Expiry>,
    /// The upstreams that a route leads to.
    pub(super) upstreams: Vec<Arc<Upstream>>,
}

/// Builds a state with what is kept of the one before. Nothing that serves is touched by it.
pub(super) fn state(config: Config, ring: KeyRing, kept: &Kept, metrics: &Metrics) -> Result<Built, StartError> {
    let clock = Clock::System;
    let ring = Arc::new(ring);
    let expiries = keys::expiries(&ring);
    let own_key = config.token.keys.is_empty().then(|| Arc::clone(&ring));
    let mut kept = kept.clone();
    let token = token::Settings {
        issuer: config.token.issuer.clone(),
        services: config.token.services.clone(),
        ttl: config.token.ttl,
        api_ttl: config.api.token_ttl.unwrap_or(config.token.ttl),
    };
    let chain = chain(&config, &clock, kept.hasher(&config), metrics)?;
    let names = names(&config);
    let upstreams = upstreams(&config, &names, &mut kept, metrics)?;
    kept.forget_others(&config);
    let routes = routes(&config, &upstreams)?;
    let upstreams = used(&config, &upstreams);
    // What a key says it says to us; whatever the route, no upstream learns of it.
    let strip = config.identity.strip.iter().chain([&config.api.key_header]);
    let strip = StripList::new(&config.identity.header, strip);
    let rules_read_client = config.rules.iter().any(|rule| !rule.from.is_empty());
    let jwks = ring.jwks().to_string().into();
    let state = State {
        names,
        trusted_proxies: settings::trusted_proxies(&config),
        routes,
        chain,
        rules: Rules::new(config.rules),
        rules_read_client,
        markers: Markers::new(&ring)?,
        issuer: Issuer::new(Arc::clone(&ring), token.clone(), clock.clone())?,
        verifier: Verifier::new(ring, token, clock.clone()),
        strangers: Strangers::new(),
        identities: Identities::new(),
        sessions: Cache::new(config.limits.token_cache).counted(metrics.clone()),
        key_header: config.api.key_header,
        strip,
        token_path: config.token.path,
        jwks,
        max_scopes: config.limits.scopes,
        throttle: kept.throttle()?,
        throttling: settings::throttling(&config.limits),
        body_rate: config.limits.body_rate,
        max_target: config.limits.url_bytes,
        form_timeout: config.server.header_timeout,
        clock,
    };
    Ok(Built { state, kept, own_key, expiries, upstreams })
}

fn names(config: &Config) -> PublicNames {
    let mut names = config
        .server
        .public_urls
        .iter()
        .map(|url| PublicName::new(url.scheme.clone(), url.authority.clone(), &config.token.path));
    // The configuration has at least one.
    let first =
        names.next().unwrap_or_else(|| PublicName::new(http::uri::Scheme::HTTP, String::new(), &config.token.path));
    PublicNames::new(first, names.collect(), config.token.services.clone())
}
