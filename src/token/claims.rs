//! The claims of a token, written and read.
//!
//! The registered ones are for registries that verify our tokens themselves; `tidegate` is for us: what authentication
//! found out, so that replicas share nothing but keys.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ApiScopes, TokenError, TokenKind};
use crate::registry::AccessSet;
use crate::subject::{Caller, GroupName, Subject, UserName};

/// The name of the private claim.
pub(super) const PRIVATE: &str = "tidegate";

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
#[derive(Clone, Copy, Serialize, Deserialize)]
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
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateIn {
    kind: Kind,
    scope: Option<ApiScopes>,
    groups: Vec<GroupName>,
    authn: Option<String>,
    #[serde(default)]
    claims: Map<String, Value>,
}

/// Reads who the caller is from `sub` and the private claim.
pub(super) fn read_caller(sub: &str, private: Value) -> Result<(TokenKind, Caller), TokenError> {
    const BAD: TokenError = TokenError::BadClaim(PRIVATE);
    let private: PrivateIn = serde_json::from_value(private).map_err(|_| BAD)?;
    let kind = match (private.kind, private.scope) {
        (Kind::Registry, None) => TokenKind::Registry,
        (Kind::Api, Some(scopes)) => TokenKind::Api(scopes),
        // Nobody says how far it reaches, or it says so of a route where nobody would look.
        (Kind::Api, None) | (Kind::Registry, Some(_)) => return Err(BAD),
    };
    let caller = match private.authn {
        // An empty `sub` with facts about somebody, or a name without a member that vouches for it, is nobody.
        None if sub.is_empty() && private.groups.is_empty() && private.claims.is_empty() => Caller::Anonymous,
        None => return Err(BAD),
        Some(member) => {
            let name = UserName::parse(sub).map_err(|_| TokenError::BadClaim("sub"))?;
            let mut subject = Subject::new(name, private.groups, member.into());
            subject.claims = private.claims;
            Caller::Known(Arc::new(subject))
        }
    };
    Ok((kind, caller))
}
