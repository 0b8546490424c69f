//! Whether content fits a digest, found out piece by piece.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Algorithm, Context, SHA256, SHA512};

use super::Digest;

/// Content on its way past, held against the digest that it must have.
#[derive(Clone)]
pub struct DigestCheck {
    expected: Digest,
    context: Context,
    bytes: u64,
}

/// A digest whose algorithm is not known here; nothing can be held against it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("content cannot be held against a digest by {algorithm}; use sha256 or sha512")]
pub struct UnknownAlgorithm {
    /// What stood before the colon.
    pub algorithm: String,
}

/// Content that its digest does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestMismatch {
    /// The digest that it must have.
    pub expected: Digest,
    /// The digest that it has.
    pub computed: Digest,
    /// How long it is.
    pub bytes: u64,
}

impl DigestCheck {
    /// Begins, with nothing of the content.
    pub fn new(expected: &Digest) -> Result<Self, UnknownAlgorithm> {
        let context = Context::new(algorithm_of(expected)?);
        Ok(Self { expected: expected.clone(), context, bytes: 0 })
    }

    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.context.update(piece);
    }

    /// The verdict over all the pieces. Digests are no secrets: the comparison need not be in constant time.
    pub fn finish(self) -> Result<(), DigestMismatch> {
        let Self { expected, context, bytes } = self;
        let name = expected.algorithm();
        let mut computed = String::with_capacity(expected.as_str().len());
        computed.push_str(name);
        computed.push(':');
        for byte in context.finish().as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(computed, "{byte:02x}");
        }
        if computed == expected.as_str() {
            return Ok(());
        }
        Err(DigestMismatch { computed: Digest(computed.into()), expected, bytes })
    }
}

impl std::fmt::Debug for DigestCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DigestCheck")
            .field("expected", &self.expected)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

fn algorithm_of(digest: &Digest) -> Result<&'static Algorithm, UnknownAlgorithm> {
    match digest.algorithm() {
        "sha256" => Ok(&SHA256),
        "sha512" => Ok(&SHA512),
        other => Err(UnknownAlgorithm { algorithm: other.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTHING: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    /// FIPS 180-2, appendix C.1.
    const ABC: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                       2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    fn check(digest: &str, pieces: &[&[u8]]) -> Result<(), DigestMismatch> {
        let mut check = DigestCheck::new(&Digest::parse(digest).unwrap()).unwrap();
        for piece in pieces {
            check.update(piece);
        }
        check.finish()
    }

    #[test]
    fn known_content_fits() {
        assert_eq!(check(NOTHING, &[]), Ok(()));
        assert_eq!(check(NOTHING, &[b"", b""]), Ok(()));
        assert_eq!(check(ABC, &[b"a", b"", b"bc"]), Ok(()));
    }

    #[test]
    fn a_mismatch_says_what_came() {
        let error = check(NOTHING, &[b"a", b"bc"]).unwrap_err();
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((error.expected.as_str(), error.computed.as_str(), error.bytes), (NOTHING, abc, 3));
        assert!(check(ABC, &[b"abd"]).unwrap_err().computed.as_str().starts_with("sha512:"));
    }

    #[test]
    fn other_algorithms_are_refused() {
        for name in ["sha384", "blake3", "sha256x", "tarsum.v1+sha256"] {
            let digest = Digest::parse(&format!("{name}:{}", "0".repeat(64))).unwrap();
            assert_eq!(DigestCheck::new(&digest).unwrap_err(), UnknownAlgorithm { algorithm: name.to_owned() });
        }
    }

    proptest! {
        #[test]
        fn how_content_is_cut_does_not_matter(
            content in prop::collection::vec(any::<u8>(), 0..300),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            flip in any::<prop::sample::Index>(),
        ) {
            let whole = check(NOTHING, &[&content]).map_or_else(|error| error.computed, |()| Digest::parse(NOTHING).unwrap());
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(content.len() + 1)).collect();
            cuts.extend([0, content.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &content[ends[0]..ends[1]]).collect();
            prop_assert_eq!(check(whole.as_str(), &pieces), Ok(()));
            if !content.is_empty() {
                let mut tampered = content.clone();
                tampered[flip.index(content.len())] ^= 1;
                prop_assert!(check(whole.as_str(), &[&tampered]).is_err());
                prop_assert!(check(whole.as_str(), &[&content[1..]]).is_err());
            }
        }
    }
}
