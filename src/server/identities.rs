//! Identity headers that were made before.
//!
//! A filter takes longer than the rest of a request, and what it makes depends on nothing but its document: so it runs once for each of
//! those, whatever tokens its subject comes with. Headers are forgotten with the state that a reload replaces.

use std::sync::Arc;

use http::{HeaderValue, Method};

use crate::document::{Kind, RequestAction, RequestFacts};
use crate::subject::{Caller, UserName};

/// Most headers that are kept. One takes about a kilobyte.
const MOST: usize = 4096;

/// The headers.
pub struct Identities(quick_cache::sync::Cache<HeaderKey, Arc<Made>>);

/// What was made, and for whom: who has the same name and other groups, say, gets another.
struct Made {
    caller: Caller,
    header: Option<HeaderValue>,
}

/// What an identity header depends on, beside the filters and the rest of what is known of its subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HeaderKey {
    subject: Option<UserName>,
    /// Which route's filter it is.
    route: String,
    service: String,
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
    /// For a caller and the filter of a route; `facts` are those of the request if the filter reads them.
    pub(crate) fn new(caller: &Caller, route: &str, service: &str, facts: Option<&RequestFacts<'_>>) -> Self {
        let request = facts.map(|facts| RequestKey {
            kind: facts.kind,
            action: facts.action,
            method: facts.method.cloned(),
            repository: facts.repository.map(str::to_owned),
            reference: facts.reference.map(str::to_owned),
            path: facts.path.map(str::to_owned),
        });
        Self { subject: caller.name().cloned(), route: route.to_owned(), service: service.to_owned(), request }
    }
}

impl Identities {
    /// None is known yet.
    pub fn new() -> Self {
        Self(quick_cache::sync::Cache::new(MOST))
    }

    /// The header that was made for the same before, or the one that `make` makes now.
    pub(crate) fn header<E>(
        &self,
        caller: &Caller,
        key: HeaderKey,
        make: impl FnOnce() -> Result<Option<HeaderValue>, E>,
    ) -> Result<Option<HeaderValue>, E> {
        if let Some(made) = self.0.get(&key)
            && made.caller.is_same(caller)
        {
            return Ok(made.header.clone());
        }
        let header = make()?;
        self.0.insert(key, Arc::new(Made { caller: caller.clone(), header: header.clone() }));
        Ok(header)
    }
}

impl Default for Identities {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identities").field("len", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderValue, Method};

    use super::{HeaderKey, Identities};
    use crate::document::{Kind, RequestAction, RequestFacts};
    use crate::subject::{Caller, GroupName, Subject, UserName};

    fn caller(name: &str, groups: &[&str]) -> Caller {
        let groups = groups.iter().map(|name| GroupName::parse(name).unwrap()).collect();
        Caller::Known(Arc::new(Subject::new(UserName::parse(name).unwrap(), groups, "users".into())))
    }

    fn alice() -> Caller {
        caller("alice", &[])
    }

    fn facts(action: RequestAction, reference: Option<&str>) -> RequestFacts<'_> {
        let (repository, method) = (Some("team/app"), Some(&Method::PUT));
        RequestFacts { kind: Kind::Repository, repository, reference, path: None, action, method }
    }

    /// How often the filter runs for these.
    fn runs(requests: &[(Caller, HeaderKey)]) -> usize {
        let identities = Identities::new();
        let mut runs = 0;
        for (caller, key) in requests {
            let header = identities.header(caller, key.clone(), || {
                runs += 1;
                Ok::<_, ()>(Some(HeaderValue::from_static("x")))
            });
            assert_eq!(header, Ok(Some(HeaderValue::from_static("x"))));
        }
        runs
    }

    #[test]
    fn a_header_is_made_once_for_what_its_document_holds() {
        let of = |route, service, action, reference| {
            let facts = facts(action, Some(reference));
            HeaderKey::new(&alice(), route, service, Some(&facts))
        };
        let push = of("/v2", "gw", RequestAction::Push, "v1");
        let keys = [
            push.clone(),
            of("/v2", "gw", RequestAction::Push, "v2"),
            of("/v2", "gw", RequestAction::Pull, "v1"),
            of("/v2/team", "gw", RequestAction::Push, "v1"),
            of("/v2", "other", RequestAction::Push, "v1"),
            HeaderKey::new(&alice(), "/v2", "gw", None),
            HeaderKey::new(&Caller::Anonymous, "/v2", "gw", None),
            push.clone(),
        ];
        assert_eq!(runs(&keys.map(|key| (alice(), key))), 7);
        assert_eq!(runs(&[(alice(), push.clone()), (alice(), push.clone()), (alice(), push)]), 1);
    }

    #[test]
    fn other_groups_get_another_header() {
        let callers = [alice(), caller("alice", &["ops"]), alice(), alice()];
        assert_eq!(runs(&callers.map(|caller| (caller.clone(), HeaderKey::new(&caller, "/v2", "gw", None)))), 3);
    }

    #[test]
    fn what_failed_is_tried_again() {
        let identities = Identities::new();
        let key = HeaderKey::new(&alice(), "/v2", "gw", None);
        assert_eq!(identities.header(&alice(), key.clone(), || Err(())), Err(()));
        assert_eq!(identities.header(&alice(), key, || Ok::<_, ()>(None)), Ok(None));
    }
}
