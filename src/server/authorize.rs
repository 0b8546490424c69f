//! May they? From what was presented and what is asked to a passage, or to the refusal that the client is told.

use std::sync::Arc;

use http::{Method, request};

use super::challenge::TokenTrouble;
use super::exchange::Exchange;
use super::failure::Failure;
use super::passage::Passage;
use super::presented::Presented;
use super::session::{Key, Session};
use super::state::State;
use super::strangers::Refused;
use super::trail::printed;
use super::way::Way;
use crate::audit;
use crate::authz::{self, PathRequest, Refusal};
use crate::metrics::CacheKind;
use crate::registry::{AccessSet, Action, Actions, Operation, Resource, Scope};
use crate::subject::Caller;

/// What was decided for the same token before, about the same method and raw target: everything follows from those, so that nothing
/// of the request has to be parsed. Only reads are remembered.
pub(crate) fn known(
    state: &State,
    head: &request::Parts,
    presented: &Presented,
    exchange: &mut Exchange,
) -> Option<Arc<Passage>> {
    let (session, key) = memory(state, head, presented, exchange)?;
    let passage = session.passage(presented.caller(), key)?;
    exchange.allowed_before(presented.caller(), &passage);
    let requested = passage.requested.as_deref();
    exchange.audit_decision(&presented.judged(state, requested, audit::Result::Allowed, &passage.reason));
    state.sessions.count(true);
    exchange.metrics().lookup(CacheKind::Decision, true);
    Some(passage)
}

/// Where the decision about a request is kept, and by what it is found there.
fn memory<'a>(
    state: &State,
    head: &'a request::Parts,
    presented: &'a Presented,
    exchange: &Exchange,
) -> Option<(&'a Session, Key<'a>)> {
    let session = &presented.token()?.state;
    let is_read = matches!(head.method, Method::GET | Method::HEAD);
    let target = head.uri.path_and_query().filter(|_| is_read)?.as_str();
    let client = exchange.peer.client.ip().filter(|_| state.rules_read_client);
    Some((session, Key { method: &head.method, target, client }))
}

/// Decides about an operation of the registry, which `asks` for these scopes.
pub(crate) fn operation(
    way: &Way<'_>,
    operation: Operation,
    asks: &[Scope],
    presented: &Presented,
    exchange: &mut Exchange,
) -> Result<Arc<Passage>, Failure> {
    let Way { state, route, path, head, .. } = way;
    let is_mount = operation.mount_source().is_some();
    let request = authz::Request {
        operation,
        caller: presented.caller(),
        granted: presented.token().map(|entry| &entry.verified.access),
        service: presented.service(state),
        client: exchange.peer.client.ip(),
        mounts_allowed: route.mounts,
    };
    let judged = authz::authorize(&state.rules, request);
    let permit = judged.map_err(|refusal| refused(state, &refusal, presented, asks, exchange))?;
    let requested = printed(asks.iter());
    let requested = requested.as_deref();
    let passage = Passage::new(state, route, permit, path).inspect_err(|failure| {
        exchange.audit_decision(&presented.judged(state, requested, audit::Result::Failed, &failure.to_string()));
    })?;
    let passage = Arc::new(passage);
    let reduced = is_mount && passage.operation().is_some_and(|operation| operation.mount_source().is_none());
    let result = if reduced { audit::Result::Reduced } else { audit::Result::Allowed };
    exchange.audit_decision(&presented.judged(state, requested, result, &passage.reason));
    if let Some((session, key)) = memory(state, head, presented, exchange) {
        exchange.metrics().lookup(CacheKind::Decision, false);
        session.keep(presented.caller(), key, &passage);
    }
    Ok(passage)
}

/// Decides about a request on a route with `auth = "api"`.
pub(crate) fn path(
    way: &Way<'_>,
    request: PathRequest,
    presented: &Presented,
    exchange: &mut Exchange,
) -> Result<Passage, Failure> {
    let Way { state, route, path, .. } = way;
    let (caller, service) = (presented.caller(), presented.service(state));
    let judged =
        authz::authorize_api(&state.rules, request, caller, presented.api_scopes(), service, exchange.peer.client.ip());
    let passage = judged.map_err(|refusal| refused(state, &refusal, presented, &[], exchange)).and_then(|permit| {
        Passage::new(state, route, permit, path).inspect_err(|failure| {
            exchange.audit_decision(&presented.judged(state, None, audit::Result::Failed, &failure.to_string()));
        })
    })?;
    exchange.audit_decision(&presented.judged(state, None, audit::Result::Allowed, &passage.reason));
    Ok(passage)
}

/// What a refusal becomes depends on how the caller came.
fn refused(
    state: &State,
    refusal: &Refusal,
    presented: &Presented,
    asks: &[Scope],
    exchange: &mut Exchange,
) -> Failure {
    let why = match refusal {
        Refusal::Denied { rules, .. } if !rules.is_empty() => state.name_rules(rules),
        _ => refusal.to_string(),
    };
    let requested = printed(asks.iter());
    exchange.audit_decision(&presented.judged(state, requested.as_deref(), audit::Result::Denied, &why));
    if let (Presented::Nothing, Some(stranger)) = (presented, &mut exchange.stranger) {
        stranger.refused = Some(Refused { requested, why });
        return Failure::Challenged { asks: asks.to_vec(), trouble: TokenTrouble::None };
    }
    let message = || {
        let what = lacking(state, presented, asks, exchange);
        format!("requested access to the resource is denied: {what}")
    };
    let nobody = matches!(presented.caller(), Caller::Anonymous);
    match presented {
        Presented::Nothing => Failure::Challenged { asks: asks.to_vec(), trouble: TokenTrouble::None },
        Presented::Password(_) | Presented::Key(_) | Presented::Certificate(_) => {
            Failure::Denied { message: message() }
        }
        Presented::Token { .. } if let Refusal::InsufficientApiScope(needs) = refusal => {
            Failure::InsufficientApiScope { needs: *needs, message: why }
        }
        // Nothing that could be asked for would help, unless it is to log in.
        Presented::Token { .. } if asks.is_empty() && !nobody => Failure::Denied { message: message() },
        Presented::Token { .. } => {
            Failure::Challenged { asks: asks.to_vec(), trouble: TokenTrouble::InsufficientScope(message()) }
        }
    }
}

/// What is missing, for whoever reads the client's output: only the actions that are, and whether it is the caller or only
/// this token that lacks them.
fn lacking(state: &State, presented: &Presented, asks: &[Scope], exchange: &Exchange) -> String {
    let who = presented.caller().name().map_or("an anonymous caller", |name| name.as_str());
    if asks.is_empty() {
        return format!("{who} may not {} {}", exchange.method, exchange.path());
    }
    let asked: AccessSet = asks.iter().cloned().collect();
    let client = exchange.peer.client.ip();
    let rights = state.rules.grant(presented.caller(), presented.service(state), client, &asked);
    let beyond_rights = without(&asked, &rights);
    if !beyond_rights.is_empty() {
        return format!("{who} may not {}", in_words(&beyond_rights));
    }
    let token = presented.token().map(|entry| without(&asked, &entry.verified.access)).unwrap_or_default();
    if token.is_empty() {
        // The rights are there, and so is the scope: a rule about the method or the reference says no.
        format!("{who} may not {} this", exchange.method)
    } else {
        format!("the token does not allow to {}", in_words(&token))
    }
}

/// What one set has and the other has not.
fn without(set: &AccessSet, other: &AccessSet) -> AccessSet {
    set.iter()
        .map(|Scope { resource, actions }| {
            let have = other.actions(&resource);
            let actions = actions.iter().filter(|action| !have.contains(*action)).collect::<Actions>();
            Scope { resource, actions }
        })
        .collect()
}

/// Access in words: "pull from and push to team/app".
fn in_words(access: &AccessSet) -> String {
    let parts: Vec<String> = access
        .iter()
        .map(|scope| match &scope.resource {
            Resource::Catalog => "list the catalog".to_owned(),
            Resource::Repository(name) => {
                let actions: Vec<&str> = scope.actions.iter().map(with_preposition).collect();
                format!("{} {name}", actions.join(" and "))
            }
        })
        .collect();
    parts.join(", or ")
}

fn with_preposition(action: Action) -> &'static str {
    match action {
        Action::Pull => "pull from",
        Action::Push => "push to",
        Action::Delete => "delete from",
    }
}

#[cfg(test)]
mod tests {
    use super::{in_words, without};
    use crate::registry::{AccessSet, Scope};

    fn set(scopes: &str) -> AccessSet {
        scopes.split_whitespace().map(|scope| scope.parse::<Scope>().unwrap()).collect()
    }

    #[test]
    fn only_what_is_missing_is_named() {
        let missing =
            without(&set("repository:a:pull,push repository:b:pull"), &set("repository:a:pull repository:b:pull"));
        assert_eq!(missing, set("repository:a:push"));
        assert_eq!(in_words(&missing), "push to a");
        assert_eq!(
            in_words(&set("repository:a:pull,push repository:b:pull")),
            "pull from and push to a, or pull from b"
        );
    }
}
