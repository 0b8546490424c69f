//! How many requests an upstream gets at once, over all workers, and whose turn is next.
//!
//! Waiting is fair: callers take turns, and within one caller who came first goes first. Someone who waits for something else
//! (a slow body, a password) is not here yet, and whoever goes away leaves: a turn that comes too late for them passes on.

mod turns;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::subject::{Caller, UserName};
use turns::{Came, Turns};

/// The bound of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoundSettings {
    /// Requests at once.
    pub at_once: usize,
    /// How many may wait.
    pub queue: usize,
    /// The longest wait.
    pub timeout: Duration,
}

/// Whom a request belongs to, in the eyes of fairness.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallerKey {
    /// Somebody who said who they are.
    User(UserName),
    /// Somebody who did not: an address, of IPv6 the network that one household has.
    Address(IpAddr),
    /// Somebody of whom nothing is known but that they are on this machine.
    Local,
}

impl CallerKey {
    /// Of a caller at this address.
    pub(crate) fn new(caller: &Caller, client: Option<IpAddr>) -> Self {
        match (caller.name(), client) {
            (Some(name), _) => Self::User(name.clone()),
            (None, Some(IpAddr::V6(address))) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Self::Address(Ipv6Addr::from_bits(network).into())
            }
            (None, Some(address)) => Self::Address(address),
            (None, None) => Self::Local,
        }
    }
}

/// Why someone is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotIn {
    /// As many wait as may.
    Full,
    /// The wait was too long.
    TooLong,
}

/// The bound.
#[derive(Debug)]
pub(super) struct Bound {
    settings: BoundSettings,
    turns: Mutex<Turns<oneshot::Sender<Permit>>>,
}

impl Bound {
    pub(super) fn new(settings: BoundSettings) -> Arc<Self> {
        Arc::new(Self { settings, turns: Mutex::new(Turns::new()) })
    }

    pub(super) fn settings(&self) -> BoundSettings {
        self.settings
    }

    /// Waits to be let in.
    pub(super) async fn enter(self: &Arc<Self>, who: CallerKey) -> Result<Permit, NotIn> {
        let BoundSettings { at_once, queue, timeout } = self.settings;
        let mut called = None;
        let came = self.turns().come(&who, at_once, queue, || {
            let (wake, called_by) = oneshot::channel();
            called = Some(called_by);
            wake
        });
        let ticket = match came {
            Came::In => return Ok(Permit(Some(Arc::clone(self)))),
            Came::Full => return Err(NotIn::Full),
            // Who had to go hears of it when their sender is dropped, here.
            Came::Waits(ticket, _gone) => ticket,
        };
        let Some(called) = called else { return Err(NotIn::Full) };
        let _place = Place { bound: self, who, ticket };
        match tokio::time::timeout(timeout, called).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(NotIn::Full),
            Err(_) => Err(NotIn::TooLong),
        }
    }

    /// Somebody left: lets in who is next and still there.
    fn pass_on(mut self: Arc<Self>) {
        loop {
            let Some(next) = self.turns().leave() else { return };
            match next.send(Permit(Some(self))) {
                Ok(()) => return,
                Err(mut refused) => match refused.0.take() {
                    Some(bound) => self = bound,
                    None => return,
                },
            }
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns<oneshot::Sender<Permit>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be one of those at once. It passes on when it is dropped, wherever that is: in the hands of who holds it, or on its way
/// to somebody who has just gone.
#[derive(Debug)]
pub(crate) struct Permit(Option<Arc<Bound>>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(bound) = self.0.take() {
            bound.pass_on();
        }
    }
}

/// A place in a line, given up when dropped.
struct Place<'a> {
    bound: &'a Bound,
    who: CallerKey,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.bound.turns().give_up(&self.who, self.ticket);
    }
}
