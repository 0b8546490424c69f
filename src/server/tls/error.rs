//! What can be wrong with the files of TLS. No text of these holds anything of a key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// TLS cannot be served with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One file.
    #[error("{}: {cause}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        cause: Cause,
    },
    /// A certificate and a key that are none of one another's.
    #[error("{}: the private key in {} is not that of the certificate", cert.display(), key.display())]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// Nothing of any file.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum Cause {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is no PEM text.
    NoPem,
    /// It holds no certificate.
    NoCertificate,
    /// What it holds as a certificate is none.
    BadCertificate,
    /// It holds no private key.
    NoKey,
    /// Its private key is encrypted.
    Encrypted,
    /// Its private key is of a kind that TLS cannot use.
    BadKey,
    /// Its certificate has expired, at this time in seconds since the epoch.
    Expired(u64),
    /// It holds no authority that could sign for clients.
    NoAuthority(String),
}

impl TlsError {
    pub(super) fn file(file: &Path, cause: Cause) -> Self {
        Self::File { file: file.to_owned(), cause }
    }

    pub(super) fn authorities(file: &Path, why: &str) -> Self {
        Self::file(file, Cause::NoAuthority(why.to_owned()))
    }

    /// The file to look at.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { file, .. } => Some(file),
            Self::Mismatch { cert, .. } => Some(cert),
            Self::Setup(_) => None,
        }
    }

    /// What would mend it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File { cause, .. } => match cause {
                Cause::Unreadable(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    "let the gateway's user read it"
                }
                Cause::Unreadable(_) => "",
                Cause::NoPem | Cause::NoCertificate | Cause::BadCertificate => {
                    "it must hold the certificate, then those of the authorities between it and the root, each as a PEM block"
                }
                Cause::NoKey => "it must hold a PEM block PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY",
                Cause::Encrypted => "decrypt it: `openssl pkey -in FILE -out NEW`",
                Cause::BadKey => {
                    "use a key of the types ECDSA (P-256, P-384, P-521), Ed25519 or RSA (2048 bits or more)"
                }
                Cause::Expired(_) => "renew it",
                Cause::NoAuthority(_) => "it must hold the certificates of the authorities that sign for clients",
            },
            Self::Mismatch { .. } => "take both from the same issue of the certificate",
            Self::Setup(_) => "",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::NoPem => f.write_str("is no PEM text"),
            Self::NoCertificate => f.write_str("holds no certificate"),
            Self::BadCertificate => f.write_str("what it holds as a certificate is none"),
            Self::NoKey => f.write_str("holds no private key"),
            Self::Encrypted => f.write_str("the private key is encrypted"),
            Self::BadKey => f.write_str("the private key cannot be used for TLS"),
            Self::Expired(at) => write!(f, "the certificate has expired at {}", date(*at)),
            Self::NoAuthority(why) => write!(f, "holds no authority for client certificates: {why}"),
        }
    }
}

/// A point in time, for people.
pub(super) fn date(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "a time beyond all calendars".to_owned())
}
