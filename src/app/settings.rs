//! Settings of the server that are the same for every listener, and which of them speak TLS.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::config::{Config, Limits, Listener};
use crate::metrics::Metrics;
use crate::server::connection::{ConnectionSettings, Http2Settings};
use crate::server::listener::Secured;
use crate::server::tls::{Tls, TlsSettings};
use crate::server::{EntranceSettings, ThrottleSettings, TrustedProxies};

pub(super) fn connection_settings(config: &Config, metrics: &Metrics) -> ConnectionSettings {
    let number = |number: usize| u64::try_from(number).ok();
    ConnectionSettings {
        header_timeout: config.server.header_timeout,
        idle_timeout: config.server.idle_timeout,
        write_timeout: config.server.body_idle_timeout,
        max_headers: config.limits.header_count,
        max_header_size: config.limits.header_bytes,
        requests_per_connection: number(config.limits.requests_per_connection).and_then(NonZeroU64::new),
        http2: config.server.http2.then(|| Http2Settings {
            streams: u32::try_from(config.limits.h2_streams).unwrap_or(u32::MAX),
            resets: config.limits.h2_resets,
        }),
        metrics: Some(metrics.clone()),
        entrance: EntranceSettings {
            connections: config.limits.connections,
            per_address: config.limits.connections_per_address,
            trusted_proxies: trusted_proxies(config),
            proxy_protocol: config.server.listen.iter().map(|listener| listener.proxy_protocol).collect(),
        },
        ..ConnectionSettings::default()
    }
}

pub(super) fn trusted_proxies(config: &Config) -> TrustedProxies {
    TrustedProxies::new(config.server.trusted_proxies.clone(), config.server.trusts_unix)
}

/// What TLS is set up with, where it is spoken.
pub(super) fn tls_settings(config: &Config) -> Option<TlsSettings> {
    config.server.tls.as_ref().map(|tls| TlsSettings {
        certificates: tls.certificates.clone(),
        client_ca: tls.client_ca.clone(),
        client_auth: tls.client_auth,
        min_version: tls.min_version,
        http2: config.server.http2,
    })
}

/// Which listeners speak TLS: those of `server.listen` in order, then `token.listen`, where passwords are sent too.
pub(super) fn secured(config: &Config, tls: &Arc<Tls>) -> Vec<Option<Secured>> {
    let of = |listener: &Listener| match listener.tls {
        Some(false) => None,
        wanted => Some(Secured { tls: Arc::clone(tls), over_unix: wanted == Some(true) }),
    };
    let of_tokens = config.token.listen.map(|_| Some(Secured { tls: Arc::clone(tls), over_unix: false }));
    config.server.listen.iter().map(of).chain(of_tokens).collect()
}

/// Those of the admin listener: what probes and Prometheus do is no traffic, is not bounded like it, and comes without PROXY headers.
pub(super) fn of_admin(settings: &ConnectionSettings) -> ConnectionSettings {
    ConnectionSettings { metrics: None, entrance: EntranceSettings::default(), ..settings.clone() }
}

pub(super) fn throttling(limits: &Limits) -> ThrottleSettings {
    ThrottleSettings {
        token_rate: limits.token_rate,
        failures: limits.login_failures,
        longest_delay: limits.login_delay,
        failures_per_address: limits.login_failures_per_address,
        // Half of those that may wait to be hashed: nobody takes all the places of others.
        at_once: u32::try_from(limits.password_hashing * 4).unwrap_or(u32::MAX),
    }
}
