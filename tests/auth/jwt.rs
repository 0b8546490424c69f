//! Tokens taken apart, and tokens put together by hand.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tidegate::keys::{self, SigningKey};

/// Base64url without padding.
pub(crate) fn encoded(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A part of a token as JSON: 0 the header, 1 the claims.
#[track_caller]
pub(crate) fn part(token: &str, part: usize) -> Value {
    let text = token.split('.').nth(part).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

/// The claims of a token, unverified.
#[track_caller]
pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

/// A token of this header and these claims, as texts, signed.
pub(crate) fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let signature = key.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", encoded(signature))
}

/// The key that a gateway made in its state directory.
pub(crate) fn state_key(dir: &Path) -> SigningKey {
    keys::load_file(&dir.join("state").join(keys::SIGNING_KEY_FILE)).unwrap().key
}

/// What `access` lists, as scopes in the protocol's own spelling.
#[track_caller]
pub(crate) fn access(token: &str) -> Vec<String> {
    let claims = claims(token);
    let entry = |entry: &Value| {
        let actions: Vec<&str> = entry["actions"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        format!("{}:{}:{}", entry["type"].as_str().unwrap(), entry["name"].as_str().unwrap(), actions.join(","))
    };
    claims["access"].as_array().unwrap().iter().map(entry).collect()
}
