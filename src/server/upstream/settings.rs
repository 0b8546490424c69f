//! Where an upstream is and how it is treated.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::bound::BoundSettings;
use crate::metrics::UpstreamMetrics;
use crate::server::headers::PassedHeaders;
use crate::server::spool::SpoolSettings;

/// The settings of one upstream. Pools, health and limits belong to the upstream, not to its routes.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    /// Its name, for logs.
    pub name: Arc<str>,
    /// Its addresses; without one nothing is ever sent. All of them are asked in the same way.
    pub addresses: Vec<Address>,
    /// How TLS is spoken with it; none: in cleartext.
    pub tls: Option<TlsSettings>,
    /// Whether it speaks HTTP/2: as ALPN has it over TLS, by prior knowledge in cleartext.
    pub http2: bool,
    /// Whether connections are kept and used again.
    pub pool: bool,
    /// How long a kept connection may be idle.
    pub pool_idle_timeout: Duration,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Time from the end of the request to the head of the response.
    pub response_timeout: Duration,
    /// How long a body may stand still, in either direction.
    pub body_idle_timeout: Duration,
    /// How its addresses are watched.
    pub health: HealthSettings,
    /// How often another address gets what one failed at; none: never.
    pub retries: Option<RetrySettings>,
    /// How many requests it gets at once; none: as many as come.
    pub bound: Option<BoundSettings>,
    /// How request bodies are kept until they are whole; none: they stream.
    pub spool: Option<SpoolSettings>,
    /// What answers that ask for another try say of its time, where they say nothing themselves.
    pub retry_after: Option<HeaderValue>,
    /// Headers of clients that pass all the same.
    pub passed_headers: PassedHeaders,
    /// Where what happens is counted.
    pub metrics: UpstreamMetrics,
}

impl UpstreamSettings {
    /// Whether an address is reached and watched in the same way as by other settings, so that its connections and its health are good
    /// for both.
    pub(super) fn reaches_like(&self, other: &Self) -> bool {
        let of = |settings: &Self| {
            let Self { http2, pool, pool_idle_timeout, connect_timeout, handshake_timeout, .. } = *settings;
            (http2, pool, pool_idle_timeout, connect_timeout, handshake_timeout)
        };
        of(self) == of(other)
            && self.name == other.name
            && self.tls == other.tls
            && self.health == other.health
            && self.metrics == other.metrics
    }
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A name or an IP address, without brackets, and a port.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
impl UpstreamSettings {
    /// One at these ports of this host, called `registry`, without anything that may be left out; each time is a second.
    pub(crate) fn plain(ports: &[u16]) -> Self {
        let second = Duration::from_secs(1);
        Self {
            name: "registry".into(),
            addresses: ports.iter().map(|port| Address::Tcp { host: "127.0.0.1".into(), port: *port }).collect(),
            tls: None,
            http2: false,
            pool: true,
            pool_idle_timeout: second,
            connect_timeout: second,
            handshake_timeout: second,
            response_timeout: second,
            body_idle_timeout: second,
            health: HealthSettings {
                path: "/".into(),
                interval: second,
                timeout: second,
                unhealthy_after: 1,
                healthy_after: 1,
                eject_after: 1,
                eject_time: second,
            },
            retries: None,
            bound: None,
            spool: None,
            retry_after: None,
            passed_headers: PassedHeaders::default(),
            metrics: UpstreamMetrics::default(),
        }
    }
}

/// How TLS is spoken with an upstream. There is no way to leave out the verification of its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file with the CAs that may have signed its certificate; none: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The certificate that it is shown, and the key of that.
    pub identity: Option<IdentityFiles>,
    /// The name that its certificate must be good for, which it is also told (SNI); none: the host of the address.
    pub server_name: Option<String>,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate, and behind it those between it and its CA.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// How addresses are watched: actively, by probes, and passively, by what becomes of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// What probes ask for.
    pub path: String,
    /// Time between two probes of one address.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// How many probes in a row must fail before an address gets no more requests.
    pub unhealthy_after: u32,
    /// How many in a row must be answered before it gets them again.
    pub healthy_after: u32,
    /// How many requests in a row must fail before an address gets no more for a while; 0: that never happens.
    pub eject_after: u32,
    /// How long that is the first time. It doubles each time, up to a minute.
    pub eject_time: Duration,
}

/// How often another address gets what one failed at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetrySettings {
    /// Retries for each request, over time: 0.2 lets every fifth be sent twice.
    pub budget: f64,
    /// The most that is saved up.
    pub burst: u32,
}
