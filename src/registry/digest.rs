//! Content digests (OCI image-spec, "Digests"), and content held against them.

mod check;

use std::fmt;
use std::sync::Arc;

pub use check::{DigestCheck, DigestMismatch, UnknownAlgorithm};

/// A digest: `algorithm:encoded`, with the length and alphabet checked for the registered algorithms.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Arc<str>);

/// Why a text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not `algorithm:encoded`.
    #[error("a digest must be of the form algorithm:encoded")]
    BadForm,
    /// `sha256` and `sha512` have 64 and 128 lower-case hexadecimal digits.
    #[error("a sha256 digest has 64 lower-case hexadecimal digits, a sha512 digest 128")]
    BadHex,
}

impl Digest {
    /// Checks a text: `sha256` and `sha512` exactly, other algorithms by the general grammar. Of those the encoded part
    /// has at least 32 characters, as in distribution's reference grammar: less is no digest that anybody relies on.
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

    /// What stands before the colon.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(algorithm, _)| algorithm)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_algorithms_are_checked_exactly() {
        for good in [format!("sha256:{}", "0f".repeat(32)), format!("sha512:{}", "0f".repeat(64))] {
            assert_eq!(Digest::parse(&good).unwrap().as_str(), good);
        }
        for bad in [
            format!("sha256:{}", "0f".repeat(31)),
            format!("sha256:{}0", "0f".repeat(32)),
            format!("sha256:{}", "0F".repeat(32)),
            format!("sha256:{}", "0g".repeat(32)),
            format!("sha512:{}", "0f".repeat(32)),
            "sha256:".into(),
        ] {
            assert_eq!(Digest::parse(&bad), Err(DigestError::BadHex), "{bad}");
        }
    }

    #[test]
    fn other_algorithms_follow_the_general_grammar() {
        let encoded = "0123456789abcdefABCDEF_-=0123456";
        for good in ["blake3", "sha384", "tarsum.v1+sha256", "a_b-c"] {
            assert!(Digest::parse(&format!("{good}:{encoded}")).is_ok(), "{good}");
        }
        for bad in ["", "SHA256", "a++b", "+a", "a+", "a b", "a/b", "a%b", "é"] {
            assert_eq!(Digest::parse(&format!("{bad}:{encoded}")), Err(DigestError::BadForm), "{bad}");
        }
        for bad in [
            "",
            "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcde/",
            "0123456789abcdef:0123456789abcdef",
        ] {
            assert_eq!(Digest::parse(&format!("blake3:{bad}")), Err(DigestError::BadForm), "{bad}");
        }
        for bad in ["", "sha256", &encoded.repeat(2)] {
            assert_eq!(Digest::parse(bad), Err(DigestError::BadForm), "{bad}");
        }
        assert!(Digest::parse(&format!("x:{}", "a".repeat(253))).is_ok());
        assert!(Digest::parse(&format!("x:{}", "a".repeat(254))).is_err());
    }
}
