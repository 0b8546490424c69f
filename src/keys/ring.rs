//! The keys of a running gateway: the first signs, all verify.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::signed::Signed;
use super::{KeyIdFormat, SigningFailed, SigningKey};

/// Why keys make no ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// No key at all.
    #[error("at least one signing key is needed")]
    Empty,
    /// The same key twice.
    #[error("the key {kid} is listed twice")]
    Twice {
        /// Its id.
        kid: String,
    },
    /// `x5c` is wanted, but there is no certificate to send.
    #[error(
        "`x5c` needs a certificate in the file of the signing key {kid}: one made anew at each start would not be the \
         one in the registry's bundle; append the output of `tidegate keys export --format certificate` to the key file"
    )]
    NoCertificate {
        /// The id of the signing key.
        kid: String,
    },
}

/// One key of a [`KeyRing`].
#[derive(Debug)]
pub struct RingKey {
    kid: String,
    key: SigningKey,
    /// The certificates of the key's file in Base64 (standard alphabet, RFC 7515 section 4.1.6), leaf first.
    certificates: Vec<String>,
    publish_certificates: bool,
}

impl RingKey {
    /// The id by which tokens name the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The `x5c` member of tokens by this key, if they carry one.
    pub fn x5c(&self) -> Option<&[String]> {
        (self.publish_certificates && !self.certificates.is_empty()).then_some(&self.certificates)
    }

    /// The certificates of the key's file as `x5c` would hold them, whether or not tokens carry them: tokens from before
    /// the setting was turned off still do.
    pub fn certificates(&self) -> &[String] {
        &self.certificates
    }

    /// The public half as a JWK with `kid`, and `x5c` when tokens carry it.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.key.jwk();
        jwk["kid"] = json!(self.kid);
        if let Some(x5c) = self.x5c() {
            jwk["x5c"] = json!(x5c);
        }
        jwk
    }
}

/// Keys that verify, the first of which signs. Never empty; ids are unique.
#[derive(Debug)]
pub struct KeyRing {
    first: RingKey,
    /// What the first has signed.
    signed: Signed,
    rest: Vec<RingKey>,
}

impl KeyRing {
    /// Puts keys together. With `x5c` the first must have its certificate; the others have theirs in the JWKS if they
    /// have one.
    pub fn new(keys: Vec<SigningKey>, format: KeyIdFormat, x5c: bool) -> Result<Self, RingError> {
        let mut keys = keys.into_iter().map(|key| RingKey {
            kid: key.kid(format),
            certificates: key.certificates().iter().map(|der| STANDARD.encode(der)).collect(),
            publish_certificates: x5c,
            key,
        });
        let first = keys.next().ok_or(RingError::Empty)?;
        if x5c && first.x5c().is_none() {
            return Err(RingError::NoCertificate { kid: first.kid });
        }
        let mut ring = Self { first, signed: Signed::new(), rest: Vec::new() };
        for key in keys {
            if ring.by_kid(&key.kid).is_some() {
                return Err(RingError::Twice { kid: key.kid });
            }
            ring.rest.push(key);
        }
        Ok(ring)
    }

    /// The key that signs.
    pub fn signing(&self) -> &RingKey {
        &self.first
    }

    /// Signs what is to be verified by this ring: [`KeyRing::verifies`] takes less time for it.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let signature = self.first.key().sign(message)?;
        self.signed.remember(message, &signature);
        Ok(signature)
    }

    /// Whether this key of the ring has signed the message so.
    pub fn verifies(&self, key: &RingKey, message: &[u8], signature: &[u8]) -> bool {
        std::ptr::eq(key, &raw const self.first) && self.signed.knows(message, signature)
            || key.key().verifies(message, signature)
    }

    /// The key of an id. Rings are short, and ids public: a scan does.
    pub fn by_kid(&self, kid: &str) -> Option<&RingKey> {
        self.iter().find(|key| key.kid == kid)
    }

    /// All keys, the signing one first.
    pub fn iter(&self) -> impl Iterator<Item = &RingKey> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// The JWK set (RFC 7517 section 5), public members only.
    pub fn jwks(&self) -> Value {
        json!({"keys": self.iter().map(RingKey::jwk).collect::<Vec<_>>()})
    }
}
