//! One client connection, from accept to an orderly end: what is spoken over it, and how it is closed.
//!
//! How requests are read and answers are written stands in `http1` and `http2`; what is answered is the service's part, given from
//! outside. Nothing here looks into requests, beyond what is needed to time and bound them.

mod activity;
mod channel;
mod http1;
mod http2;
mod inbound;
mod opening;
mod socket;
mod streams;

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::entrance::EntranceSettings;
use super::linger::{self, LingerSettings};
use super::shutdown::ShutdownWatch;
use super::stream::{PeerAddr, Stream};
use super::tls::Tls;
use crate::certificate::Certificate;
use crate::metrics::{Metrics, Protocol};
pub(crate) use channel::Channel;
pub use http2::Http2Settings;
pub use inbound::Inbound;
use opening::{Opened, Spoken};

/// hyper keeps header slots on the stack up to this number, and allocates for any other.
const DEFAULT_MAX_HEADERS: usize = 100;

/// What a client hears that began a request head and did not end it in time (RFC 9110, 15.5.9).
const HEAD_TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Limits of every connection.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// From the first byte of a request head (on a new connection: from accept, with the TLS handshake) to its end.
    pub header_timeout: Duration,
    /// How long a kept-alive connection may be silent between two requests.
    pub idle_timeout: Duration,
    /// How long a connection is silent before all but its socket is given up until there is something to read; longer than a client takes
    /// from one request to the next, since that costs more than a request.
    pub park_after: Duration,
    /// How long a client may take nothing of a response that is waiting for it.
    pub write_timeout: Duration,
    /// Header lines of one request; more are answered with 431.
    pub max_headers: usize,
    /// Bytes of one request head; more are answered with 431.
    pub max_header_size: usize,
    /// Requests of one connection, after which it is closed; none: as many as come.
    pub requests_per_connection: Option<NonZeroU64>,
    /// HTTP/2; none: it is not spoken.
    pub http2: Option<Http2Settings>,
    /// How a connection is closed while the client may be sending.
    pub linger: LingerSettings,
    /// Where connections are counted; none for those that nobody counts.
    pub metrics: Option<Metrics>,
    /// Who may come.
    pub entrance: EntranceSettings,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            park_after: Duration::from_millis(300),
            write_timeout: Duration::from_secs(60),
            max_headers: DEFAULT_MAX_HEADERS,
            max_header_size: 64 * 1024,
            requests_per_connection: None,
            http2: Some(Http2Settings::default()),
            linger: LingerSettings::default(),
            metrics: None,
            entrance: EntranceSettings::default(),
        }
    }
}

/// The settings of connections to come, which can be changed while others are open. Clones are the same settings.
#[derive(Clone, Debug)]
pub struct LiveSettings(Arc<ArcSwap<ConnectionSettings>>);

impl LiveSettings {
    /// What a connection that begins now gets.
    pub(crate) fn now(&self) -> Arc<ConnectionSettings> {
        self.0.load_full()
    }

    /// Changes them for connections that begin from now on.
    pub fn set(&self, settings: ConnectionSettings) {
        self.0.store(Arc::new(settings));
    }
}

impl From<ConnectionSettings> for LiveSettings {
    fn from(settings: ConnectionSettings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }
}

/// Where a connection comes from, for the service that answers it.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The client's end.
    pub peer: PeerAddr,
    /// Our end: the address that the client connected to; none where that was a unix socket.
    pub local: Option<SocketAddr>,
    /// Which of the configured addresses accepted it, by position.
    pub listener: usize,
    /// Which worker serves it, by position.
    pub worker: usize,
    /// The certificate that the client has shown, and that an authority of ours has signed.
    pub certificate: Option<Arc<Certificate>>,
}

/// Serves a connection until it ends, and closes it so that the client can read the last answer. The service is made once it is known
/// who the client is, and again after a time of silence.
///
/// While the gateway leaves, the next answer says that it is the last. A drain closes it at once when it is idle, else after the
/// current requests. A cut drops it; a response that is under way is then reset, never ended as if it were whole.
pub async fn serve<M, S, B>(
    stream: Stream,
    info: ConnectionInfo,
    tls: Option<Arc<Tls>>,
    make_service: M,
    settings: Arc<ConnectionSettings>,
    mut shutdown: ShutdownWatch,
) where
    M: Fn(&ConnectionInfo) -> S,
    S: Service<Request<Inbound>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut cut = shutdown.clone();
    tokio::select! {
        () = cut.cut() => {}
        () = serve_to_the_end(stream, info, tls.as_deref(), make_service, &settings, &mut shutdown) => {}
    }
}

async fn serve_to_the_end<M, S, B>(
    stream: Stream,
    mut info: ConnectionInfo,
    tls: Option<&Tls>,
    make_service: M,
    settings: &ConnectionSettings,
    shutdown: &mut ShutdownWatch,
) where
    M: Fn(&ConnectionInfo) -> S,
    S: Service<Request<Inbound>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Counts until the first request has come, whatever has to come before it.
    let deadline = tokio::time::Instant::now() + settings.header_timeout;
    // What is only for a moment has a place of its own, so that a connection which does nothing takes little.
    let Some(opened) = Box::pin(opening::open(stream, tls, settings, deadline, shutdown)).await else { return };
    let Opened { mut channel, spoken, certificate } = opened;
    info.certificate = certificate;
    if let Some(metrics) = &settings.metrics {
        metrics.protocol(if spoken == Spoken::Http2 { Protocol::Http2 } else { Protocol::Http1 });
    }
    let make_service = || make_service(&info);
    let end = match (spoken, &settings.http2) {
        (Spoken::Http2, Some(http2)) => {
            Box::pin(http2::serve(&mut channel, make_service(), settings, http2, deadline, shutdown)).await
        }
        _ => http1::serve(&mut channel, make_service, settings, deadline, shutdown).await,
    };
    match end {
        End::Idle => channel.close().await,
        End::Answered => Box::pin(linger::close(channel, settings.linger)).await,
        End::Faulted => Box::pin(linger::close(channel, settings.linger.brief())).await,
        End::SlowHead => {
            channel.last_word(HEAD_TOO_SLOW);
            Box::pin(linger::close(channel, settings.linger)).await;
        }
        End::Broken => {}
    }
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Between requests: there is nothing that the client would miss.
    Idle,
    /// With an answer, to a request or to something that was none.
    Answered,
    /// The client broke the protocol, and was told so.
    Faulted,
    /// A request head took too long.
    SlowHead,
    /// Within a request or a response.
    Broken,
}

#[cfg(test)]
mod ending_tests;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod framing_tests;
#[cfg(test)]
mod http2_early_tests;
#[cfg(test)]
mod http2_limits_tests;
#[cfg(test)]
mod http2_tests;
#[cfg(test)]
mod parking_tests;
#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod tests;
