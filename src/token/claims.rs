//! The claims of a token, written and read.
//!
//! The registered ones are for registries that verify our tokens themselves; `tidegate` is for us: what authentication
//! found out, so that replicas share nothing but keys.

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ApiScopes, Part, TokenError, TokenKind, json};
use crate::registry::AccessSet;
use crate::subject::{Caller, GroupName, Subject, UserName};

/// The name of the private claim.
const PRIVATE: &str = "tidegate";

/// The payload of a token that is being issued.
#[derive(Serialize)]
pub(super) struct Payload<'a> {
    pub(super) iss: &'a str,
    /// Empty for anonymous callers.
    pub(super) sub: &'a str,
    /// One string: docker-registry 2.8.2 refuses a list.
    pub(super) aud: &'a str,
    pub(super) exp: u64,
    pub(super) nbf: u64,
    pub(super) iat: u64,
    pub(super) jti: &'a str,
    pub(super) access: &'a AccessSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tidegate: Option<PrivateOut<'a>>,
}

/// The kind of route, as the private claim names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Registry,
    Api,
}

/// The private claim of a token that is being issued.
#[derive(Serialize)]
pub(super) struct PrivateOut<'a> {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<ApiScopes>,
    groups: &'a [GroupName],
    authn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<&'a Map<String, Value>>,
}

impl<'a> PrivateOut<'a> {
    pub(super) fn new(kind: TokenKind, caller: &'a Caller) -> Self {
        let subject = caller.subject();
        let (kind, scope) = match kind {
            TokenKind::Registry => (Kind::Registry, None),
            TokenKind::Api(scopes) => (Kind::Api, Some(scopes)),
        };
        Self {
            kind,
            scope,
            groups: subject.map_or(&[], |subject| &subject.groups),
            authn: subject.map(|subject| &*subject.member),
            claims: subject.map(|subject| &subject.claims).filter(|claims| !claims.is_empty()),
        }
    }
}

/// The private claim as read. A member that this version does not know could narrow what the token is good for, so it
/// is refused rather than passed over.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivateIn {
    kind: Kind,
    scope: Option<ApiScopes>,
    groups: Vec<GroupName>,
    authn: Option<String>,
    #[serde(default, deserialize_with = "json::field")]
    claims: Map<String, Value>,
}

/// The claims of a token, read and of the right types. What they say is for others to judge.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims<'a> {
    #[serde(borrow)]
    pub(super) iss: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) sub: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) aud: Cow<'a, str>,
    pub(super) exp: u64,
    pub(super) nbf: u64,
    pub(super) iat: u64,
    pub(super) jti: String,
    pub(super) access: AccessSet,
    pub(super) tidegate: PrivateIn,
}

impl<'a> Claims<'a> {
    /// Reads a payload.
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, TokenError> {
        // What has our claims and no others needs no tree. Whatever else it is, the long way accepts it, or says what is wrong with it.
        serde_json::from_slice(payload).or_else(|_| Self::of(json::object(payload, Part::Payload)?))
    }

    /// Takes the claims out of any object; those that are not known here are passed over.
    fn of(mut claims: Map<String, Value>) -> Result<Self, TokenError> {
        let claims = &mut claims;
        Ok(Self {
            iss: claim::<String>(claims, "iss")?.into(),
            aud: claim::<String>(claims, "aud")?.into(),
            exp: claim(claims, "exp")?,
            nbf: claim(claims, "nbf")?,
            iat: claim(claims, "iat")?,
            sub: claim::<String>(claims, "sub")?.into(),
            jti: claim(claims, "jti")?,
            access: claim(claims, "access")?,
            tidegate: claim(claims, PRIVATE).map_err(|error| match error {
                TokenError::MissingClaim(_) => TokenError::NotForUs,
                error => error,
            })?,
        })
    }
}

impl PrivateIn {
    /// On which kind of route the token is good, and who the caller is whom `sub` names.
    pub(super) fn caller(self, sub: &str) -> Result<(TokenKind, Caller), TokenError> {
        const BAD: TokenError = TokenError::BadClaim(PRIVATE);
        let kind = match (self.kind, self.scope) {
            (Kind::Registry, None) => TokenKind::Registry,
            (Kind::Api, Some(scopes)) => TokenKind::Api(scopes),
            // Nobody says how far it reaches, or it says so of a route where nobody would look.
            (Kind::Api, None) | (Kind::Registry, Some(_)) => return Err(BAD),
        };
        let caller = match self.authn {
            // An empty `sub` with facts about somebody, or a name without a member that vouches for it, is nobody.
            None if sub.is_empty() && self.groups.is_empty() && self.claims.is_empty() => Caller::Anonymous,
            None => return Err(BAD),
            Some(member) => {
                let name = UserName::parse(sub).map_err(|_| TokenError::BadClaim("sub"))?;
                let mut subject = Subject::new(name, self.groups, member.into());
                subject.claims = self.claims;
                Caller::Known(Arc::new(subject))
            }
        };
        Ok((kind, caller))
    }
}

/// One claim of an object. Times are plain integers: libraries disagree on what a text or a fraction means.
fn claim<T: DeserializeOwned>(claims: &mut Map<String, Value>, name: &'static str) -> Result<T, TokenError> {
    let value = claims.remove(name).ok_or(TokenError::MissingClaim(name))?;
    serde_json::from_value(value).map_err(|_| TokenError::BadClaim(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Claims, json as strict};
    use crate::token::{Part, TokenError};

    fn payload() -> Value {
        json!({
            "iss": "https://registry.example/token", "sub": "alice", "aud": "registry.example", "exp": 30, "nbf": 10, "iat": 10,
            "jti": "x", "access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}],
            "tidegate": {"kind": "registry", "groups": ["dev"], "authn": "oidc", "claims": {"a": {"b": 1}}},
        })
    }

    fn laboriously(payload: &[u8]) -> Result<Claims<'_>, TokenError> {
        Claims::of(strict::object(payload, Part::Payload)?)
    }

    #[test]
    fn what_is_ours_is_read_without_a_tree() {
        let text = payload().to_string();
        let read: Claims<'_> = serde_json::from_str(&text).unwrap();
        assert!(matches!(read.iss, std::borrow::Cow::Borrowed(_)));
        assert_eq!(laboriously(text.as_bytes()), Ok(read));
    }

    #[test]
    fn further_claims_are_passed_over() {
        let mut claims = payload();
        claims["amr"] = json!(["pwd"]);
        assert_eq!(Claims::read(claims.to_string().as_bytes()), Claims::read(payload().to_string().as_bytes()));
    }

    #[test]
    fn names_that_stand_twice_are_found_wherever_they_stand() {
        let text = payload().to_string();
        for (place, with) in [
            (r#""b":1"#, r#""b":1,"b":1"#),
            (r#""type":"#, r#""type":"registry","type":"#),
            (r#""kind":"#, r#""kind":"api","kind":"#),
            (r#""iat":"#, r#""iat":1,"iat":"#),
        ] {
            let doubled = text.replacen(place, with, 1);
            assert_ne!(doubled, text);
            assert_eq!(Claims::read(doubled.as_bytes()), Err(TokenError::Duplicate(Part::Payload)), "{doubled}");
        }
    }

    /// A value that may stand where another is expected.
    fn anything() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!(null)),
            Just(json!("")),
            Just(json!("alice")),
            Just(json!(7)),
            Just(json!(-7)),
            Just(json!(7.0)),
            Just(json!([])),
            Just(json!({})),
            Just(json!([{"type": "repository", "name": "a", "actions": ["pull"], "more": 1}])),
            Just(json!({"kind": "registry", "groups": []})),
            Just(json!({"kind": "registry", "groups": [], "authn": null, "claims": []})),
        ]
    }

    proptest! {
        /// Whichever way payloads are read, they say the same.
        #[test]
        fn the_short_way_reads_what_the_long_one_reads(
            changes in prop::collection::vec((0_usize..10, prop::option::of(anything())), 0..3),
        ) {
            let mut claims = payload();
            let names = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "access", "tidegate", "more"];
            for (which, value) in changes {
                let members = claims.as_object_mut().unwrap();
                match value {
                    Some(value) => members.insert(names[which].into(), value),
                    None => members.remove(names[which]),
                };
            }
            let text = claims.to_string();
            prop_assert_eq!(Claims::read(text.as_bytes()), laboriously(text.as_bytes()));
        }
    }
}
