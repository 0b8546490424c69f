//! Challenges that were made before.
//!
//! Every client begins without credentials, and whoever floods does not get any. What such a read of the registry is answered depends on
//! nothing but its method, its target and its host (and its address, where a rule reads that): so it is parsed, judged and written once.
//! Challenges are forgotten with the state that a reload replaces.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Response, request};
use quick_cache::Equivalent;

use super::challenge::Scheme;
use super::exchange::Exchange;
use super::response_body::ResponseBody;
use super::state::State;
use super::trail::Judged;
use crate::audit;
use crate::registry::Operation;

/// Most challenges that are kept. One takes about a kilobyte.
const MOST: usize = 1024;

/// The challenges.
pub struct Strangers(quick_cache::sync::Cache<Key, Arc<Challenged>>);

/// What a challenge depends on, beside the rules.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    method: Method,
    target: Box<str>,
    host: Box<str>,
    client: Option<IpAddr>,
}

/// The same, of a request.
#[derive(Clone, Copy, Debug, Hash)]
struct Asked<'a> {
    method: &'a Method,
    target: &'a str,
    host: &'a str,
    client: Option<IpAddr>,
}

impl<'a> Asked<'a> {
    /// None, where more counts than what is kept: where somebody may have said who they are, or a trace is told each step.
    fn of(state: &State, head: &'a request::Parts, exchange: &'a Exchange) -> Option<Self> {
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let says_who = head.headers.contains_key(AUTHORIZATION) || exchange.certificate.is_some();
        if !is_read || says_who || exchange.trace.is_some() {
            return None;
        }
        let target = head.uri.path_and_query()?.as_str();
        let client = exchange.peer.client.ip().filter(|_| state.rules_read_client);
        Some(Self { method: &head.method, target, host: exchange.peer.host(), client })
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        let Key { method, target, host, client } = key;
        self.target == &**target && self.host == &**host && self.method == method && self.client == *client
    }
}

/// A challenge that is being made, until it is kept.
#[derive(Debug)]
pub(crate) struct Stranger {
    key: Key,
    operation: Operation,
    /// What the rules made of it, where they were asked.
    pub(crate) refused: Option<Refused>,
}

/// Why rules did not allow what nobody in particular asked for.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The scopes that it needs, as the protocol writes them.
    pub(crate) requested: Option<String>,
    pub(crate) why: String,
}

impl Stranger {
    /// Of a request that is worth keeping, should it be challenged.
    pub(crate) fn new(
        state: &State,
        head: &request::Parts,
        operation: &Operation,
        exchange: &Exchange,
    ) -> Option<Box<Self>> {
        let Asked { method, target, host, client } = Asked::of(state, head, exchange)?;
        let key = Key { method: method.clone(), target: target.into(), host: host.into(), client };
        Some(Box::new(Self { key, operation: operation.clone(), refused: None }))
    }
}

/// A challenge as it was made.
#[derive(Debug)]
pub(crate) struct Challenged {
    /// What was asked for.
    pub(crate) operation: Operation,
    /// The canonical path.
    pub(crate) path: Box<str>,
    /// How the route challenges.
    pub(crate) scheme: Scheme,
    /// Whether the answer says that the registry keeps signatures.
    pub(crate) signatures: bool,
    /// What is told of it in the request line.
    pub(crate) error: String,
    refused: Option<Refused>,
    headers: HeaderMap,
    body: Bytes,
}

impl Strangers {
    /// None was made yet.
    pub fn new() -> Self {
        Self(quick_cache::sync::Cache::new(MOST))
    }

    /// The challenge that was made for the same before; it is told as if it was made now.
    pub(crate) fn answer(
        &self,
        state: &State,
        head: &request::Parts,
        exchange: &mut Exchange,
    ) -> Option<Response<ResponseBody>> {
        let challenged = self.0.get(&Asked::of(state, head, exchange)?)?;
        exchange.challenged_before(&challenged);
        if let Some(Refused { requested, why }) = &challenged.refused {
            exchange.audit_decision(&Judged {
                service: state.names.default_service(),
                requested: requested.as_deref(),
                token_id: None,
                result: audit::Result::Denied,
                why,
            });
        }
        let mut response = Response::new(ResponseBody::own(challenged.body.clone()));
        *response.status_mut() = http::StatusCode::UNAUTHORIZED;
        response.headers_mut().clone_from(&challenged.headers);
        Some(response)
    }

    /// Keeps a challenge.
    pub(crate) fn keep(&self, stranger: Stranger, exchange: &Exchange, response: &Response<ResponseBody>) {
        let (Some(error), ResponseBody::Own(Some(body))) = (&exchange.error, response.body()) else { return };
        let Stranger { key, operation, refused } = stranger;
        let challenged = Challenged {
            operation,
            path: exchange.path().into(),
            scheme: exchange.scheme,
            signatures: exchange.signatures,
            error: error.clone(),
            refused,
            headers: response.headers().clone(),
            body: body.clone(),
        };
        self.0.insert(key, Arc::new(challenged));
    }
}

impl Default for Strangers {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Strangers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Strangers").field("len", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, RandomState};

    use http::Method;
    use quick_cache::Equivalent as _;

    use super::{Asked, Key};

    #[test]
    fn what_is_asked_is_found_where_it_is_kept() {
        let key = |method: &Method, target: &str, host: &str, client: Option<&str>| Key {
            method: method.clone(),
            target: target.into(),
            host: host.into(),
            client: client.map(|client| client.parse().unwrap()),
        };
        let kept = key(&Method::GET, "/v2/a/tags/list?n=1", "gw:5000", Some("192.0.2.1"));
        let Key { method, target, host, client } = &kept;
        let asked = Asked { method, target, host, client: *client };
        let state = RandomState::new();
        assert_eq!(state.hash_one(&kept), state.hash_one(asked));
        assert!(asked.equivalent(&kept));
        for other in [
            key(&Method::HEAD, target, host, Some("192.0.2.1")),
            key(&Method::GET, "/v2/a/tags/list", host, Some("192.0.2.1")),
            key(&Method::GET, target, "gw", Some("192.0.2.1")),
            key(&Method::GET, target, host, Some("192.0.2.2")),
            key(&Method::GET, target, host, None),
        ] {
            assert!(!asked.equivalent(&other), "{other:?}");
        }
    }
}
