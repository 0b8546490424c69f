//! Public halves: verification, JWK, and the two kinds of key id.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{PublicKey as RsaPublicKey, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Algorithm, KeyError, KeyIdFormat, pem};

/// A public key, parsed once and bound to its one algorithm.
#[derive(Clone, Debug)]
pub struct PublicKey {
    algorithm: Algorithm,
    parsed: ParsedPublicKey,
    members: Members,
    spki: Vec<u8>,
}

/// The members of the JWK that make up the key, in Base64url.
#[derive(Clone, Debug)]
enum Members {
    Ec { x: String, y: String },
    Okp { x: String },
    Rsa { n: String, e: String },
}

impl PublicKey {
    /// Reads a key in the form native to its type: an uncompressed point, 32 raw bytes, or a PKCS#1 `RSAPublicKey`.
    pub(super) fn from_native(algorithm: Algorithm, native: &[u8]) -> Result<Self, KeyError> {
        let verification: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::EdDsa => &ED25519,
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        let parsed = ParsedPublicKey::new(verification, native).map_err(|_| KeyError::PublicKey)?;
        let members = match algorithm {
            Algorithm::Es256 => {
                let Some((0x04, point)) = native.split_first().map(|(first, rest)| (*first, rest)) else {
                    return Err(KeyError::PublicKey);
                };
                let (x, y) = point.split_at_checked(32).ok_or(KeyError::PublicKey)?;
                Members::Ec { x: encode(x), y: encode(y) }
            }
            Algorithm::EdDsa => Members::Okp { x: encode(native) },
            Algorithm::Rs256 => {
                let key = RsaPublicKey::from_der(native).map_err(|_| KeyError::PublicKey)?;
                let parts = PublicKeyComponents::<Vec<u8>>::from(&key);
                Members::Rsa { n: encode(&parts.n), e: encode(&parts.e) }
            }
        };
        let spki: PublicKeyX509Der<'_> = parsed.as_der().map_err(|_| KeyError::PublicKey)?;
        let spki = spki.as_ref().to_vec();
        Ok(Self { algorithm, parsed, members, spki })
    }

    /// The algorithm of every signature by this key.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` (as in a JWS: fixed length for ES256) is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    /// The key's id.
    pub fn kid(&self, format: KeyIdFormat) -> String {
        match format {
            KeyIdFormat::Rfc7638 => encode(digest(&SHA256, self.canonical().as_bytes()).as_ref()),
            KeyIdFormat::Libtrust => libtrust(digest(&SHA256, &self.spki).as_ref()),
        }
    }

    /// The key as a JWK (RFC 7517) with `alg` and `use`, without `kid`.
    pub fn jwk(&self) -> Value {
        let alg = self.algorithm.as_str();
        match &self.members {
            Members::Ec { x, y } => json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": alg, "use": "sig"}),
            Members::Okp { x } => json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": alg, "use": "sig"}),
            Members::Rsa { n, e } => json!({"kty": "RSA", "n": n, "e": e, "alg": alg, "use": "sig"}),
        }
    }

    /// The `SubjectPublicKeyInfo` (RFC 5280) in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The `SubjectPublicKeyInfo` as a `PUBLIC KEY` PEM block.
    pub fn pem(&self) -> String {
        pem::block("PUBLIC KEY", &self.spki)
    }

    /// The text whose digest is the RFC 7638 thumbprint: required members only, sorted, no white space.
    fn canonical(&self) -> String {
        match &self.members {
            Members::Ec { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
            Members::Okp { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
            Members::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
        }
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// libtrust's key id: the first 30 bytes of the digest in Base32, in groups of four joined by `:`.
fn libtrust(digest: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut id = String::with_capacity(59);
    let mut letters = 0;
    // Five bytes are eight letters; thirty bytes divide evenly, so there is no padding.
    for chunk in digest.get(..30).unwrap_or(digest).chunks(5) {
        let bits = chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for letter in (0..8).rev() {
            if letters > 0 && letters % 4 == 0 {
                id.push(':');
            }
            let index = usize::try_from(bits >> (5 * letter) & 31).unwrap_or(0);
            id.push(char::from(ALPHABET[index]));
            letters += 1;
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::PublicKey;
    use crate::keys::{Algorithm, KeyIdFormat};

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    #[test]
    fn libtrust_id_of_the_specifications_example() {
        let mut point = vec![4];
        point.extend(decode("m7zUpx3b-zmVE5cymSs64POG9QcyEpJaYCD82-549_Q"));
        point.extend(decode("dU3biz8sZ_8GPB-odm8Wxz3lNDr1xcAQQPQaOcr1fmc"));
        let key = PublicKey::from_native(Algorithm::Es256, &point).unwrap();
        let expected = "PYYO:TEWU:V7JH:26JV:AQTZ:LJC3:SXVJ:XGHA:34F2:2LAQ:ZRMK:Z7Q6";
        assert_eq!(key.kid(KeyIdFormat::Libtrust), expected);
    }

    #[test]
    fn thumbprint_of_rfc_8037_appendix_a() {
        let key =
            PublicKey::from_native(Algorithm::EdDsa, &decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")).unwrap();
        assert_eq!(key.kid(KeyIdFormat::Rfc7638), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn thumbprint_of_rfc_7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj\
                 hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQv\
                 RL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        // RSAPublicKey ::= SEQUENCE { n INTEGER, e INTEGER }, with a zero before the set top bit of n.
        let mut native = vec![0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];
        native.extend(decode(n));
        native.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
        let key = PublicKey::from_native(Algorithm::Rs256, &native).unwrap();
        assert_eq!(key.jwk()["n"], n);
        assert_eq!(key.jwk()["e"], "AQAB");
        assert_eq!(key.kid(KeyIdFormat::Rfc7638), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn what_is_no_point_is_no_key() {
        assert!(PublicKey::from_native(Algorithm::Es256, &[4; 65]).is_err());
        assert!(PublicKey::from_native(Algorithm::EdDsa, &[1; 31]).is_err());
    }
}
