//! Content digests (OCI image-spec, "Digests").

use std::fmt;
use std::sync::Arc;

/// A digest: `algorithm:encoded`, with the length and alphabet checked for the registered algorithms.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Arc<str>);

/// Why a text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not `algorithm:encoded`.
    #[error("a digest must be of the form algorithm:hex")]
    BadForm,
    /// `sha256` and `sha512` have 64 and 128 lower-case hexadecimal digits.
    #[error("a sha256 digest has 64 lower-case hexadecimal digits, a sha512 digest 128")]
    BadHex,
}

impl Digest {
    /// Checks a text: `sha256` and `sha512` exactly, other algorithms by the general grammar.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestError::BadForm)?;
        let hex =
            |length| encoded.len() == length && encoded.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match algorithm {
            "sha256" if !hex(64) => Err(DigestError::BadHex),
            "sha512" if !hex(128) => Err(DigestError::BadHex),
            "sha256" | "sha512" => Ok(Self(text.into())),
            _ => {
                let part = |part: &str| {
                    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                };
                let good = text.len() <= 255
                    && algorithm.split(['+', '.', '_', '-']).all(part)
                    && encoded.len() >= 32
                    && encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-'));
                if good { Ok(Self(text.into())) } else { Err(DigestError::BadForm) }
            }
        }
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
