//! The identity document: the one JSON shape that filters and predicates read.

use http::Method;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::subject::{Caller, GroupName};

/// What a request asks for, as far as filters and rules may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts<'a> {
    /// The kind of thing that is asked for.
    pub kind: Kind,
    /// The repository; `None` for the catalog and for API routes.
    pub repository: Option<&'a str>,
    /// Tag, digest or upload session; `None` where there is none, and when a token is issued.
    pub reference: Option<&'a str>,
    /// The path of an API route; `None` elsewhere.
    pub path: Option<&'a str>,
    /// What is done.
    pub action: RequestAction,
    /// The method; `None` when a token is issued.
    pub method: Option<&'a Method>,
}

/// The kind of thing that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A repository and what is in it.
    Repository,
    /// `_catalog`.
    Catalog,
    /// A route with `auth = "api"`.
    Api,
}

/// What a request does, in the words of the design's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestAction {
    /// Read from a repository.
    Pull,
    /// Write to a repository.
    Push,
    /// Delete from a repository.
    Delete,
    /// List the catalog.
    Catalog,
    /// `GET`, `HEAD` or `OPTIONS` of an API route.
    Read,
    /// Any other method of an API route.
    Write,
}

/// The document itself, serialized field by field in this order.
#[derive(Clone, Debug, Serialize)]
pub struct Document<'a> {
    subject: Option<&'a str>,
    anonymous: bool,
    groups: &'a [GroupName],
    authn: Option<&'a str>,
    claims: std::borrow::Cow<'a, Map<String, Value>>,
    service: &'a str,
    request: Request<'a>,
}

#[derive(Clone, Debug, Serialize)]
struct Request<'a> {
    kind: Kind,
    repository: Option<&'a str>,
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    action: RequestAction,
    method: Option<&'a str>,
}

impl<'a> Document<'a> {
    /// Puts together what is known of a caller and of what they ask.
    pub fn new(caller: &'a Caller, service: &'a str, request: &RequestFacts<'a>) -> Self {
        use std::borrow::Cow;
        let subject = caller.subject();
        Self {
            subject: subject.map(|subject| subject.name.as_str()),
            anonymous: subject.is_none(),
            groups: subject.map_or(&[], |subject| &subject.groups),
            authn: subject.map(|subject| &*subject.member),
            claims: subject.map_or_else(|| Cow::Owned(Map::new()), |subject| Cow::Borrowed(&subject.claims)),
            service,
            request: Request {
                kind: request.kind,
                repository: request.repository,
                reference: request.reference,
                path: request.path,
                action: request.action,
                method: request.method.map(Method::as_str),
            },
        }
    }

    /// Whether nobody said who they are.
    pub fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Whether what it says of the caller holds this text, in some case, which `folded` has as lower case.
    pub fn tells_of_caller(&self, folded: &str) -> bool {
        let is = |text: &str| text.to_lowercase() == folded;
        let groups = self.groups.iter().map(GroupName::as_str);
        [self.subject, self.authn].into_iter().flatten().chain(groups).any(is)
            || self.claims.iter().any(|(key, claim)| is(key) || claim_holds(claim, &is))
    }

    /// The same for what it says of the request.
    pub fn tells_of_request(&self, folded: &str) -> bool {
        let Request { repository, reference, path, .. } = self.request;
        [repository, reference, path].into_iter().flatten().any(|text| text.to_lowercase() == folded)
    }
}

fn claim_holds(claim: &Value, is: &dyn Fn(&str) -> bool) -> bool {
    match claim {
        Value::String(text) => is(text),
        Value::Array(items) => items.iter().any(|item| claim_holds(item, is)),
        Value::Object(fields) => fields.iter().any(|(key, item)| is(key) || claim_holds(item, is)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use super::{Document, Kind, RequestAction, RequestFacts};
    use crate::subject::{Caller, GroupName, Subject, UserName};

    #[test]
    fn it_is_the_documented_shape() {
        let groups = vec![GroupName::parse("dev").unwrap()];
        let caller = Caller::Known(Subject::new(UserName::parse("alice").unwrap(), groups, "users".into()).into());
        let facts = RequestFacts {
            kind: Kind::Repository,
            repository: Some("team/app"),
            reference: Some("v1"),
            path: None,
            action: RequestAction::Push,
            method: Some(&Method::PUT),
        };
        assert_eq!(
            serde_json::to_value(Document::new(&caller, "127.0.0.1:5000", &facts)).unwrap(),
            json!({
                "subject": "alice", "anonymous": false, "groups": ["dev"], "authn": "users", "claims": {},
                "service": "127.0.0.1:5000",
                "request": {
                    "kind": "repository", "repository": "team/app", "reference": "v1", "action": "push", "method": "PUT"
                }
            })
        );
    }

    #[test]
    fn an_anonymous_caller_has_no_subject() {
        let facts = RequestFacts {
            kind: Kind::Api,
            repository: None,
            reference: None,
            path: Some("/status/"),
            action: RequestAction::Read,
            method: None,
        };
        assert_eq!(
            serde_json::to_value(Document::new(&Caller::Anonymous, "s", &facts)).unwrap(),
            json!({
                "subject": null, "anonymous": true, "groups": [], "authn": null, "claims": {}, "service": "s",
                "request": {
                    "kind": "api", "repository": null, "reference": null, "path": "/status/", "action": "read",
                    "method": null
                }
            })
        );
    }
}
