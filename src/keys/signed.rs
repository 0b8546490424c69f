//! What a key has signed here.
//!
//! Whoever gets a token comes back with it, mostly to the same gateway. To recognize it there takes a hash; to verify ES256, nearly as
//! long as a small request.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

/// Most signatures that are remembered. Each takes less than a hundred bytes.
const MOST: usize = 20_000;

/// How a signature begins: enough to tell which one it would be, so that others are passed over without a hash.
type Beginning = [u8; 16];

/// Signatures that one key has made, with what it has signed, as hashes.
pub(super) struct Signed(quick_cache::sync::Cache<Beginning, [u8; 32]>);

impl Signed {
    pub(super) fn new() -> Self {
        Self(quick_cache::sync::Cache::new(MOST))
    }

    pub(super) fn remember(&self, message: &[u8], signature: &[u8]) {
        if let Some((beginning, pair)) = beginning(signature).zip(pair(message, signature)) {
            self.0.insert(beginning, pair);
        }
    }

    /// Whether the key has made this signature of this message. If it is not known any more, it may have all the same.
    pub(super) fn knows(&self, message: &[u8], signature: &[u8]) -> bool {
        let known = beginning(signature).and_then(|beginning| self.0.get(&beginning));
        known.is_some_and(|known| pair(message, signature) == Some(known))
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("len", &self.0.len()).finish_non_exhaustive()
    }
}

fn beginning(signature: &[u8]) -> Option<Beginning> {
    signature.first_chunk().copied()
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
        signed.remember(b"message", b"a signature that is long");
        assert!(signed.knows(b"message", b"a signature that is long"));
        for (message, signature) in [
            ("message", "a signature that is lonf"),
            ("message", "b signature that is long"),
            ("messagf", "a signature that is long"),
            ("messages", "a signature that is long"),
            ("messag", "a signature that is long"),
            ("messagea", " signature that is long"),
            ("message", "a signature that"),
            ("message", "a"),
            ("", ""),
        ] {
            assert!(!signed.knows(message.as_bytes(), signature.as_bytes()), "{message} {signature}");
        }
    }
}
