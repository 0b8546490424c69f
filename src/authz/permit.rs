//! The proof that a request was decided on, and the only place that makes it.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use super::{Ask, Decision, Rules, Stage};
use crate::document::{Document, Kind, RequestAction, RequestFacts};
use crate::registry::path::RequestPath;
use crate::registry::query::Query;
use crate::registry::{AccessSet, Action, Operation, OperationAction, RepositoryName, Resource, Scope};
use crate::subject::Caller;
use crate::token::{ApiScope, ApiScopes};

/// Leave to forward one request. It carries the request that was judged, so nothing else can be forwarded with it.
///
/// Its fields are private to this module, so that only authorization makes one:
///
/// ```compile_fail,E0451
/// use tidegate::authz::Permit;
/// fn forge(other: Permit) -> Permit {
///     Permit { rules: Vec::new(), ..other }
/// }
/// ```
#[derive(Debug)]
pub struct Permit {
    permitted: Permitted,
    caller: Caller,
    service: Arc<str>,
    rules: Vec<usize>,
}

/// What may be forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permitted {
    /// An operation on a registry route. A mount that is not allowed has become a plain upload.
    Registry(Operation),
    /// A request on a route with `auth = "api"`.
    Api(PathRequest),
    /// A request on a route with `auth = "public"`.
    Public(PathRequest),
}

/// A request on a route without a grammar of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRequest {
    /// The method.
    pub method: Method,
    /// The decoded path.
    pub path: RequestPath,
    /// The query.
    pub query: Query,
}

impl Permit {
    /// What may be forwarded.
    pub fn permitted(&self) -> &Permitted {
        &self.permitted
    }

    /// Who asked.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The service that the request is for.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Indexes into [`Rules::rules`] of the allows it rests on, ascending and each once; none on public routes.
    pub fn rules(&self) -> &[usize] {
        &self.rules
    }

    /// The identity document of the request; none on public routes, whose upstream is told nothing.
    pub fn document(&self) -> Option<Document<'_>> {
        self.facts().map(|facts| Document::new(&self.caller, &self.service, &facts))
    }

    /// What the document says of the request. `action` is that of the whole operation: push for an upload, though an
    /// upload needs pull too. None on public routes.
    pub fn facts(&self) -> Option<RequestFacts<'_>> {
        match &self.permitted {
            Permitted::Registry(operation) => Some(RequestFacts {
                kind: if operation.repository().is_some() { Kind::Repository } else { Kind::Catalog },
                repository: operation.repository().map(RepositoryName::as_str),
                reference: operation.reference(),
                path: None,
                action: match operation.action() {
                    OperationAction::Pull => RequestAction::Pull,
                    OperationAction::Push => RequestAction::Push,
                    OperationAction::Delete => RequestAction::Delete,
                    OperationAction::Catalog => RequestAction::Catalog,
                },
                method: Some(standard(&operation.method())),
            }),
            Permitted::Api(request) => Some(path_facts(request)),
            Permitted::Public(_) => None,
        }
    }
}

/// A request on a registry route that waits for its decision.
#[derive(Debug)]
pub struct Request<'a> {
    /// What is asked.
    pub operation: Operation,
    /// Who asks.
    pub caller: &'a Caller,
    /// What their token grants; `None` for callers without a token, of whom only the rules are asked.
    pub granted: Option<&'a AccessSet>,
    /// The service that the token is for, or the default one.
    pub service: &'a str,
    /// The client's address, if it is known.
    pub client: Option<IpAddr>,
    /// Whether the upstream may mount across repositories.
    pub mounts_allowed: bool,
}

/// Why a request is not forwarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token does not grant it, whatever the rules say. A new token may.
    #[error("the token does not grant what this needs")]
    InsufficientScope {
        /// What a challenge asks for.
        needed: Vec<Scope>,
    },
    /// The rules do not allow it. A caller who is anonymous is challenged.
    #[error("{decision}")]
    Denied {
        /// What a challenge asks for; empty on API routes.
        needed: Vec<Scope>,
        /// [`Decision::Denied`] or [`Decision::NoRule`].
        decision: Decision,
        /// Indexes into [`Rules::rules`] of the denies.
        rules: Vec<usize>,
    },
    /// The API token is not for this kind of method, whatever the rules say. A new token may be.
    #[error("the token does not carry the scope {0}")]
    InsufficientApiScope(ApiScope),
    /// The ping is answered by the gateway and never forwarded.
    #[error("the ping is answered by the gateway itself")]
    Ping,
}

/// Judges a request on a registry route: the token must grant each action it needs, and so must the rules as they are.
///
/// A mount whose source may not be read, or that the upstream is not to see, becomes a plain upload, which is then what
/// is judged and permitted.
pub fn authorize(rules: &Rules, request: Request<'_>) -> Result<Permit, Refusal> {
    let asker = request.asker();
    let Request { operation, granted, mounts_allowed, .. } = request;
    if operation.is_ping() {
        return Err(Refusal::Ping);
    }
    let needed = operation.asks();
    let mounts = operation.mount_source().is_none_or(|source| mounts_allowed && asker.reads(rules, granted, source));
    let operation = if mounts { operation } else { operation.without_mount() };
    let scopes = operation.needs();
    if let Some(granted) = granted
        && !scopes.iter().all(|scope| granted.covers(scope))
    {
        return Err(Refusal::InsufficientScope { needed });
    }
    let mut deciding = Vec::new();
    for facts in questions(&operation, &scopes) {
        let verdict = rules.decide(&asker.ask(facts), Stage::Use);
        if !verdict.is_allowed() {
            return Err(Refusal::Denied { needed, decision: verdict.decision, rules: verdict.rules });
        }
        deciding.extend(verdict.rules);
    }
    deciding.sort_unstable();
    deciding.dedup();
    let (caller, service) = (asker.caller.clone(), asker.service.into());
    Ok(Permit { permitted: Permitted::Registry(operation), caller, service, rules: deciding })
}

/// Judges a request on a route with `auth = "api"`. Registry tokens grant nothing here: the caller must come from
/// credentials that are good for API routes. `granted` is what their token is for; `None` for callers without a token, of
/// whom only the rules are asked.
pub fn authorize_api(
    rules: &Rules,
    request: PathRequest,
    caller: &Caller,
    granted: Option<ApiScopes>,
    service: &str,
    client: Option<IpAddr>,
) -> Result<Permit, Refusal> {
    let needed = ApiScope::of(&request.method);
    if granted.is_some_and(|granted| !granted.contains(needed)) {
        return Err(Refusal::InsufficientApiScope(needed));
    }
    let verdict = rules.decide(&Ask { caller, service, facts: path_facts(&request), client }, Stage::Use);
    if !verdict.is_allowed() {
        return Err(Refusal::Denied { needed: Vec::new(), decision: verdict.decision, rules: verdict.rules });
    }
    let (caller, service) = (caller.clone(), service.into());
    Ok(Permit { permitted: Permitted::Api(request), caller, service, rules: verdict.rules })
}

/// Permits a request on a route with `auth = "public"`, as nobody's.
pub fn permit_public(request: PathRequest) -> Permit {
    let permitted = Permitted::Public(request);
    Permit { permitted, caller: Caller::Anonymous, service: "".into(), rules: Vec::new() }
}

/// Whether the decision on a request may depend on the client's address.
pub fn depends_on_client(rules: &Rules, request: &Request<'_>) -> bool {
    let asks = |operation: &Operation| {
        questions(operation, &operation.needs()).any(|facts| rules.reads_client_address(&request.asker().ask(facts)))
    };
    // A mount may end as an upload, which asks for more on the target.
    asks(&request.operation)
        || request.operation.mount_source().is_some() && asks(&request.operation.clone().without_mount())
}

impl<'a> Request<'a> {
    fn asker(&self) -> Asker<'a> {
        Asker { caller: self.caller, service: self.service, client: self.client }
    }
}

/// What is the same in all questions about one request.
#[derive(Clone, Copy)]
struct Asker<'a> {
    caller: &'a Caller,
    service: &'a str,
    client: Option<IpAddr>,
}

impl Asker<'_> {
    fn ask<'q>(&'q self, facts: RequestFacts<'q>) -> Ask<'q> {
        Ask { caller: self.caller, service: self.service, facts, client: self.client }
    }

    fn reads(&self, rules: &Rules, granted: Option<&AccessSet>, source: &RepositoryName) -> bool {
        let resource = Resource::Repository(source.clone());
        let facts = RequestFacts {
            method: Some(&Method::POST),
            ..super::decide::repository_facts(source.as_str(), Action::Pull)
        };
        granted.is_none_or(|granted| granted.allows(&resource, Action::Pull))
            && rules.decide(&self.ask(facts), Stage::Use).is_allowed()
    }
}

/// One question an action and reference: what rules are asked about an operation.
fn questions<'o>(operation: &'o Operation, scopes: &'o [Scope]) -> impl Iterator<Item = RequestFacts<'o>> {
    let method = Some(standard(&operation.method()));
    scopes.iter().flat_map(move |scope| {
        let mut questions = Vec::new();
        match &scope.resource {
            Resource::Catalog => questions.push(RequestFacts { method, ..super::decide::catalog_facts() }),
            Resource::Repository(name) => {
                for action in scope.actions.iter() {
                    let facts = RequestFacts { method, ..super::decide::repository_facts(name.as_str(), action) };
                    // The source of a mount is read as a whole; only the target has a reference.
                    let is_target = operation.repository() == Some(name);
                    questions.push(RequestFacts { reference: operation.reference().filter(|_| is_target), ..facts });
                    // A manifest put by digest writes these too, and a rule has to allow each.
                    let tags = operation.tags().iter().filter(|_| is_target);
                    questions.extend(tags.map(|tag| RequestFacts { reference: Some(tag.as_str()), ..facts }));
                }
            }
        }
        questions
    })
}

fn path_facts(request: &PathRequest) -> RequestFacts<'_> {
    let reads = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
    RequestFacts {
        kind: Kind::Api,
        repository: None,
        reference: None,
        path: Some(request.path.as_str()),
        action: if reads { RequestAction::Read } else { RequestAction::Write },
        method: Some(&request.method),
    }
}

/// The constant of a method of the registry's grammar, which outlives the operation's own.
fn standard(method: &Method) -> &'static Method {
    match *method {
        Method::HEAD => &Method::HEAD,
        Method::POST => &Method::POST,
        Method::PUT => &Method::PUT,
        Method::PATCH => &Method::PATCH,
        Method::DELETE => &Method::DELETE,
        _ => &Method::GET,
    }
}
