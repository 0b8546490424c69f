//! Why a correct configuration does not become a running gateway.

use std::path::PathBuf;
use std::sync::Arc;

use crate::access_log::LogError;
use crate::authn::{HtpasswdError, NoRandomness};
use crate::jq::CompileError;
use crate::keys::{KeyError, KeyFileError, RingError};
use crate::server::UpstreamTlsError;
use crate::server::admin::AdminError;
use crate::server::listener::ListenError;
use crate::server::tls::TlsError;
use crate::telemetry::TelemetryError;
use crate::token::IssueError;

/// Why a correct configuration does not become a running gateway.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The keys together.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// What follows from the keys.
    #[error("a secret cannot be derived from a signing key: {0}")]
    Derive(#[from] KeyError),
    /// The token issuer.
    #[error(transparent)]
    Issuer(#[from] IssueError),
    /// An htpasswd file.
    #[error(transparent)]
    Htpasswd(#[from] HtpasswdError),
    /// The memory of passwords.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// An address to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The admin listener.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The directory of an upstream's `spool`.
    #[error("request bodies cannot be kept in {}: {source}", directory.display())]
    Spool {
        /// Where they should be.
        directory: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificates of TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The logs.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What is told in the log.
    #[error(transparent)]
    Level(#[from] TelemetryError),
    /// Threads.
    #[error("cannot start the worker threads: {0}")]
    Threads(#[from] std::io::Error),
    /// `identity.username`.
    #[error("identity.username is no jq path: {0}")]
    Username(CompileError),
    /// What an upstream's `tls` names.
    #[error("upstream {upstream} cannot speak TLS: {source}")]
    UpstreamTls {
        /// Its name.
        upstream: Arc<str>,
        /// Why not.
        source: Box<UpstreamTlsError>,
    },
    /// A user name or password that cannot stand in a header.
    #[error("the account of upstream {0} cannot stand in an Authorization header")]
    BasicAccount(Arc<str>),
}
