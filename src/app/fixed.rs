//! What cannot change while the gateway runs: sockets, threads and log files that it was started with, and the directory that is its
//! own.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{Config, Listener, LogFormat, LogTarget};
use crate::telemetry::TraceSettings;

/// The values that the gateway was started with.
#[derive(Debug)]
pub(super) struct Fixed {
    listen: Vec<Listener>,
    token_listen: Option<SocketAddr>,
    admin_listen: Option<SocketAddr>,
    tls: bool,
    workers: usize,
    state_dir: PathBuf,
    format: LogFormat,
    requests: LogTarget,
    audit: LogTarget,
    tracing: Option<TraceSettings>,
}

impl Fixed {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            listen: config.server.listen.clone(),
            token_listen: config.token.listen,
            admin_listen: config.admin.as_ref().map(|admin| admin.listen),
            tls: config.server.tls.is_some(),
            workers: config.server.workers,
            state_dir: config.server.state_dir.clone(),
            format: config.log.format,
            requests: config.log.requests.clone(),
            audit: config.log.audit.clone(),
            tracing: config.tracing.clone(),
        }
    }

    /// Puts these in place of what the configuration says now, and names the keys where that is something else.
    pub(super) fn hold(&self, config: &mut Config) -> Vec<&'static str> {
        let new = Self::of(config);
        config.server.listen.clone_from(&self.listen);
        config.server.workers = self.workers;
        config.server.state_dir.clone_from(&self.state_dir);
        [
            ("server.listen", new.listen != self.listen),
            // Whether at all; which certificates, is not fixed.
            ("server.tls", new.tls != self.tls),
            ("server.workers", new.workers != self.workers),
            ("server.state_dir", new.state_dir != self.state_dir),
            ("admin.listen", new.admin_listen != self.admin_listen),
            ("log.format", new.format != self.format),
            ("log.requests", new.requests != self.requests),
            ("log.audit", new.audit != self.audit),
            ("tracing", new.tracing != self.tracing),
            ("token.listen", new.token_listen != self.token_listen),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}
