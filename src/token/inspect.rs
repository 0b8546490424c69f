//! A look into a token for operators: what it says, and what [`Verifier::verify`] makes of it.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{TokenError, TokenKind, Verified, Verifier};
use crate::subject::Caller;

/// What a token says, unbelieved, and whether it would be accepted.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The header, if it can be decoded at all.
    pub header: Option<Value>,
    /// The claims, if they can be decoded at all.
    pub claims: Option<Value>,
    /// What the gateway would say to the token now.
    pub verdict: Result<Verified, TokenError>,
    /// What is expected in the place of what was refused, where that helps.
    pub hint: Option<String>,
}

/// Decodes a token without trusting it, and has it judged.
pub fn inspect(verifier: &Verifier, token: &str) -> Inspection {
    let mut parts = token.split('.').map(decode);
    let header = parts.next().flatten();
    let claims = parts.next().flatten();
    let verdict = verifier.verify(token);
    let hint = verdict.as_ref().err().and_then(|error| hint(*error, verifier, header.as_ref(), claims.as_ref()));
    Inspection { header, claims, verdict, hint }
}

impl fmt::Display for Inspection {
    /// The verdict in words, the hint in a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Ok(verified) => {
                f.write_str("accepted: ")?;
                match &verified.caller {
                    Caller::Anonymous => f.write_str("anonymous")?,
                    Caller::Known(subject) => write!(f, "user {}, from {}", subject.name, subject.member)?,
                }
                write!(f, ", for {}", verified.audience)?;
                if let TokenKind::Api(scopes) = verified.kind {
                    write!(f, ", {}", if scopes.is_empty() { "no API".to_owned() } else { scopes.to_string() })?;
                }
                for scope in verified.access.iter() {
                    write!(f, ", {scope}")?;
                }
                Ok(())
            }
            Err(error) => {
                write!(f, "refused: {error}")?;
                match &self.hint {
                    Some(hint) => write!(f, "\nhint: {hint}"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn decode(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn hint(error: TokenError, verifier: &Verifier, header: Option<&Value>, claims: Option<&Value>) -> Option<String> {
    let settings = verifier.settings();
    let said = |value: Option<&Value>, name: &str| match value.and_then(|value| value.get(name)) {
        Some(value) => value.to_string(),
        None => "missing".to_owned(),
    };
    Some(match error {
        TokenError::UnknownKey => {
            let mut hint = format!("kid is {}; the keys of this gateway are", said(header, "kid"));
            for key in verifier.ring().iter() {
                // Writing to a string does not fail.
                let _ = write!(hint, " {}", key.kid());
            }
            hint
        }
        TokenError::WrongAlgorithm(expected) => {
            format!("alg is {}; the key signs with {expected}", said(header, "alg"))
        }
        TokenError::WrongIssuer => {
            format!("iss is {}; `token.issuer` is {:?}", said(claims, "iss"), settings.issuer)
        }
        TokenError::WrongAudience | TokenError::BadClaim("aud") => {
            format!(
                "aud is {}; `token.service` is {:?}, and aud must be one string of it",
                said(claims, "aud"),
                settings.services
            )
        }
        TokenError::BadClaim(name) => format!("{name} is {}", said(claims, name)),
        TokenError::ForbiddenHeader(_) => {
            "a token is verified with the gateway's own keys, never with what it carries".into()
        }
        TokenError::NotForUs => "it was minted for an upstream, or by another program with the same key".into(),
        TokenError::NotYetValid { .. } => "the clocks of the machines differ".into(),
        _ => return None,
    })
}
