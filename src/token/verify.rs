//! Verification: everything that must hold before a word of a token is believed.
//!
//! The signature is checked by the key's own parsed form, which knows one algorithm; `alg` can only agree or be refused.
//! Of the header nothing else has a say: keys, certificates and addresses that a token brings along refuse it.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::claims::{self, PRIVATE};
use super::{Cache, EARLY, Entry, Latest, MAX_TOKEN, Part, Settings, TokenError, TokenHash, TokenKind, json};
use crate::clock::Clock;
use crate::keys::{KeyRing, RingKey};
use crate::registry::AccessSet;
use crate::subject::Caller;

/// Header members that are refused whatever they hold (`x5c` is looked at apart).
const FORBIDDEN: [&str; 5] = ["jwk", "jku", "x5u", "crit", "b64"];

/// What an accepted token says.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// For whom it was issued.
    pub caller: Caller,
    /// What it grants.
    pub access: AccessSet,
    /// On which kind of route.
    pub kind: TokenKind,
    /// From this time on (seconds since the epoch) it is refused.
    pub exp: u64,
    /// Before this time it is refused.
    pub nbf: u64,
    /// The true time of issue: [`EARLY`] after the claim `iat`.
    pub issued_at: u64,
    /// The token's id.
    pub jti: String,
    /// The one of our services that it is for.
    pub audience: String,
}

impl Verified {
    /// Whether the token is good at this time, without leeway. To be asked at every use of a remembered verification.
    pub fn check_time(&self, now: u64) -> Result<(), TokenError> {
        if now >= self.exp {
            return Err(TokenError::Expired { seconds: now - self.exp });
        }
        if now < self.nbf {
            return Err(TokenError::NotYetValid { seconds: self.nbf - now });
        }
        Ok(())
    }
}

/// What is known of a token.
enum Known<T> {
    /// It was accepted before, and still is, or its time is over.
    Is(Result<Arc<Entry<T>>, TokenError>),
    /// Nothing; the hash is that under which it can be kept, if it may be at all.
    Not(Option<TokenHash>),
}

/// Verifies tokens by the keys of a ring.
pub struct Verifier {
    ring: Arc<KeyRing>,
    settings: Settings,
    clock: Clock,
}

impl Verifier {
    /// Puts together what tokens are held against.
    pub fn new(ring: Arc<KeyRing>, settings: Settings, clock: Clock) -> Self {
        Self { ring, settings, clock }
    }

    /// Decides on a token, in full.
    pub fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::NotThreeParts);
        };
        let key = self.key_for(&json::object(&decode(header, Part::Header)?, Part::Header)?)?;
        let signature = decode(signature, Part::Signature)?;
        let message = &token.as_bytes()[..=header.len() + payload.len()];
        if !self.ring.verifies(key, message, &signature) {
            return Err(TokenError::BadSignature);
        }
        self.check_claims(json::object(&decode(payload, Part::Payload)?, Part::Payload)?)
    }

    /// A token that was accepted before, here or over the same connection, and is good now. Whether there is one is for the caller to
    /// count.
    pub fn recall<T>(&self, cache: &Cache<T>, latest: &Latest<T>, token: &str) -> Option<Arc<Entry<T>>> {
        match self.look_up(cache, latest, token) {
            Known::Is(outcome) => outcome.ok(),
            Known::Not(_) => None,
        }
    }

    /// [`Verifier::verify`] with a memory: only the time is checked again of a token that was accepted before. `state` makes
    /// the caller's own state for a token that is new.
    pub fn verify_cached<T>(
        &self,
        cache: &Cache<T>,
        latest: &Latest<T>,
        token: &str,
        state: impl FnOnce(&Verified) -> T,
    ) -> Result<Arc<Entry<T>>, TokenError> {
        let hash = match self.look_up(cache, latest, token) {
            Known::Is(outcome) => {
                cache.count(true);
                return outcome;
            }
            Known::Not(hash) => hash.ok_or(TokenError::TooLong)?,
        };
        cache.count(false);
        let verified = self.verify(token)?;
        let state = state(&verified);
        Ok(cache.insert(hash, Entry { verified, state }))
    }

    /// What is known of a token from an earlier time.
    fn look_up<T>(&self, cache: &Cache<T>, latest: &Latest<T>, token: &str) -> Known<T> {
        if token.len() > MAX_TOKEN {
            return Known::Not(None);
        }
        let in_time = |entry: &Entry<T>| entry.verified.check_time(self.clock.now());
        if let Some(entry) = latest.get(cache.id(), token)
            && in_time(&entry).is_ok()
        {
            return Known::Is(Ok(entry));
        }
        let hash = TokenHash::of(token);
        let Some(entry) = cache.get(&hash) else { return Known::Not(Some(hash)) };
        if let Err(error) = in_time(&entry) {
            cache.remove(&hash);
            latest.forget();
            return Known::Is(Err(error));
        }
        latest.set(cache.id(), token, &entry);
        Known::Is(Ok(entry))
    }

    pub(super) fn ring(&self) -> &KeyRing {
        &self.ring
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The key that the header names, if the header is one that we accept.
    fn key_for(&self, header: &Map<String, Value>) -> Result<&RingKey, TokenError> {
        if let Some(name) = FORBIDDEN.into_iter().find(|name| header.contains_key(*name)) {
            return Err(TokenError::ForbiddenHeader(name));
        }
        if header.get("typ").is_some_and(|typ| typ != "JWT") {
            return Err(TokenError::WrongType);
        }
        let kid = header.get("kid").and_then(Value::as_str).ok_or(TokenError::Header("kid"))?;
        let alg = header.get("alg").and_then(Value::as_str).ok_or(TokenError::Header("alg"))?;
        let key = self.ring.by_kid(kid).ok_or(TokenError::UnknownKey)?;
        if alg != key.key().algorithm().as_str() {
            return Err(TokenError::WrongAlgorithm(key.key().algorithm()));
        }
        match header.get("x5c") {
            None => Ok(key),
            Some(chain) if is_chain(chain, key.certificates()) => Ok(key),
            Some(_) => Err(TokenError::ForbiddenHeader("x5c")),
        }
    }

    fn check_claims(&self, mut claims: Map<String, Value>) -> Result<Verified, TokenError> {
        if text(&mut claims, "iss")? != self.settings.issuer {
            return Err(TokenError::WrongIssuer);
        }
        let audience = text(&mut claims, "aud")?;
        if !self.settings.services.contains(&audience) {
            return Err(TokenError::WrongAudience);
        }
        let exp = seconds(&mut claims, "exp")?;
        let nbf = seconds(&mut claims, "nbf")?;
        let iat = seconds(&mut claims, "iat")?;
        let sub = text(&mut claims, "sub")?;
        let jti = text(&mut claims, "jti")?;
        let access =
            serde_json::from_value(take(&mut claims, "access")?).map_err(|_| TokenError::BadClaim("access"))?;
        let private = claims.remove(PRIVATE).ok_or(TokenError::NotForUs)?;
        let (kind, caller) = claims::read_caller(&sub, private)?;
        // `iat` counts as a second `nbf`, as it does for PyJWT: a token from the future is good nowhere or everywhere.
        let nbf = nbf.max(iat);
        let verified = Verified { caller, access, kind, exp, nbf, issued_at: iat.saturating_add(EARLY), jti, audience };
        verified.check_time(self.clock.now())?;
        Ok(verified)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Without padding, white space and stray bits: one token has one spelling.
fn decode(text: &str, part: Part) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Encoding(part))
}

fn is_chain(value: &Value, ours: &[String]) -> bool {
    value.as_array().is_some_and(|chain| !chain.is_empty() && chain.iter().eq(ours))
}

fn take(claims: &mut Map<String, Value>, name: &'static str) -> Result<Value, TokenError> {
    claims.remove(name).ok_or(TokenError::MissingClaim(name))
}

fn text(claims: &mut Map<String, Value>, name: &'static str) -> Result<String, TokenError> {
    match take(claims, name)? {
        Value::String(text) => Ok(text),
        _ => Err(TokenError::BadClaim(name)),
    }
}

/// A time as a plain integer. A text or a fraction is refused: libraries disagree on what they mean.
fn seconds(claims: &mut Map<String, Value>, name: &'static str) -> Result<u64, TokenError> {
    take(claims, name)?.as_u64().ok_or(TokenError::BadClaim(name))
}
