//! Verification: everything that must hold before a word of a token is believed.
//!
//! The signature is checked by the key's own parsed form, which knows one algorithm, whatever the header says.

use std::fmt;
use std::sync::Arc;

use super::claims::Claims;
use super::header::Headers;
use super::json::decode;
use super::{Cache, EARLY, Entry, Latest, MAX_TOKEN, Part, Settings, TokenError, TokenHash, TokenKind};
use crate::clock::Clock;
use crate::keys::KeyRing;
use crate::registry::AccessSet;
use crate::subject::Caller;

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
    headers: Headers,
    settings: Settings,
    clock: Clock,
}

impl Verifier {
    /// Puts together what tokens are held against.
    pub fn new(ring: Arc<KeyRing>, settings: Settings, clock: Clock) -> Self {
        Self { headers: Headers::of(&ring), ring, settings, clock }
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
        let key = self.headers.key(&self.ring, header)?;
        let signature = decode(signature, Part::Signature)?;
        let message = &token.as_bytes()[..=header.len() + payload.len()];
        if !self.ring.verifies(key, message, &signature) {
            return Err(TokenError::BadSignature);
        }
        self.check(Claims::read(&decode(payload, Part::Payload)?)?)
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

    fn check(&self, claims: Claims<'_>) -> Result<Verified, TokenError> {
        let Claims { iss, sub, aud, exp, nbf, iat, jti, access, tidegate } = claims;
        if iss != self.settings.issuer {
            return Err(TokenError::WrongIssuer);
        }
        if !self.settings.services.iter().any(|service| *service == aud) {
            return Err(TokenError::WrongAudience);
        }
        let (kind, caller) = tidegate.caller(&sub)?;
        // `iat` counts as a second `nbf`, as it does for PyJWT: a token from the future is good nowhere or everywhere.
        let nbf = nbf.max(iat);
        let issued_at = iat.saturating_add(EARLY);
        let verified = Verified { caller, access, kind, exp, nbf, issued_at, jti, audience: aud.into_owned() };
        verified.check_time(self.clock.now())?;
        Ok(verified)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("settings", &self.settings).finish_non_exhaustive()
    }
}
