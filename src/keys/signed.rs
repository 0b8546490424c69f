//! What a key has signed here.
//!
//! Whoever gets a token comes back with it, mostly to the same gateway. To recognize it there takes a hash; to verify ES256, as long as
//! two small requests.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

/// Most signatures that are remembered. Each takes less than a hundred bytes.
const MOST: usize = 20_000;

/// Signatures that one key has made, with what it has signed, as hashes.
pub(super) struct Signed(quick_cache::sync::Cache<[u8; 32], ()>);

impl Signed {
    pub(super) fn new() -> Self {
        Self(quick_cache::sync::Cache::new(MOST))
    }

    pub(super) fn remember(&self, message: &[u8], signature: &[u8]) {
        if let Some(pair) = pair(message, signature) {
            self.0.insert(pair, ());
        }
    }

    /// Whether the key has made this signature of this message. If it is not known any more, it may have all the same.
    pub(super) fn knows(&self, message: &[u8], signature: &[u8]) -> bool {
        pair(message, signature).is_some_and(|pair| self.0.get(&pair).is_some())
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("len", &self.0.len()).finish_non_exhaustive()
    }
}

fn pair(message: &[u8], signature: &[u8]) -> Option<[u8; 32]> {
    let mut context = Context::new(&SHA256);
    // Where the one ends and the other begins is part of what is hashed.
    context.update(&(message.len() as u64).to_be_bytes());
    context.update(message);
    context.update(signature);
    context.finish().as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::Signed;

    #[test]
    fn what_is_known_is_the_whole_of_what_was_signed() {
        let signed = Signed::new();
        signed.remember(b"message", b"signature");
        assert!(signed.knows(b"message", b"signature"));
        for (message, signature) in [
            ("message", "signaturf"),
            ("messagf", "signature"),
            ("messages", "ignature"),
            ("messag", "esignature"),
            ("", ""),
        ] {
            assert!(!signed.knows(message.as_bytes(), signature.as_bytes()), "{message} {signature}");
        }
    }
}
