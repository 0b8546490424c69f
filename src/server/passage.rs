//! A permitted request, ready to travel: everything that follows from the permit and can be kept with it.

use std::sync::Arc;

use http::HeaderValue;
use http::uri::PathAndQuery;

use super::failure::Failure;
use super::identities::HeaderKey;
use super::routes::{Route, UpstreamCredentials};
use super::state::State;
use super::trail::printed;
use crate::authz::{PathRequest, Permit, Permitted};
use crate::registry::path::RequestPath;
use crate::registry::{Operation, Scope};

/// The permit with what it means on the wire.
#[derive(Debug)]
pub(crate) struct Passage {
    permit: Permit,
    /// The route it takes.
    pub(crate) route: Arc<Route>,
    /// Path and query, rebuilt from what was parsed.
    pub(crate) target: PathAndQuery,
    /// The identity header, where the route sends one and the filter made one.
    pub(crate) identity: Option<HeaderValue>,
    /// The rules that it rests on, for the audit.
    pub(crate) reason: String,
    /// What the logs say of it: the canonical path, and the scopes that it needs as the protocol writes them.
    pub(crate) path: Box<str>,
    pub(crate) requested: Option<String>,
}

impl Passage {
    /// Makes ready what a permit allows.
    pub(crate) fn new(state: &State, route: &Arc<Route>, permit: Permit, path: &RequestPath) -> Result<Self, Failure> {
        let identity = match (&route.credentials, permit.document()) {
            (UpstreamCredentials::Identity(identity), Some(document)) => {
                let facts = permit.facts().filter(|_| identity.reads_request());
                let key = HeaderKey::new(permit.caller(), &route.prefix, permit.service(), facts.as_ref());
                state.identities.header(permit.caller(), key, || identity.value(&document))?
            }
            _ => None,
        };
        let target = match permit.permitted() {
            Permitted::Registry(operation) => operation.path_and_query(),
            Permitted::Api(request) | Permitted::Public(request) => rebuilt(request),
        };
        // What the grammar rebuilds is always a valid target; should it ever not be, nothing is forwarded.
        let target = target.parse().map_err(|_| Failure::NoRoute)?;
        let reason = state.name_rules(permit.rules());
        let mut passage = Self {
            permit,
            route: Arc::clone(route),
            target,
            identity,
            reason,
            path: path.as_str().into(),
            requested: None,
        };
        passage.requested = printed(passage.asks().iter());
        Ok(passage)
    }

    /// The proof itself.
    pub(crate) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Whether it is nobody's: the upstream is told nothing of the caller, and what it says about that is its own affair.
    pub(crate) fn is_public(&self) -> bool {
        matches!(self.permit.permitted(), Permitted::Public(_))
    }

    /// The operation, on registry routes.
    pub(crate) fn operation(&self) -> Option<&Operation> {
        match self.permit.permitted() {
            Permitted::Registry(operation) => Some(operation),
            Permitted::Api(_) | Permitted::Public(_) => None,
        }
    }

    /// The scopes to ask for it.
    pub(crate) fn asks(&self) -> Vec<Scope> {
        self.operation().map(Operation::asks).unwrap_or_default()
    }
}

fn rebuilt(request: &PathRequest) -> String {
    let mut target = request.path.encoded();
    if !request.query.is_empty() {
        target.push('?');
        target.push_str(&request.query.to_string());
    }
    target
}
