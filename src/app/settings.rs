//! Settings of the server that are the same for every listener.

use crate::config::Config;
use crate::metrics::Metrics;
use crate::server::connection::ConnectionSettings;
use crate::server::linger::LingerSettings;
use crate::server::{EntranceSettings, TrustedProxies};

pub(super) fn connection_settings(config: &Config, metrics: &Metrics) -> ConnectionSettings {
    ConnectionSettings {
        header_timeout: config.server.header_timeout,
        idle_timeout: config.server.idle_timeout,
        write_timeout: config.server.body_idle_timeout,
        max_headers: config.limits.header_count,
        max_header_size: config.limits.header_bytes,
        linger: LingerSettings::default(),
        metrics: Some(metrics.clone()),
        entrance: EntranceSettings {
            connections: config.limits.connections,
            per_address: config.limits.connections_per_address,
            trusted_proxies: trusted_proxies(config),
            proxy_protocol: config.server.listen.iter().map(|listener| listener.proxy_protocol).collect(),
        },
    }
}

pub(super) fn trusted_proxies(config: &Config) -> TrustedProxies {
    TrustedProxies::new(config.server.trusted_proxies.clone(), config.server.trusts_unix)
}
