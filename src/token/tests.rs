//! Tokens end to end: what is issued, and every way in which one is refused.

mod forgery;
mod issued;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::keys::{Algorithm, KeyIdFormat, KeyRing, SigningKey};
use crate::registry::{AccessSet, Action, Actions, RepositoryName, Resource, Scope};
use crate::subject::{Caller, GroupName, Subject, UserName};

const NOW: u64 = 1_700_000_000;
const SERVICE: &str = "registry.example.com:5000";
const ISSUER: &str = "https://registry.example.com:5000/token";

/// A gateway as far as tokens go, at a standing clock.
struct Gateway {
    ring: Arc<KeyRing>,
    clock: Clock,
    issuer: Issuer,
    verifier: Verifier,
}

impl Gateway {
    fn new(keys: Vec<SigningKey>, x5c: bool) -> Self {
        let ring = Arc::new(KeyRing::new(keys, KeyIdFormat::Rfc7638, x5c).unwrap());
        let clock = Clock::manual(NOW);
        let settings = Settings {
            issuer: ISSUER.into(),
            services: vec![SERVICE.into(), "other.example.com".into()],
            ttl: Duration::from_mins(5),
            api_ttl: Duration::from_mins(2),
        };
        Self {
            issuer: Issuer::new(Arc::clone(&ring), settings.clone(), clock.clone()).unwrap(),
            verifier: Verifier::new(Arc::clone(&ring), settings, clock.clone()),
            ring,
            clock,
        }
    }

    fn issue(&self, caller: &Caller, access: &AccessSet) -> Issued {
        self.issuer.issue(&Grant { caller, audience: SERVICE, kind: TokenKind::Registry, access }).unwrap()
    }

    /// A token of alice with pull and push on `team/app`.
    fn token(&self) -> String {
        self.issue(&alice(), &push()).token.expose().to_owned()
    }

    fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        self.verifier.verify(token)
    }

    /// Header and claims of a good token, for tests to spoil.
    fn parts(&self) -> (Value, Value) {
        let token = self.token();
        let mut parts = token.split('.').map(|part| {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap_or_default()).unwrap_or(Value::Null)
        });
        (parts.next().unwrap(), parts.next().unwrap())
    }

    /// Signs any header and payload with the first key: what a forger could only do with the key itself, so that exactly
    /// one thing about the token is wrong.
    fn sign(&self, header: &impl ToString, payload: &impl ToString) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(payload.to_string()));
        let signature = self.ring.signing().key().sign(message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn generate(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm).unwrap()
}

fn es256() -> Gateway {
    Gateway::new(vec![generate(Algorithm::Es256)], false)
}

fn alice() -> Caller {
    let groups = ["ops", "dev"].map(|name| GroupName::parse(name).unwrap()).to_vec();
    let mut subject = Subject::new(UserName::parse("alice").unwrap(), groups, "users".into());
    subject.claims.insert("ref".into(), json!({"kind": "branch", "name": "main"}));
    Caller::Known(Arc::new(subject))
}

fn scope(name: &str, actions: &[Action]) -> Scope {
    let resource = Resource::Repository(RepositoryName::parse(name).unwrap());
    Scope { resource, actions: actions.iter().copied().collect() }
}

fn push() -> AccessSet {
    AccessSet::from_iter([scope("team/app", &[Action::Pull, Action::Push])])
}

fn catalog() -> Scope {
    Scope { resource: Resource::Catalog, actions: Actions::ALL }
}
