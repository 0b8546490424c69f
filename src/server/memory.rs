//! What a connection remembers between its requests, which are mostly alike: nothing in it decides anything.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::peer::Description;
use super::session::Session;
use super::state::State;
use crate::token::Latest;

/// The memory of one connection.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The token that was accepted last.
    pub(crate) latest: Latest<Session>,
    /// The state of the last request.
    state: Mutex<Option<Arc<Current>>>,
    /// How the last request was described to the upstream.
    description: Mutex<Option<Arc<Description>>>,
}

/// The running state, by a handle of the connection's own.
#[derive(Debug)]
pub(crate) struct Current(Arc<State>);

impl Deref for Current {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Memory {
    /// The state that runs now.
    pub(crate) fn state(&self, running: &ArcSwap<State>) -> Arc<Current> {
        let now = running.load();
        let mut last = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref().filter(|last| Arc::ptr_eq(&last.0, &now)) {
            Some(last) => Arc::clone(last),
            None => Arc::clone(last.insert(Arc::new(Current(Guard::into_inner(now))))),
        }
    }

    /// Whether the last request was for this host, and had a valid one: where it had not, none is remembered of it.
    pub(crate) fn knows_host(&self, host: &str) -> bool {
        let last = self.description.lock().unwrap_or_else(PoisonError::into_inner);
        !host.is_empty() && last.as_ref().is_some_and(|last| last.host() == host)
    }

    /// The last description if it is still right, else the one that `make` makes now.
    pub(crate) fn description(
        &self,
        is_right: impl FnOnce(&Description) -> bool,
        make: impl FnOnce() -> Description,
    ) -> Arc<Description> {
        let mut last = self.description.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref().filter(|last| is_right(last)) {
            Some(last) => Arc::clone(last),
            None => Arc::clone(last.insert(Arc::new(make()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::Memory;
    use crate::server::peer::{Peer, TrustedProxies};
    use crate::server::stream::PeerAddr;

    #[test]
    fn a_host_is_known_once_it_was_valid_and_none_never_is() {
        let memory = Memory::default();
        let came = |host| {
            let peer = PeerAddr::Ip("192.0.2.1:1".parse().unwrap());
            drop(Peer::new(peer, host, &HeaderMap::new(), &TrustedProxies::default(), |_| "http", &memory));
        };
        assert!(!memory.knows_host("gw"));
        came("gw");
        assert!(memory.knows_host("gw") && !memory.knows_host("other"));
        // What had no valid host has none at all; over HTTP/2 the connection goes on after it.
        came("");
        assert!(!memory.knows_host("") && !memory.knows_host("gw"));
    }
}
