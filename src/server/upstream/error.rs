//! Why an upstream gave no usable answer: at which address, in which phase, and whose fault it was.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::http1::ReadError;
use super::http2;
use crate::metrics::Outcome;
use crate::server::body::BodyError;

/// How an exchange over a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection ended before the answer did.
    #[error("the connection ended before there was a whole response")]
    Ended,
    /// The system, or TLS, could not go on.
    #[error("{0}")]
    Io(std::io::Error),
    /// What came is no response.
    #[error("the response cannot be read: {0}")]
    NoHttp(ReadError),
    /// The body of the request broke off.
    #[error("{0}")]
    Request(BodyError),
    /// The body of the request was longer or shorter than its length.
    #[error("the request has another length than it says")]
    Length,
    /// The same and more over HTTP/2, where a library tells it.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl LinkError {
    /// Whether the peer says that it has not looked at the request, so that it may be sent again whatever it does.
    pub(super) fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Http2(error) if http2::is_unprocessed(error))
    }
}

/// The upstream, and which of its addresses, that an error is about.
#[derive(Clone, Debug)]
pub struct At {
    /// The upstream's name.
    pub name: Arc<str>,
    /// Its address; none where it does not matter which it was.
    pub address: Option<Arc<str>>,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{} at {address}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Why an upstream gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection.
    #[error("cannot connect to upstream {at}: {source}")]
    Connect {
        /// Where.
        at: At,
        /// What the system said.
        source: std::io::Error,
    },
    /// No connection within the bound.
    #[error("upstream {at} did not accept a connection within {limit:?}")]
    ConnectTimeout {
        /// Where.
        at: At,
        /// `connect_timeout`.
        limit: Duration,
    },
    /// The TLS handshake failed: it is not who it should be, it does not take us for whom we are, or it does not speak TLS.
    #[error("no TLS with upstream {at}: {source}")]
    Handshake {
        /// Where.
        at: At,
        /// What the TLS library said.
        source: std::io::Error,
    },
    /// The TLS handshake was not done within the bound.
    #[error("upstream {at} did not finish the TLS handshake within {limit:?}")]
    HandshakeTimeout {
        /// Where.
        at: At,
        /// `handshake_timeout`.
        limit: Duration,
    },
    /// The connection ended before the head of the response, or what came was no HTTP.
    #[error("upstream {at} closed the connection or sent no valid response: {source}")]
    Broken {
        /// Where.
        at: At,
        /// How.
        source: LinkError,
    },
    /// The request was sent whole and no head came within the bound.
    #[error("upstream {at} did not answer within {limit:?}")]
    ResponseTimeout {
        /// Where.
        at: At,
        /// `response_timeout`.
        limit: Duration,
    },
    /// The upstream stopped reading the request body.
    #[error("upstream {at} did not take more of the request body for {limit:?}")]
    Stalled {
        /// Where.
        at: At,
        /// `body_idle_timeout`.
        limit: Duration,
    },
    /// The client stopped sending the request body.
    #[error("the client sent no more of the request body for {limit:?}")]
    ClientStalled {
        /// `body_idle_timeout`.
        limit: Duration,
    },
    /// The client broke off the request body.
    #[error("the client broke off the request body")]
    ClientBroke,
    /// As many requests wait for the upstream as may.
    #[error("upstream {name} is busy, and no more may wait (max_concurrent = {at_once}, queue = {queue})")]
    QueueFull {
        /// The upstream's name.
        name: Arc<str>,
        /// `max_concurrent`.
        at_once: usize,
        /// `queue`.
        queue: usize,
    },
    /// The upstream was busy with other requests for as long as this one may wait.
    #[error("upstream {name} was busy for {limit:?}, and nobody waits longer (max_concurrent = {at_once})")]
    QueueTimeout {
        /// The upstream's name.
        name: Arc<str>,
        /// `max_concurrent`.
        at_once: usize,
        /// `queue_timeout`.
        limit: Duration,
    },
}

impl UpstreamError {
    /// What it is counted as.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Handshake { .. }
            | Self::HandshakeTimeout { .. } => Outcome::Connect,
            Self::Broken { .. } => Outcome::Broken,
            Self::ResponseTimeout { .. } | Self::Stalled { .. } => Outcome::Timeout,
            Self::ClientStalled { .. } | Self::ClientBroke => Outcome::Client,
            Self::QueueFull { .. } => Outcome::QueueFull,
            Self::QueueTimeout { .. } => Outcome::QueueTimeout,
        }
    }

    /// Whether it speaks against the address that was asked, and not against the client or the load.
    pub(super) fn is_of_upstream(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Handshake { .. }
            | Self::HandshakeTimeout { .. }
            | Self::Broken { .. }
            | Self::ResponseTimeout { .. }
            | Self::Stalled { .. } => true,
            Self::ClientStalled { .. } | Self::ClientBroke | Self::QueueFull { .. } | Self::QueueTimeout { .. } => {
                false
            }
        }
    }
}
