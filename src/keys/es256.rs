//! ES256, verified by whoever could have signed it.
//!
//! Who verifies ECDSA (FIPS 186-5, section 6.4.2) computes the point R = (z/s)·G + (r/s)·Q and holds its x-coordinate against r. The
//! public key Q is another point for each key, and its multiple takes most of the time. But Q is d·G, so that who has the private key
//! d gets the same point as ((z + r·d)/s)·G: a multiple of the generator alone, of which libraries keep tables to sign with. Every key
//! of a gateway is there with its private half, so this is how it verifies what another gateway has signed by the same key.
//!
//! The factor of G is the nonce of the signature where the signature is good, and who learns one has the key. So it is treated as the
//! key is: arithmetic in constant time, a point computed as for a new private key, and what held it is overwritten. Only the inverse of
//! s, which the client has sent, takes a time of its own.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::signature::EcdsaKeyPair;
use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams as _};
use crypto_bigint::{U256, const_monty_params};
use zeroize::{Zeroize as _, Zeroizing};

use super::KeyError;

const_monty_params!(
    Order,
    U256,
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    "The order of the group of P-256 (SP 800-186, section 3.2.1.3)."
);

/// An integer modulo [`Order`].
type Scalar = ConstMontyForm<Order, { Order::LIMBS }>;

/// A private key, for verification. Knows no signing.
pub(super) struct Holder {
    private: Scalar,
}

impl Holder {
    pub(super) fn of(pair: &EcdsaKeyPair) -> Result<Self, KeyError> {
        let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().map_err(|_| KeyError::Library)?;
        let mut integer = integer(private.as_ref()).ok_or(KeyError::Library)?;
        let private = Scalar::new(&integer);
        integer.zeroize();
        Ok(Self { private })
    }

    /// Whether `signature`, r and s in 32 bytes each (RFC 7518, section 3.4), is the key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((r, s)) = read(signature) else { return false };
        let nonce = self.nonce(digest(&SHA256, message).as_ref(), &r, &s);
        nonce.and_then(|nonce| abscissa(&nonce)).is_some_and(|x| x == r)
    }

    /// (z + r·d)/s.
    fn nonce(&self, hash: &[u8], r: &Scalar, s: &Scalar) -> Option<Zeroizing<[u8; 32]>> {
        let z = integer(hash)?;
        let inverse = s.invert_vartime().into_option()?;
        let mut nonce = Scalar::new(&z).add(&r.mul(&self.private)).mul(&inverse);
        let mut integer = nonce.retrieve();
        let bytes = Zeroizing::new(integer.to_be_bytes().into());
        nonce.zeroize();
        integer.zeroize();
        Some(bytes)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.private.zeroize();
    }
}

/// r and s, if both lie between 1 and the order.
fn read(signature: &[u8]) -> Option<(Scalar, Scalar)> {
    let (r, s) = signature.split_at_checked(32)?;
    let scalar = |bytes| integer(bytes).filter(|value| *value != U256::ZERO && value < Scalar::MODULUS.as_ref());
    Some((Scalar::new(&scalar(r)?), Scalar::new(&scalar(s)?)))
}

/// 32 bytes, the highest first.
fn integer(bytes: &[u8]) -> Option<U256> {
    let bytes: &[u8; 32] = bytes.try_into().ok()?;
    Some(U256::from_be_slice(bytes))
}

/// The x-coordinate of the generator times this, modulo the order. None for the point at infinity.
fn abscissa(factor: &[u8; 32]) -> Option<Scalar> {
    let point = PrivateKey::from_private_key(&ECDH_P256, factor).ok()?.compute_public_key().ok()?;
    // Uncompressed (SEC 1, section 2.3.3): a byte that says so, x and y.
    integer(point.as_ref().get(1..33)?).map(|x| Scalar::new(&x))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, KeyPair as _, ParsedPublicKey,
    };
    use crypto_bigint::NonZero;
    use proptest::prelude::*;

    use super::*;

    /// A key, and what the library says by its public half alone.
    struct Both {
        pair: EcdsaKeyPair,
        holder: Holder,
        public: ParsedPublicKey,
    }

    impl Both {
        fn of(pair: EcdsaKeyPair) -> Self {
            let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key()).unwrap();
            Self { holder: Holder::of(&pair).unwrap(), public, pair }
        }

        fn sign(&self, message: &[u8]) -> Vec<u8> {
            self.pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        }

        #[track_caller]
        fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
            let verdict = self.holder.verifies(message, signature);
            assert_eq!(verdict, self.public.verify_sig(message, signature).is_ok(), "{signature:02x?}");
            verdict
        }
    }

    fn key() -> Both {
        Both::of(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn order() -> U256 {
        *Scalar::MODULUS.as_ref()
    }

    fn halves(r: &U256, s: &U256) -> Vec<u8> {
        [r, s].iter().flat_map(|half| <[u8; 32]>::from(half.to_be_bytes())).collect()
    }

    #[test]
    fn the_signatures_of_rfc_6979_a_2_5() {
        let key = Both::of(
            EcdsaKeyPair::from_private_key_and_public_key(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                &hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"),
                &hex("0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                     7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"),
            )
            .unwrap(),
        );
        let sample = hex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
             f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
        let test = hex("f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367\
             019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083");
        assert!(key.verifies(b"sample", &sample));
        assert!(key.verifies(b"test", &test));
        assert!(!key.verifies(b"test", &sample));
        assert!(!key.verifies(b"sample", &test));
    }

    #[test]
    fn another_keys_signature_is_none() {
        let signature = key().sign(b"message");
        assert!(!key().verifies(b"message", &signature));
    }

    #[test]
    fn what_is_not_in_range_is_no_signature() {
        let key = key();
        let good = key.sign(b"message");
        let (r, s) = (U256::from_be_slice(&good[..32]), U256::from_be_slice(&good[32..]));
        assert!(key.verifies(b"message", &halves(&r, &s)));
        let order = order();
        for value in [U256::ZERO, order, order.wrapping_add(&U256::ONE), U256::MAX] {
            assert!(read(&halves(&value, &s)).is_none() && read(&halves(&r, &value)).is_none());
            assert!(!key.verifies(b"message", &halves(&value, &s)));
            assert!(!key.verifies(b"message", &halves(&r, &value)));
            assert!(!key.verifies(b"message", &halves(&value, &value)));
        }
        for length in [0, 1, 31, 32, 33, 63] {
            assert!(!key.verifies(b"message", &good[..length]));
        }
        assert!(!key.verifies(b"message", &[&good[..], &[0]].concat()));
        assert!(!key.verifies(b"message", &[&[0], &good[..]].concat()));
    }

    #[test]
    fn the_point_at_infinity_is_no_signatures() {
        let key = key();
        let r = Scalar::new(&U256::from_u64(7));
        // z = -r·d makes the nonce nothing, whatever s is.
        let hash = <[u8; 32]>::from(r.mul(&key.holder.private).neg().retrieve().to_be_bytes());
        let nonce = key.holder.nonce(&hash, &r, &Scalar::new(&U256::from_u64(11))).unwrap();
        assert_eq!(*nonce, [0; 32]);
        assert!(abscissa(&nonce).is_none());
    }

    #[test]
    fn the_generators_own_coordinate() {
        let mut one = [0; 32];
        one[31] = 1;
        let x = hex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296");
        assert_eq!(abscissa(&one).unwrap(), Scalar::new(&U256::from_be_slice(&x)));
    }

    proptest! {
        #[test]
        fn what_the_library_says(
            message in proptest::collection::vec(any::<u8>(), 0..300),
            at in 0_usize..64,
            bit in 0_u8..8,
        ) {
            let key = key();
            let mut signature = key.sign(&message);
            prop_assert!(key.verifies(&message, &signature));
            // Whoever sees a signature can make the other one of the same message; both halves of it are in range.
            let s = order().wrapping_sub(&U256::from_be_slice(&signature[32..]));
            prop_assert!(key.verifies(&message, &halves(&U256::from_be_slice(&signature[..32]), &s)));
            signature[at] ^= 1 << bit;
            prop_assert!(!key.verifies(&message, &signature));
        }

        /// A coordinate may be as large as the prime of the field, and a hash as 2²⁵⁶; both are larger than the order.
        #[test]
        fn integers_beyond_the_order_are_reduced(bytes in any::<[u8; 32]>(), ones in 0_usize..32) {
            let mut bytes = bytes;
            bytes[..ones].fill(0xff);
            let value = U256::from_be_slice(&bytes);
            let rest = value.rem(&NonZero::new(order()).unwrap());
            prop_assert_eq!(Scalar::new(&value), Scalar::new(&rest));
            prop_assert_eq!(Scalar::new(&value).retrieve(), rest);
        }
    }
}
