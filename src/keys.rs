//! Signing keys: their files, their ids, their public forms, and the ring that tokens are signed and verified with.
//!
//! What is signed (claims, headers, life times) is the business of [`crate::token`]; which files are keys is that of the
//! configuration.

mod certificate;
mod es256;
mod file;
mod pem;
mod public;
mod ring;
mod signed;
mod signing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

pub use file::{KeyFileError, LoadedKey, SIGNING_KEY_FILE, load_file, load_or_generate, write_new};
pub use public::PublicKey;
pub use ring::{KeyRing, RingError, RingKey};
pub use signing::{KeyError, SigningFailed, SigningKey};

/// The signature algorithm of a key. Each type of key has exactly one, so a token cannot choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4).
    #[default]
    Es256,
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3), 2048 to 8192 bits.
    Rs256,
}

impl Algorithm {
    /// All algorithms, the default first.
    pub const ALL: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    /// The name in the `alg` member of a JOSE header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no algorithm of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such algorithm; the algorithms are ES256, EdDSA and RS256")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Reads the exact name; JOSE names are case-sensitive.
    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or(UnknownAlgorithm)
    }
}

/// How a key's `kid` is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyIdFormat {
    /// The JWK thumbprint of RFC 7638.
    #[default]
    Rfc7638,
    /// libtrust's fingerprint, which distribution 2.x looks keys up by.
    Libtrust,
}
