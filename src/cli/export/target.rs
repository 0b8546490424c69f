//! What the releases of distribution can verify, and what they take to do it.

use clap::ValueEnum;
use serde_json::json;

use crate::cli::console::Failure;
use crate::config::Token;
use crate::keys::{Algorithm, KeyIdFormat, KeyRing, RingKey};

/// A major release of distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    /// 2.x, such as Debian's docker-registry: certificates, and ids as libtrust makes them
    #[value(name = "2")]
    V2,
    /// 3.x: a JWK set
    #[value(name = "3")]
    V3,
}

impl Target {
    /// Refuses settings under which this release would answer every token with 401.
    pub(super) fn check(self, token: &Token, ring: &KeyRing) -> Result<(), Failure> {
        if self == Self::V3 {
            return Ok(());
        }
        if let Some(key) = ring.iter().find(|key| key.key().algorithm() == Algorithm::EdDsa) {
            let message = format!("distribution 2.x knows no EdDSA, and the key {} signs with it", key.kid());
            return Err(Failure::usage(message).hint(
                "take an es256 key (`tidegate keys generate`) for `token.keys`, or a registry of the release 3.x",
            ));
        }
        if token.key_id == KeyIdFormat::Rfc7638 && !token.x5c {
            let message = "distribution 2.x does not find keys by RFC 7638 ids";
            return Err(Failure::usage(message)
                .hint("set `key_id = \"libtrust\"` in [token], or `x5c = true`, and start the gateway again"));
        }
        Ok(())
    }

    /// Whether the certificates are needed: 2.x has no other way, and both look at `x5c` before they look at `kid`.
    pub(super) fn takes_certificates(self, token: &Token) -> bool {
        self == Self::V2 || token.x5c
    }
}

/// The certificates of all keys, as one bundle.
///
/// Without `x5c` a registry looks keys up among the bundle's own, so it holds the keys' certificates alone: with the
/// authorities beside them, those could sign tokens too. With `x5c` it follows the chain of a token to a certificate of
/// the bundle, so it holds the last one of each chain.
pub(super) fn bundle(token: &Token, ring: &KeyRing) -> Result<String, Failure> {
    let mut text = String::new();
    for key in ring.iter() {
        let pem = match key.key().certificates() {
            [_, .., last] if token.x5c => pem(last),
            _ => key.key().certificate_pem().map_err(|error| Failure::no(error.to_string()))?,
        };
        text.push_str(&pem);
    }
    Ok(text)
}

/// The JWK set without certificates: the ids are all that a registry needs of it.
pub(super) fn jwks(ring: &KeyRing) -> String {
    let key = |key: &RingKey| {
        let mut jwk = key.key().jwk();
        jwk["kid"] = json!(key.kid());
        jwk
    };
    format!("{:#}\n", json!({"keys": ring.iter().map(key).collect::<Vec<_>>()}))
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let body = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
