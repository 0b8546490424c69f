//! Keys of 256 random bits, and the SHA-256 by which they are stored.
//!
//! What nobody can guess needs no slow hash: this one is for keys that were made here, never for passwords.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::cache::NoRandomness;
use crate::secret::Secret;

/// What every key that is made here begins with, so that scanners and people know one when they see it.
pub const KEY_PREFIX: &str = "tgk_";

/// What a stored hash begins with.
const SCHEME: &str = "sha256:";

/// The SHA-256 of a key. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

/// A text is no `sha256:` hash. Never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is `sha256:` and 64 hexadecimal digits, as `tidegate api-key` prints it")]
pub struct KeyHashError;

impl KeyHash {
    /// The hash of a key.
    pub fn of(key: &Secret) -> Self {
        let digest = digest::digest(&digest::SHA256, key.expose().as_bytes());
        let mut hash = [0; 32];
        hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(hash)
    }

    /// Parses `sha256:` and 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, KeyHashError> {
        let digits = text.strip_prefix(SCHEME).map(str::as_bytes).ok_or(KeyHashError)?;
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return Err(KeyHashError);
        }
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let &[high, low] = pair else { return Err(KeyHashError) };
            *byte = value(high).zip(value(low)).map(|(high, low)| high << 4 | low).ok_or(KeyHashError)?;
        }
        Ok(Self(hash))
    }

    /// As a configuration holds it. Who has it cannot find the key, so this is the one place that shows it.
    pub fn to_text(self) -> String {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        SCHEME.chars().chain(digits.filter_map(|digit| char::from_digit(digit.into(), 16))).collect()
    }

    /// Whether `key` is the one behind this hash.
    pub(super) fn verify(&self, key: &Secret) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&Self::of(key).0, &self.0).is_ok()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(****)")
    }
}

/// Makes a key: [`KEY_PREFIX`] and 256 random bits in Base64url.
pub fn new_key() -> Result<Secret, NoRandomness> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes).map_err(|_| NoRandomness)?;
    let mut key = String::with_capacity(KEY_PREFIX.len() + 43);
    key.push_str(KEY_PREFIX);
    URL_SAFE_NO_PAD.encode_string(*bytes, &mut key);
    Ok(Secret::new(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{KEY_PREFIX, KeyHash, new_key};
    use crate::secret::Secret;

    #[test]
    fn it_is_sha256() {
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of(&Secret::new("abc")).to_text(), abc);
        let upper = abc.to_uppercase().replace("SHA256", "sha256");
        assert_eq!(KeyHash::parse(&upper).unwrap(), KeyHash::parse(abc).unwrap());
        assert!(KeyHash::parse(abc).unwrap().verify(&Secret::new("abc")));
        assert!(!KeyHash::parse(abc).unwrap().verify(&Secret::new("abd")));
        assert_eq!(format!("{:?}", KeyHash::parse(abc)), "Ok(KeyHash(****))");
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let digits = "0".repeat(64);
        let wide = format!("sha256:{}é", "0".repeat(62));
        for text in ["", "sha256:", &digits, &format!("sha512:{digits}"), &format!("sha256:{digits}0"), &wide] {
            assert!(KeyHash::parse(text).is_err(), "{text}");
        }
        assert!(KeyHash::parse(&format!("sha256:{}g", &digits[1..])).is_err());
        assert!(KeyHash::parse(&format!("sha256:+{}", &digits[1..])).is_err());
        assert!(KeyHash::parse(&format!("SHA256:{digits}")).is_err());
    }

    #[test]
    fn keys_differ_and_can_be_told_by_their_look() {
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(one.expose(), other.expose());
        for key in [one, other] {
            let random = key.expose().strip_prefix(KEY_PREFIX).unwrap();
            assert_eq!(random.len(), 43);
            assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        }
    }

    proptest! {
        #[test]
        fn a_hash_is_written_and_read_back(key in "\\PC{0,40}") {
            let hash = KeyHash::of(&Secret::new(key));
            prop_assert_eq!(KeyHash::parse(&hash.to_text()).unwrap(), hash);
        }

        #[test]
        fn nothing_panics(text in "(sha256:)?\\PC{0,70}") {
            let _ = KeyHash::parse(&text);
        }
    }
}
