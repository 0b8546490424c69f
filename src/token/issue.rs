//! Signing: from a decision to a compact JWS.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::{Payload, PrivateOut};
use super::{EARLY, MAX_TOKEN, MIN_TTL, Settings, TokenKind, header};
use crate::clock::Clock;
use crate::keys::{KeyRing, SigningFailed};
use crate::registry::AccessSet;
use crate::secret::Secret;
use crate::subject::Caller;

/// What a token is to say.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// For whom.
    pub caller: &'a Caller,
    /// The audience: the service that was asked for. Whether it is one of ours was checked before.
    pub audience: &'a str,
    /// For which kind of route.
    pub kind: TokenKind,
    /// What was granted.
    pub access: &'a AccessSet,
}

/// A signed token and what its receiver is told about it.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The compact JWS.
    pub token: Secret,
    /// Seconds until it expires; never under [`MIN_TTL`].
    pub expires_in: u64,
    /// The true time of issue in seconds since the epoch; the claims `nbf` and `iat` lie [`EARLY`] before it.
    pub issued_at: u64,
    /// The token's id, for the audit line.
    pub jti: String,
}

/// Why no token could be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The token would be refused by its length wherever it is used.
    #[error(
        "the token would have {0} bytes, over the limit of {MAX_TOKEN}; the caller has too many groups, claims or scopes"
    )]
    TooLong(usize),
    /// The claims could not be written as JSON.
    #[error("the claims could not be encoded")]
    Encoding,
    /// No random token id.
    #[error("no randomness for a token id")]
    Random,
    /// No signature.
    #[error(transparent)]
    Signing(#[from] SigningFailed),
}

/// Signs tokens with the first key of a ring.
pub struct Issuer {
    ring: Arc<KeyRing>,
    settings: Settings,
    clock: Clock,
    /// The encoded header with the dot behind it: the same for all tokens of a key.
    header: String,
}

impl Issuer {
    /// Prepares what all tokens share.
    pub fn new(ring: Arc<KeyRing>, settings: Settings, clock: Clock) -> Result<Self, IssueError> {
        let mut header = header::encoded(ring.signing()).map_err(|_| IssueError::Encoding)?;
        header.push('.');
        Ok(Self { ring, settings, clock, header })
    }

    /// How many seconds a token for the registry is good for that is issued now.
    pub fn ttl(&self) -> u64 {
        self.settings.ttl.as_secs().max(MIN_TTL)
    }

    /// Issues a token that this gateway accepts, and that registries verify themselves.
    pub fn issue(&self, grant: &Grant<'_>) -> Result<Issued, IssueError> {
        let ttl = match grant.kind {
            TokenKind::Registry => self.ttl(),
            TokenKind::Api(_) => self.settings.api_ttl.as_secs().max(MIN_TTL),
        };
        self.sign(grant.caller, grant.audience, grant.access, ttl, Some(PrivateOut::new(grant.kind, grant.caller)))
    }

    /// Mints a token for an upstream with `mint-token`: one minute, exactly this access, and without the private claim.
    /// So the upstream learns no groups, and what it holds is no credential at this gateway.
    pub fn mint(&self, caller: &Caller, audience: &str, access: &AccessSet) -> Result<Secret, IssueError> {
        Ok(self.sign(caller, audience, access, MIN_TTL, None)?.token)
    }

    fn sign(
        &self,
        caller: &Caller,
        audience: &str,
        access: &AccessSet,
        ttl: u64,
        tidegate: Option<PrivateOut<'_>>,
    ) -> Result<Issued, IssueError> {
        let now = self.clock.now();
        let early = now.saturating_sub(EARLY);
        let (jti, is_for_us) = (random_id()?, tidegate.is_some());
        let payload = Payload {
            iss: &self.settings.issuer,
            sub: caller.name().map_or("", |name| name.as_str()),
            aud: audience,
            exp: now.saturating_add(ttl),
            nbf: early,
            iat: early,
            jti: &jti,
            access,
            tidegate,
        };
        let payload = serde_json::to_vec(&payload).map_err(|_| IssueError::Encoding)?;
        // Checked before the signature, which is the dear part; the exact length is checked after it.
        if payload.len() > MAX_TOKEN {
            return Err(IssueError::TooLong(payload.len()));
        }
        let mut token = String::with_capacity(self.header.len() + payload.len() / 3 * 4 + 4 + 1 + 344);
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(&payload, &mut token);
        // What is for others does not come back.
        let signature = if is_for_us {
            self.ring.sign(token.as_bytes())?
        } else {
            self.ring.signing().key().sign(token.as_bytes())?
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        if token.len() > MAX_TOKEN {
            return Err(IssueError::TooLong(token.len()));
        }
        Ok(Issued { token: Secret::new(token), expires_in: ttl, issued_at: now, jti })
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// 128 random bits.
fn random_id() -> Result<String, IssueError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| IssueError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
