//! What was decided for a verified token.
//!
//! Decisions are kept by method and request target, the raw text of which everything else follows from; identity headers by what
//! the document holds of the request. Both are forgotten when the subject's groups change, when the token leaves the cache, and
//! with the state that a reload replaces.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderValue, Method};

use super::passage::Passage;
use crate::document::{Kind, RequestAction, RequestFacts};
use crate::subject::Caller;
use crate::token::Verified;

/// Most decisions that are kept for one token; beyond it, all are forgotten and made again.
const MOST: usize = 128;

/// The decisions of one token, beside it in the cache of verified tokens.
#[derive(Debug)]
pub struct Session(Mutex<Known>);

#[derive(Debug)]
struct Known {
    caller: Caller,
    /// By target: few are asked for in several ways.
    passages: HashMap<Box<str>, Vec<Decided>>,
    /// How many passages there are.
    kept: usize,
    headers: HashMap<HeaderKey, Option<HeaderValue>>,
}

impl Known {
    fn of(caller: &Caller) -> Self {
        Self { caller: caller.clone(), passages: HashMap::new(), kept: 0, headers: HashMap::new() }
    }
}

/// What a decision depends on, beside the token and the rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) method: &'a Method,
    pub(crate) target: &'a str,
    /// Only where a rule reads it; and a unix peer has none.
    pub(crate) client: Option<IpAddr>,
}

/// A decision about a target.
#[derive(Debug)]
struct Decided {
    method: Method,
    client: Option<IpAddr>,
    passage: Arc<Passage>,
}

/// What an identity header depends on, beside the token and the filters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HeaderKey {
    /// Which route's filter it is.
    route: String,
    /// What the filter may read of the request; nothing for a filter that reads none of it.
    request: Option<RequestKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RequestKey {
    kind: Kind,
    action: RequestAction,
    method: Option<Method>,
    repository: Option<String>,
    reference: Option<String>,
    path: Option<String>,
}

impl HeaderKey {
    /// For the filter of a route; `facts` are those of the request if the filter reads them.
    pub(crate) fn new(route: &str, facts: Option<&RequestFacts<'_>>) -> Self {
        let request = facts.map(|facts| RequestKey {
            kind: facts.kind,
            action: facts.action,
            method: facts.method.cloned(),
            repository: facts.repository.map(str::to_owned),
            reference: facts.reference.map(str::to_owned),
            path: facts.path.map(str::to_owned),
        });
        Self { route: route.to_owned(), request }
    }
}

impl Session {
    /// For a token that was just verified: nothing is decided yet.
    pub(crate) fn new(verified: &Verified) -> Self {
        Self(Mutex::new(Known::of(&verified.caller)))
    }

    /// What was decided, as long as the caller is who they were then.
    pub(crate) fn passage(&self, caller: &Caller, key: Key<'_>) -> Option<Arc<Passage>> {
        let known = self.lock();
        if !is_same(&known.caller, caller) {
            return None;
        }
        let is_it = |decided: &&Decided| decided.method == key.method && decided.client == key.client;
        known.passages.get(key.target)?.iter().find(is_it).map(|decided| Arc::clone(&decided.passage))
    }

    /// Keeps a decision.
    pub(crate) fn keep(&self, caller: &Caller, key: Key<'_>, passage: &Arc<Passage>) {
        let mut known = self.lock_for(caller);
        if known.kept >= MOST {
            known.passages.clear();
            known.kept = 0;
        }
        known.kept += 1;
        let decided = Decided { method: key.method.clone(), client: key.client, passage: Arc::clone(passage) };
        known.passages.entry(key.target.into()).or_default().push(decided);
    }

    /// The identity header that was made for the same before, or the one that `make` makes now.
    pub(crate) fn header<E>(
        &self,
        caller: &Caller,
        key: HeaderKey,
        make: impl FnOnce() -> Result<Option<HeaderValue>, E>,
    ) -> Result<Option<HeaderValue>, E> {
        let mut known = self.lock_for(caller);
        if let Some(header) = known.headers.get(&key) {
            return Ok(header.clone());
        }
        let header = make()?;
        if known.headers.len() >= MOST {
            known.headers.clear();
        }
        known.headers.insert(key, header.clone());
        Ok(header)
    }

    /// What is known of this caller: nothing, if it was another one's (other groups, say) until now.
    fn lock_for(&self, caller: &Caller) -> std::sync::MutexGuard<'_, Known> {
        let mut known = self.lock();
        if !is_same(&known.caller, caller) {
            *known = Known::of(caller);
        }
        known
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Mostly it is the very same subject, which costs no comparison of names.
fn is_same(one: &Caller, other: &Caller) -> bool {
    match (one, other) {
        (Caller::Known(one), Caller::Known(other)) if Arc::ptr_eq(one, other) => true,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderValue, Method};

    use super::{HeaderKey, Known, Mutex, Session};
    use crate::document::{Kind, RequestAction, RequestFacts};
    use crate::subject::{Caller, GroupName, Subject, UserName};

    fn alice(groups: &[&str]) -> Caller {
        let groups = groups.iter().map(|name| GroupName::parse(name).unwrap()).collect();
        Caller::Known(Arc::new(Subject::new(UserName::parse("alice").unwrap(), groups, "users".into())))
    }

    fn facts(action: RequestAction, reference: Option<&str>) -> RequestFacts<'_> {
        let (repository, method) = (Some("team/app"), Some(&Method::PUT));
        RequestFacts { kind: Kind::Repository, repository, reference, path: None, action, method }
    }

    /// How often the filter runs for these requests of one token.
    fn runs(requests: &[(Caller, HeaderKey)]) -> usize {
        let session = Session(Mutex::new(Known::of(&alice(&[]))));
        let mut runs = 0;
        for (caller, key) in requests {
            let header = session.header(caller, key.clone(), || {
                runs += 1;
                Ok::<_, ()>(Some(HeaderValue::from_static("x")))
            });
            assert_eq!(header, Ok(Some(HeaderValue::from_static("x"))));
        }
        runs
    }

    #[test]
    fn a_header_is_made_once_for_what_its_document_holds() {
        let push = HeaderKey::new("/v2", Some(&facts(RequestAction::Push, Some("v1"))));
        let other_tag = HeaderKey::new("/v2", Some(&facts(RequestAction::Push, Some("v2"))));
        let pull = HeaderKey::new("/v2", Some(&facts(RequestAction::Pull, Some("v1"))));
        let other_route = HeaderKey::new("/v2/team", Some(&facts(RequestAction::Push, Some("v1"))));
        let unread = HeaderKey::new("/v2", None);
        let of = |keys: &[&HeaderKey]| runs(&keys.iter().map(|key| (alice(&[]), (*key).clone())).collect::<Vec<_>>());
        assert_eq!(of(&[&push, &push, &push]), 1);
        assert_eq!(of(&[&push, &other_tag, &pull, &other_route, &unread, &push]), 5);
        assert_eq!(of(&[&unread, &unread]), 1);
    }

    #[test]
    fn other_groups_get_another_header() {
        let key = HeaderKey::new("/v2", None);
        let callers = [alice(&[]), alice(&["ops"]), alice(&[])];
        assert_eq!(runs(&callers.map(|caller| (caller, key.clone()))), 3);
    }

    #[test]
    fn what_failed_is_tried_again() {
        let session = Session(Mutex::new(Known::of(&alice(&[]))));
        let key = HeaderKey::new("/v2", None);
        assert_eq!(session.header(&alice(&[]), key.clone(), || Err(())), Err(()));
        assert_eq!(session.header(&alice(&[]), key, || Ok::<_, ()>(None)), Ok(None));
    }
}
