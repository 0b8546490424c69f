//! Upstreams: their settings, and what they are told by themselves.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::StartError;
use super::kept::Kept;
use crate::config::{self, Config, CreateUsers, Kind, UpstreamUrl, UserAccount};
use crate::identity::{IdentityHeader, NameRules};
use crate::jq::Filter;
use crate::metrics::Metrics;
use crate::pulp::Paths;
use crate::secret::Secret;
use crate::server::{
    Account, Address, BoundSettings, HealthSettings, IdentityFiles, Newcomers, PassedHeader, PublicNames,
    RetrySettings, SpoolSettings, TlsSettings, Upstream, UpstreamSettings,
};

/// An upstream as routes need it.
pub(super) struct Wired<'a> {
    pub(super) configured: &'a config::Upstream,
    pub(super) running: Arc<Upstream>,
    /// Where its endpoints are, if it is a Pulp.
    pub(super) pulp: Option<Arc<Paths>>,
    pub(super) newcomers: Option<Arc<Newcomers>>,
}

/// The upstreams of a configuration, in its order.
pub(super) fn upstreams<'a>(
    config: &'a Config,
    names: &PublicNames,
    kept: &mut Kept,
    metrics: &Metrics,
) -> Result<Vec<Wired<'a>>, StartError> {
    let wire = |(index, configured): (usize, &'a config::Upstream)| {
        let settings = settings(config, index, configured, metrics);
        if let Some(spool) = &settings.spool {
            let failed = |source| StartError::Spool { directory: spool.directory.clone(), source };
            spool.prepare().map_err(failed)?;
        }
        let running = kept.upstream(settings, config.server.workers).map_err(|error| StartError::UpstreamTls {
            upstream: Arc::clone(&configured.name),
            source: error.into(),
        })?;
        let newcomers = newcomers(config, names, configured, &running)?;
        let pulp = match &configured.kind {
            Kind::Pulp(pulp) => Some(Arc::new(pulp.paths())),
            Kind::Registry => None,
        };
        Ok(Wired { configured, running, pulp, newcomers })
    };
    config.upstreams.iter().enumerate().map(wire).collect()
}

/// Those that a route leads to.
pub(super) fn used(config: &Config, upstreams: &[Wired<'_>]) -> Vec<Arc<Upstream>> {
    let is_used = |index| config.routes.iter().any(|route| route.upstream == index);
    let used = upstreams.iter().enumerate().filter(|(index, _)| is_used(*index));
    used.map(|(_, upstream)| Arc::clone(&upstream.running)).collect()
}

fn newcomers(
    config: &Config,
    names: &PublicNames,
    upstream: &config::Upstream,
    running: &Arc<Upstream>,
) -> Result<Option<Arc<Newcomers>>, StartError> {
    let Some(CreateUsers { path, account }) = &upstream.create_users else { return Ok(None) };
    let account = match account {
        UserAccount::Identity => Account::Identity(identity_header(config, upstream, &config.identity.filter)?),
        UserAccount::Basic { username, password } => Account::Basic(basic(upstream, username, password)?),
    };
    Ok(Some(Newcomers::new(Arc::clone(running), path.clone(), account, names.for_host(""))))
}

/// The header that a filter makes for an upstream.
pub(super) fn identity_header(
    config: &Config,
    upstream: &config::Upstream,
    filter: &Arc<Filter>,
) -> Result<Arc<IdentityHeader>, StartError> {
    let identity = &config.identity;
    let (name, filter) = (identity.header.clone(), Arc::clone(filter));
    let rules = NameRules::new(&identity.reserved, matches!(upstream.kind, Kind::Pulp(_)));
    IdentityHeader::new(name, filter, &identity.username, identity.anonymous, identity.max_header)
        .map(|header| Arc::new(header.with_names(rules)))
        .map_err(StartError::Username)
}

/// The value of `Authorization` for an account of the gateway's own.
pub(super) fn basic(upstream: &config::Upstream, username: &str, password: &Secret) -> Result<HeaderValue, StartError> {
    let pair = Zeroizing::new(format!("{username}:{}", password.expose()));
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&value).map_err(|_| StartError::BasicAccount(Arc::clone(&upstream.name)))?;
    value.set_sensitive(true);
    Ok(value)
}

fn settings(config: &Config, index: usize, upstream: &config::Upstream, metrics: &Metrics) -> UpstreamSettings {
    let of_registry =
        config.routes.iter().any(|route| route.upstream == index && route.auth == config::RouteAuth::Registry);
    let prefix = config.routes.iter().find(|route| route.upstream == index).map(|route| route.prefix.clone());
    let (guards, transport) = (&upstream.guards, &upstream.transport);
    UpstreamSettings {
        name: Arc::clone(&upstream.name),
        addresses: upstream.urls.iter().map(address).collect(),
        tls: upstream.urls.iter().any(UpstreamUrl::is_https).then(|| tls(&transport.tls)),
        http2: transport.http2,
        pool: upstream.pool,
        pool_idle_timeout: upstream.pool_idle_timeout,
        connect_timeout: upstream.connect_timeout,
        handshake_timeout: transport.handshake_timeout,
        response_timeout: upstream.response_timeout,
        body_idle_timeout: config.server.body_idle_timeout,
        health: HealthSettings {
            path: transport
                .health
                .path
                .clone()
                .or(of_registry.then(|| "/v2/".to_owned()))
                .or(prefix)
                .unwrap_or("/".into()),
            interval: transport.health.interval,
            timeout: transport.health.timeout,
            unhealthy_after: transport.health.unhealthy_after,
            healthy_after: transport.health.healthy_after,
            eject_after: transport.health.eject_after,
            eject_time: transport.health.eject_time,
        },
        retries: transport.retries.map(|config::Retries { budget, burst }| RetrySettings { budget, burst }),
        bound: (guards.max_concurrent > 0).then_some(BoundSettings {
            at_once: guards.max_concurrent,
            queue: guards.queue,
            timeout: guards.queue_timeout,
        }),
        spool: guards.spool.as_ref().map(|spool| SpoolSettings {
            memory: spool.memory,
            directory: spool.directory.clone().unwrap_or_else(|| config.server.state_dir.join("spool")),
            limit: spool.limit,
        }),
        retry_after: retry_after(guards.retry_after),
        passed_headers: guards.pass_headers.iter().map(|header| passed_header(*header)).collect(),
        metrics: metrics.upstream(&upstream.name),
    }
}

fn address(url: &UpstreamUrl) -> Address {
    match url {
        UpstreamUrl::Web { host, port, .. } => Address::Tcp { host: host.clone(), port: *port },
        UpstreamUrl::Unix(path) => Address::Unix(path.clone()),
    }
}

fn tls(tls: &config::UpstreamTls) -> TlsSettings {
    TlsSettings {
        ca: tls.ca.clone(),
        identity: tls.identity.as_ref().map(|(cert, key)| IdentityFiles { cert: cert.clone(), key: key.clone() }),
        server_name: tls.server_name.clone(),
    }
}

/// The value of `Retry-After`, which is in whole seconds.
fn retry_after(time: Duration) -> Option<HeaderValue> {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    (seconds > 0).then(|| HeaderValue::from(seconds))
}

fn passed_header(header: config::PassHeader) -> PassedHeader {
    match header {
        config::PassHeader::Cookie => PassedHeader::Cookie,
        config::PassHeader::Authorization => PassedHeader::Authorization,
        config::PassHeader::ScriptName => PassedHeader::ScriptName,
        config::PassHeader::Underscores => PassedHeader::Underscores,
    }
}
