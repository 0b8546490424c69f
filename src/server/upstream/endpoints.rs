//! The addresses of an upstream, and which of them gets a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::balance::{self, Tried};
use super::endpoint::Endpoint;
use super::settings::Address;

/// The addresses.
#[derive(Debug)]
pub(super) struct Endpoints {
    list: Box<[Arc<Endpoint>]>,
    turn: AtomicUsize,
}

impl Endpoints {
    pub(super) fn new(list: impl Iterator<Item = Arc<Endpoint>>) -> Self {
        Self { list: list.take(balance::MOST).collect(), turn: AtomicUsize::new(0) }
    }

    /// Whether there is a choice.
    pub(super) fn are_several(&self) -> bool {
        self.list.len() > 1
    }

    /// The one at this address.
    pub(super) fn at(&self, address: &Address) -> Option<Arc<Endpoint>> {
        self.list.iter().find(|endpoint| endpoint.address() == address).map(Arc::clone)
    }

    /// All of them, in the order of the configuration.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.list.iter()
    }

    /// The next to send a request to that was sent to those that were tried; it is one of them then. None when there is no other.
    pub(super) fn next(&self, tried: &mut Tried) -> Option<&Arc<Endpoint>> {
        let index = match &*self.list {
            // Where there is no choice nothing is looked at.
            [_] if tried.count() == 0 => 0,
            [] | [_] => return None,
            list => {
                // Only what comes takes a turn: with those of repeated requests every request could meet the same address first.
                let turn = match tried.count() {
                    0 => self.turn.fetch_add(1, Ordering::Relaxed),
                    _ => self.turn.load(Ordering::Relaxed),
                };
                let now = Instant::now();
                balance::choose(list.len(), turn, *tried, |index| list[index].candidate(now))?
            }
        };
        tried.add(index);
        self.list.get(index)
    }
}
