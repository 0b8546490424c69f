//! A document as somebody types it: with what is left out filled in, and what no document has refused.

use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::document::{Kind, RequestAction, RequestFacts};
use crate::subject::{Caller, GroupName, Subject, UserName};

/// The document; every member may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Partial {
    subject: Option<UserName>,
    anonymous: Option<bool>,
    groups: Vec<GroupName>,
    authn: Option<String>,
    claims: Map<String, Value>,
    pub(super) service: Option<String>,
    request: Request,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    kind: Option<KindName>,
    repository: Option<String>,
    reference: Text,
    path: Option<String>,
    action: Option<ActionName>,
    method: Text,
}

/// A text that may be left out, which is not the same as `null`: uploads have no reference.
#[derive(Debug, Default)]
enum Text {
    #[default]
    Missing,
    Given(Option<String>),
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Given)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindName {
    Repository,
    Catalog,
    Api,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ActionName {
    Pull,
    Push,
    Delete,
    Catalog,
    Read,
    Write,
}

/// A document in full.
pub(super) struct Whole {
    pub(super) caller: Caller,
    kind: Kind,
    repository: Option<String>,
    reference: Option<String>,
    path: Option<String>,
    action: RequestAction,
    method: Option<Method>,
}

impl Partial {
    /// Fills in what is missing.
    pub(super) fn complete(&self) -> Result<Whole, String> {
        let request = &self.request;
        let kind = match (request.kind, &request.path, request.action) {
            (Some(KindName::Api), ..) | (None, Some(_), _) => Kind::Api,
            (Some(KindName::Catalog), ..) | (None, None, Some(ActionName::Catalog)) => Kind::Catalog,
            (Some(KindName::Repository) | None, ..) => Kind::Repository,
        };
        let action = match (request.action, kind) {
            (Some(ActionName::Pull), _) | (None, Kind::Repository) => RequestAction::Pull,
            (Some(ActionName::Push), _) => RequestAction::Push,
            (Some(ActionName::Delete), _) => RequestAction::Delete,
            (Some(ActionName::Catalog), _) | (None, Kind::Catalog) => RequestAction::Catalog,
            (Some(ActionName::Read), _) | (None, Kind::Api) => RequestAction::Read,
            (Some(ActionName::Write), _) => RequestAction::Write,
        };
        let method = match &request.method {
            Text::Given(None) => None,
            Text::Given(Some(text)) => {
                Some(Method::from_bytes(text.as_bytes()).map_err(|_| "request.method is no method".to_owned())?)
            }
            Text::Missing => Some(match action {
                RequestAction::Push => Method::PUT,
                RequestAction::Delete => Method::DELETE,
                RequestAction::Write => Method::POST,
                RequestAction::Pull | RequestAction::Catalog | RequestAction::Read => Method::GET,
            }),
        };
        let repository = (kind == Kind::Repository)
            .then(|| request.repository.clone().unwrap_or_else(|| "library/hello-world".into()));
        let reference = match &request.reference {
            Text::Missing if kind == Kind::Repository => Some("latest".to_owned()),
            Text::Missing => None,
            Text::Given(reference) => reference.clone(),
        };
        let path = (kind == Kind::Api).then(|| request.path.clone().unwrap_or_else(|| "/".into()));
        Ok(Whole { caller: self.caller()?, kind, repository, reference, path, action, method })
    }

    fn caller(&self) -> Result<Caller, String> {
        match (&self.subject, self.anonymous) {
            (Some(_), Some(true)) => Err("a document with a `subject` is not `anonymous`".into()),
            (None, Some(false)) => Err("a document that is not `anonymous` needs a `subject`".into()),
            (None, _) if self.authn.is_some() || !self.groups.is_empty() || !self.claims.is_empty() => {
                Err("`groups`, `authn` and `claims` are of a `subject`, and there is none".into())
            }
            (None, _) => Ok(Caller::Anonymous),
            (Some(name), _) => {
                let member = self.authn.as_deref().unwrap_or("users").into();
                let mut subject = Subject::new(name.clone(), self.groups.clone(), member);
                subject.claims.clone_from(&self.claims);
                Ok(Caller::Known(Arc::new(subject)))
            }
        }
    }
}

impl Whole {
    pub(super) fn facts(&self) -> RequestFacts<'_> {
        RequestFacts {
            kind: self.kind,
            repository: self.repository.as_deref(),
            reference: self.reference.as_deref(),
            path: self.path.as_deref(),
            action: self.action,
            method: self.method.as_ref(),
        }
    }
}
