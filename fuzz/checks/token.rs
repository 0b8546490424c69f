//! Verification of tokens. The first byte of the input says what the rest is:
//!
//! - `t`: a token,
//! - `m`: changes to a good token: its number, then pairs of a position and a byte,
//! - `s`: a header and, behind a line end, claims, which are signed as only the key's owner can.

use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};
use tidegate::clock::Clock;
use tidegate::keys::{KeyIdFormat, KeyRing, SigningKey};
use tidegate::subject::Caller;
use tidegate::token::{self, MAX_TOKEN, Settings, Verified, Verifier};

const NOW: u64 = 1_700_000_000;
const ISSUER: &str = "https://registry.example/token";
const SERVICE: &str = "registry.example";
const KEYS: [&str; 2] =
    [include_str!("../../src/keys/fixtures/ed25519-pkcs8.pem"), include_str!("../../src/keys/fixtures/ec-pkcs8.pem")];

/// A verifier with two keys at a standing clock, and good tokens of both.
struct Fixed {
    ring: Arc<KeyRing>,
    verifier: Verifier,
    good: Vec<String>,
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let keys = KEYS.map(|pem| SigningKey::from_pem(pem).unwrap()).into();
    let ring = Arc::new(KeyRing::new(keys, KeyIdFormat::Rfc7638, false).unwrap());
    let settings = Settings {
        issuer: ISSUER.into(),
        services: vec![SERVICE.into(), "other.example".into()],
        ttl: Duration::from_secs(300),
        api_ttl: Duration::from_secs(300),
    };
    let verifier = Verifier::new(Arc::clone(&ring), settings, Clock::manual(NOW));
    let good: Vec<String> = ring
        .iter()
        .flat_map(|key| {
            let header = format!(r#"{{"typ":"JWT","alg":"{}","kid":"{}"}}"#, key.key().algorithm(), key.kid());
            CLAIMS.map(|claims| signed(key.key(), header.as_bytes(), claims.as_bytes()))
        })
        .collect();
    for token in &good {
        assert!(verifier.verify(token).is_ok(), "{token} is good");
    }
    Fixed { ring, verifier, good }
});

/// Of somebody, of nobody, and for an API.
const CLAIMS: [&str; 3] = [
    concat!(
        r#"{"iss":"https://registry.example/token","sub":"alice","aud":"registry.example","exp":1700000300,"nbf":1699999970,"#,
        r#""iat":1699999970,"jti":"x","access":[{"type":"repository","name":"team/app","actions":["pull","push"]}],"#,
        r#""tidegate":{"kind":"registry","groups":["dev"],"authn":"users","claims":{"ref":"main"}}}"#
    ),
    concat!(
        r#"{"iss":"https://registry.example/token","sub":"","aud":"other.example","exp":1700000300,"nbf":1699999970,"#,
        r#""iat":1699999970,"jti":"y","access":[],"tidegate":{"kind":"registry","groups":[],"authn":null}}"#
    ),
    concat!(
        r#"{"iss":"https://registry.example/token","sub":"bob","aud":"registry.example","exp":1700000300,"nbf":1699999970,"#,
        r#""iat":1699999970,"jti":"z","access":[],"tidegate":{"kind":"api","scope":"api:read","groups":[],"authn":"users"}}"#
    ),
];

/// Holds what is accepted against what may be.
pub fn check(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind {
        b't' => {
            let Ok(token) = std::str::from_utf8(rest) else { return };
            given(token);
        }
        b'm' => changed(rest),
        b's' => {
            let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
            owned(&rest[..end], rest.get(end + 1..).unwrap_or_default());
        }
        _ => {}
    }
}

/// Nobody but the keys' owner makes tokens.
fn given(token: &str) {
    let unsigned = |token: &str| token.rsplit_once('.').map(|(message, _)| message.to_owned());
    let fixed = &*FIXED;
    let inspection = token::inspect(&fixed.verifier, token);
    let verdict = fixed.verifier.verify(token);
    assert_eq!(inspection.verdict, verdict);
    if verdict.is_ok() {
        assert!(fixed.good.iter().any(|good| unsigned(good) == unsigned(token)), "{token} was accepted");
    }
}

/// A good token with any character changed, cut or added is none.
fn changed(edits: &[u8]) {
    let fixed = &*FIXED;
    let Some((which, edits)) = edits.split_first() else { return };
    let good = &fixed.good[usize::from(*which) % fixed.good.len()];
    let mut token = good.clone().into_bytes();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]]));
        match edit[2] {
            // Of the three things to do to a character each has its own bytes.
            0 => drop(token.splice(at.min(token.len())..(at + 1).min(token.len()), [])),
            byte if byte < 128 => {
                if let Some(old) = token.get_mut(at) {
                    *old = byte;
                }
            }
            byte => token.insert(at.min(token.len()), byte - 128),
        }
    }
    let Ok(token) = String::from_utf8(token) else { return };
    let accepted = fixed.verifier.verify(&token).is_ok();
    assert_eq!(accepted, token == *good, "{token}");
}

/// Signed by the key that the header names, or else by the first: now everything is up to header and claims.
fn owned(header: &[u8], claims: &[u8]) {
    let fixed = &*FIXED;
    let object = |bytes: &[u8]| serde_json::from_slice::<Map<String, Value>>(bytes).unwrap_or_default();
    let (read, said) = (object(header), object(claims));
    let named = read.get("kid").and_then(Value::as_str).and_then(|kid| fixed.ring.by_kid(kid));
    let key = named.unwrap_or(fixed.ring.signing()).key();
    let token = signed(key, header, claims);
    let Ok(verified) = fixed.verifier.verify(&token) else { return };

    assert!(token.len() <= MAX_TOKEN && named.is_some());
    assert_eq!(read.get("alg").and_then(Value::as_str), Some(key.algorithm().as_str()));
    for forbidden in ["jwk", "jku", "x5u", "x5c", "crit", "b64"] {
        assert!(!read.contains_key(forbidden), "{forbidden}");
    }
    says_so(&verified, &said);
    agrees(&token, key);
}

/// What is believed is what the claims say, in the types that they must have.
fn says_so(verified: &Verified, said: &Map<String, Value>) {
    let text = |name: &str| said.get(name).and_then(Value::as_str);
    let number = |name: &str| said.get(name).and_then(Value::as_u64);
    assert_eq!(text("iss"), Some(ISSUER));
    assert!(matches!(text("aud"), Some(SERVICE | "other.example")));
    assert_eq!(text("aud"), Some(&*verified.audience));
    assert!(number("exp").is_some_and(|exp| exp > NOW && exp == verified.exp));
    for past in ["nbf", "iat"] {
        assert!(number(past).is_some_and(|time| time <= NOW && time <= verified.nbf), "{past}");
    }
    assert_eq!(text("jti"), Some(&*verified.jti));
    match &verified.caller {
        Caller::Anonymous => assert_eq!(text("sub"), Some("")),
        Caller::Known(subject) => assert_eq!(text("sub"), Some(subject.name.as_str())),
    }
    let listed = said.get("access").and_then(Value::as_array).expect("access is a list");
    for scope in verified.access.iter() {
        let scope = scope.to_string();
        let name = scope.split(':').nth(1).unwrap_or_default();
        assert!(listed.iter().any(|entry| entry["name"].as_str() == Some(name)), "{scope}");
    }
    assert!(said.contains_key("tidegate"));
}

/// What we accept, another implementation accepts too.
fn agrees(token: &str, key: &SigningKey) {
    let algorithm = key.algorithm().as_str().parse().unwrap();
    let pem = key.public_pem();
    let decoding = match algorithm {
        jsonwebtoken::Algorithm::ES256 => DecodingKey::from_ec_pem(pem.as_bytes()),
        _ => DecodingKey::from_ed_pem(pem.as_bytes()),
    };
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[SERVICE, "other.example"]);
    // The clock stands still here, and goes on there.
    validation.validate_exp = false;
    let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &decoding.unwrap(), &validation);
    assert!(decoded.is_ok(), "{token}: {decoded:?}");
}

fn signed(key: &SigningKey, header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
