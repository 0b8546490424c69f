//! ACTION and RESOURCE as the questions that the gateway would ask its rules.

use std::fmt;

use http::Method;

use crate::authn::{API_KEYS, CLIENTS};
use crate::cli::console::Failure;
use crate::config::{self, Config, RouteAuth};
use crate::document::{Kind, RequestAction, RequestFacts};
use crate::pulp::Standing;
use crate::registry::path::{RequestPath, is_at_or_below, is_of_registry};
use crate::registry::{Operation, OperationAction, RepositoryName};
use crate::subject::Caller;

/// What somebody wants to do.
pub(super) struct Asked {
    resource: Resource,
    action: RequestAction,
    method: Method,
    reference: Option<String>,
}

enum Resource {
    Repository(RepositoryName),
    Catalog,
    Path(RequestPath),
}

/// One question to the rules.
pub(super) struct Question<'a> {
    pub(super) facts: RequestFacts<'a>,
    /// Whether a token has to carry it.
    pub(super) has_scope: bool,
}

impl Asked {
    pub(super) fn parse(
        action: &str,
        resource: &str,
        method: Option<&Method>,
        reference: Option<&str>,
    ) -> Result<Self, Failure> {
        if resource.starts_with('/') {
            return Self::path(action, resource, method, reference);
        }
        let (parsed, default) = match action {
            "pull" => (RequestAction::Pull, Method::GET),
            "push" => (RequestAction::Push, Method::PUT),
            "delete" => (RequestAction::Delete, Method::DELETE),
            "catalog" => (RequestAction::Catalog, Method::GET),
            _ => {
                let message = format!("\"{}\" is nothing that can be done to a repository", action.escape_debug());
                return Err(Failure::usage(message).hint(
                    "pull, push or delete, and `catalog catalog` for the list of all repositories; read, write and methods \
                     go with a path that begins with `/`",
                ));
            }
        };
        let resource = match parsed {
            RequestAction::Catalog if resource == "catalog" => Resource::Catalog,
            RequestAction::Catalog => {
                let message = "the action catalog goes with the resource `catalog` only";
                return Err(Failure::usage(message).hint("tidegate explain … catalog catalog"));
            }
            _ => Resource::Repository(RepositoryName::parse(resource).map_err(|error| {
                let message = format!("\"{}\" is no repository name: {error}", resource.escape_debug());
                Failure::usage(message).hint("without host and tag, as in team/app; --reference takes the tag")
            })?),
        };
        let method = method.cloned().unwrap_or(default);
        Ok(Self { resource, action: parsed, method, reference: reference.map(str::to_owned) })
    }

    fn path(action: &str, path: &str, method: Option<&Method>, reference: Option<&str>) -> Result<Self, Failure> {
        let parsed = RequestPath::parse(path).map_err(|error| {
            Failure::usage(format!("the path \"{}\" is refused whoever asks: {error}", path.escape_debug()))
        })?;
        if reference.is_some() {
            return Err(Failure::usage("--reference goes with repositories only"));
        }
        let named = match action {
            "read" => Method::GET,
            "write" => Method::POST,
            "pull" | "push" | "catalog" => {
                let message = format!("{action} goes with a repository or the catalog, and \"{path}\" is a path");
                return Err(Failure::usage(message).hint("for a path: read, write or a method such as GET"));
            }
            other => self::method(other).map_err(Failure::usage)?,
        };
        let fixed = !matches!(action, "read" | "write");
        let method = match method {
            Some(method) if fixed && *method != named => {
                return Err(Failure::usage(format!("the action says {named} and --method {method}")));
            }
            Some(method) => method.clone(),
            None => named,
        };
        let is_read = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&method);
        if !fixed && is_read != (action == "read") {
            return Err(Failure::usage(format!("{method} does not {action}")));
        }
        let action = if is_read { RequestAction::Read } else { RequestAction::Write };
        Ok(Self { resource: Resource::Path(parsed), action, method, reference: None })
    }

    /// What the request is, as rules and filters may know it when it is made.
    pub(super) fn facts(&self) -> RequestFacts<'_> {
        self.facts_of(self.action)
    }

    /// What is asked of the rules: an upload is two questions.
    pub(super) fn questions(&self) -> Vec<Question<'_>> {
        let question =
            |action| Question { facts: self.facts_of(action), has_scope: !matches!(self.resource, Resource::Path(_)) };
        match self.action {
            RequestAction::Push => vec![question(RequestAction::Push), question(RequestAction::Pull)],
            action => vec![question(action)],
        }
    }

    /// Where the routes decide before any rule does: whether it is allowed.
    pub(super) fn route(&self, config: &Config, notes: &mut Vec<String>) -> Result<Option<bool>, Failure> {
        let Resource::Path(path) = &self.resource else {
            if !config.routes.is_empty() && !config.routes.iter().any(|route| route.auth == RouteAuth::Registry) {
                notes.push(
                    "there is no route with `auth = \"registry\"`, so this gateway serves no repositories".into(),
                );
            }
            return Ok(None);
        };
        // As the server finds it: longest prefix first, and what belongs to the registry's grammar is taken by no other
        // kind of route.
        let of_registry = is_of_registry(path.as_str());
        let route = config.routes.iter().find(|route| is_at_or_below(path.as_str(), &route.prefix));
        let Some(route) = route.filter(|route| !of_registry || route.auth == RouteAuth::Registry) else {
            notes.push("no [[route]] covers this path, so it is refused with 404, whatever the rules say".into());
            return Ok(Some(false));
        };
        let standing = match config.upstreams.get(route.upstream).map(|upstream| &upstream.kind) {
            Some(config::Kind::Pulp(pulp)) if !of_registry => pulp.paths().standing(&self.method, path, &route.prefix),
            _ => Standing::Judged,
        };
        let overrule = "a [[route]] with this prefix would have it judged";
        match (standing, route.auth) {
            (Standing::Closed, _) => {
                notes.push(format!(
                    "this is Pulp's own way to log in, and refused with 404, whatever the rules say; {overrule}"
                ));
                Ok(Some(false))
            }
            (Standing::Public, RouteAuth::Api) => {
                notes.push(format!("of a Pulp everybody may read this: no rule is asked; {overrule}"));
                Ok(Some(true))
            }
            (_, RouteAuth::Api) => Ok(None),
            (_, RouteAuth::Public) => {
                notes.push(format!("the route `{}` is public: nobody is asked, and no rule either", route.prefix));
                Ok(Some(true))
            }
            (_, RouteAuth::Registry) => Err(self.is_registry(path, &route.prefix)),
        }
    }

    /// Where the kind of credentials decides before any rule does: API keys and clients are for API routes only.
    pub(super) fn credentials(&self, caller: &Caller, notes: &mut Vec<String>) -> Option<bool> {
        let subject = caller.subject()?;
        if matches!(self.resource, Resource::Path(_)) || ![API_KEYS, CLIENTS].contains(&&*subject.member) {
            return None;
        }
        let what = if *subject.member == *API_KEYS { "an API key" } else { "an OAuth2 client" };
        notes.push(format!("{} is {what}, which is good for routes with `auth = \"api\"` only", subject.name));
        Some(false)
    }

    /// A path of the registry API is judged by what it does to which repository.
    fn is_registry(&self, path: &RequestPath, prefix: &str) -> Failure {
        let message = format!("the route `{prefix}` is judged by repository, not by path");
        let Ok(operation) = Operation::at(&self.method, path, None) else {
            return Failure::usage(message).hint(format!(
                "and {} {} is nothing that the registry API knows",
                self.method,
                path.as_str()
            ));
        };
        let action = match operation.action() {
            OperationAction::Pull => "pull",
            OperationAction::Push => "push",
            OperationAction::Delete => "delete",
            OperationAction::Catalog => "catalog",
        };
        let hint = match operation.repository() {
            Some(name) => format!("tidegate explain … --method {} {action} {name}", self.method),
            None if operation.is_ping() => "the gateway answers this by itself, to whoever has logged in".into(),
            None => format!("tidegate explain … {action} catalog"),
        };
        Failure::usage(message).hint(hint)
    }

    fn facts_of(&self, action: RequestAction) -> RequestFacts<'_> {
        let (kind, repository, path) = match &self.resource {
            Resource::Repository(name) => (Kind::Repository, Some(name.as_str()), None),
            Resource::Catalog => (Kind::Catalog, None, None),
            Resource::Path(path) => (Kind::Api, None, Some(path.as_str())),
        };
        let reference = self.reference.as_deref();
        RequestFacts { kind, repository, reference, path, action, method: Some(&self.method) }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.resource {
            Resource::Catalog => return f.write_str("the catalog"),
            Resource::Path(path) => return write!(f, "{} {}", self.method, path.as_str()),
            Resource::Repository(name) => write!(f, "{} {name}", word(self.action))?,
        }
        match &self.reference {
            Some(reference) => write!(f, ", {} {}", self.method, reference.escape_debug()),
            None => write!(f, ", {}", self.method),
        }
    }
}

/// An action as arguments and scopes name it.
pub(super) fn word(action: RequestAction) -> &'static str {
    match action {
        RequestAction::Pull => "pull",
        RequestAction::Push => "push",
        RequestAction::Delete => "delete",
        RequestAction::Catalog => "catalog",
        RequestAction::Read => "read",
        RequestAction::Write => "write",
    }
}

/// A method in any case.
pub(super) fn method(text: &str) -> Result<Method, String> {
    const KNOWN: [Method; 7] =
        [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let found = KNOWN.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        format!("\"{}\" is no method that is forwarded: GET HEAD OPTIONS POST PUT PATCH DELETE", text.escape_debug())
    })
}
