//! What a connection remembers between its requests, which are mostly alike: nothing in it decides anything.

use std::sync::{Arc, Mutex, PoisonError};

use super::peer::Description;
use super::session::Session;
use crate::token::Latest;

/// The memory of one connection.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The token that was accepted last.
    pub(crate) latest: Latest<Session>,
    /// How the last request was described to the upstream.
    description: Mutex<Option<Arc<Description>>>,
}

impl Memory {
    /// Whether the last request was for this host.
    pub(crate) fn knows_host(&self, host: &str) -> bool {
        let last = self.description.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|last| last.host() == host)
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
