//! The header of a token (RFC 7515 section 4), written and read.
//!
//! Of it only `kid` and `alg` have a say, and `alg` can only agree or be refused: keys, certificates and addresses that a token brings
//! along refuse it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Part, TokenError, json};
use crate::keys::{KeyRing, RingKey};

/// Members that are refused whatever they hold (`x5c` is looked at apart).
const FORBIDDEN: [&str; 5] = ["jwk", "jku", "x5u", "crit", "b64"];

#[derive(Serialize)]
struct Header<'a> {
    typ: &'static str,
    alg: &'static str,
    kid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<&'a [String]>,
}

/// The header of all tokens that a key signs, encoded.
pub(super) fn encoded(key: &RingKey) -> serde_json::Result<String> {
    let header = Header { typ: "JWT", alg: key.key().algorithm().as_str(), kid: key.kid(), x5c: key.x5c() };
    serde_json::to_vec(&header).map(|json| URL_SAFE_NO_PAD.encode(json))
}

/// The keys of a ring, found by the headers of tokens.
pub(super) struct Headers {
    /// As [`encoded`] spells them, in the order of the ring: how almost every token begins, so that its header need not be parsed.
    spelled: Vec<String>,
}

impl Headers {
    pub(super) fn of(ring: &KeyRing) -> Self {
        // One that could not be spelled equals none that a token has.
        Self { spelled: ring.iter().map(|key| encoded(key).unwrap_or_default()).collect() }
    }

    /// The key that a header names, if the header is one that is accepted.
    pub(super) fn key<'a>(&self, ring: &'a KeyRing, header: &str) -> Result<&'a RingKey, TokenError> {
        let known = ring.iter().zip(&self.spelled).find(|(_, spelled)| *spelled == header && !header.is_empty());
        match known {
            Some((key, _)) => Ok(key),
            None => named(ring, &json::object(&json::decode(header, Part::Header)?, Part::Header)?),
        }
    }
}

/// The key that a header names, whoever spelled it.
fn named<'a>(ring: &'a KeyRing, header: &Map<String, Value>) -> Result<&'a RingKey, TokenError> {
    if let Some(name) = FORBIDDEN.into_iter().find(|name| header.contains_key(*name)) {
        return Err(TokenError::ForbiddenHeader(name));
    }
    if header.get("typ").is_some_and(|typ| typ != "JWT") {
        return Err(TokenError::WrongType);
    }
    let kid = header.get("kid").and_then(Value::as_str).ok_or(TokenError::Header("kid"))?;
    let alg = header.get("alg").and_then(Value::as_str).ok_or(TokenError::Header("alg"))?;
    let key = ring.by_kid(kid).ok_or(TokenError::UnknownKey)?;
    if alg != key.key().algorithm().as_str() {
        return Err(TokenError::WrongAlgorithm(key.key().algorithm()));
    }
    match header.get("x5c") {
        None => Ok(key),
        Some(chain) if is_chain(chain, key.certificates()) => Ok(key),
        Some(_) => Err(TokenError::ForbiddenHeader("x5c")),
    }
}

fn is_chain(value: &Value, ours: &[String]) -> bool {
    value.as_array().is_some_and(|chain| !chain.is_empty() && chain.iter().eq(ours))
}

#[cfg(test)]
mod tests {
    use super::{Headers, encoded, named};
    use crate::keys::{Algorithm, KeyIdFormat, KeyRing, SigningKey};
    use crate::token::{Part, json};

    /// A key with its certificate.
    fn key(algorithm: Algorithm) -> SigningKey {
        let key = SigningKey::generate(algorithm).unwrap();
        let file = [key.to_pem().unwrap().expose(), &key.certificate_pem().unwrap()].concat();
        SigningKey::from_pem(&file).unwrap()
    }

    /// What is not parsed is what would have been accepted.
    #[test]
    fn a_header_spelled_as_ours_names_the_key_that_parsing_it_names() {
        for x5c in [false, true] {
            let ring = KeyRing::new(Algorithm::ALL.map(key).into(), KeyIdFormat::Rfc7638, x5c).unwrap();
            let headers = Headers::of(&ring);
            for key in ring.iter() {
                let spelled = encoded(key).unwrap();
                let members = json::object(&json::decode(&spelled, Part::Header).unwrap(), Part::Header).unwrap();
                assert_eq!(members.contains_key("x5c"), x5c);
                assert!(std::ptr::eq(named(&ring, &members).unwrap(), key));
                assert!(std::ptr::eq(headers.key(&ring, &spelled).unwrap(), key));
            }
        }
    }
}
