//! What is counted for each upstream, each of its addresses and each member of the authn chain: things that the configuration names.
//!
//! Whoever serves for a name holds a handle, and all handles of one name count together, so that a reload goes on where the
//! configuration before it was. A name that nobody holds any more is told no more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::cells::{Counters, Level, Times};
use super::labels::{Answer, Link, Outcome, Retry};

/// Things by their names.
#[derive(Debug)]
pub(super) struct Names<T>(Mutex<BTreeMap<Arc<str>, Weak<T>>>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Names<T> {
    /// The one of this name; a new one if nobody holds it.
    pub(super) fn of(&self, name: &str) -> Arc<T> {
        let mut names = self.lock();
        if let Some(held) = names.get(name).and_then(Weak::upgrade) {
            return held;
        }
        names.retain(|_, held| held.strong_count() > 0);
        let new = Arc::new(T::default());
        names.insert(name.into(), Arc::downgrade(&new));
        new
    }

    /// All that somebody holds, in the order of their names.
    pub(super) fn held(&self) -> Vec<(Arc<str>, Arc<T>)> {
        self.lock().iter().filter_map(|(name, held)| Some((Arc::clone(name), held.upgrade()?))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Weak<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The numbers of one upstream.
#[derive(Clone, Debug, Default)]
pub struct UpstreamMetrics(pub(super) Arc<OfUpstream>);

/// Handles are the same where they count together.
impl PartialEq for UpstreamMetrics {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Debug, Default)]
pub(super) struct OfUpstream {
    pub(super) requests: Counters<(Outcome,)>,
    pub(super) response_time: Times<()>,
    pub(super) in_flight: Level,
    pub(super) queue: Level,
    pub(super) queue_wait: Times<()>,
    pub(super) links: Counters<(Link,)>,
    pub(super) retries: Counters<(Retry,)>,
    pub(super) retries_refused: Counters<()>,
    pub(super) addresses: Names<OfAddress>,
}

impl UpstreamMetrics {
    /// A request was answered, with this status, so long after it was begun to be sent.
    pub fn answered(&self, status: u16, time: Duration) {
        self.0.requests.count((Outcome::of_status(status),));
        self.0.response_time.took((), time);
    }

    /// A request got no usable answer.
    pub fn failed(&self, why: Outcome) {
        self.0.requests.count((why,));
    }

    /// A request is with the upstream until the result is dropped.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        self.0.in_flight.rise();
        InFlight(Arc::clone(&self.0))
    }

    /// A request waits for its turn until the result is dropped.
    #[must_use]
    pub fn waits(&self) -> Waiting {
        self.0.queue.rise();
        Waiting { of: Arc::clone(&self.0), since: Instant::now() }
    }

    /// A request goes over this kind of connection.
    pub fn connected(&self, link: Link) {
        self.0.links.count((link,));
    }

    /// A request is sent once more.
    pub fn retried(&self, why: Retry) {
        self.0.retries.count((why,));
    }

    /// A request would have been sent once more, but the budget for that is spent.
    pub fn retry_refused(&self) {
        self.0.retries_refused.count(());
    }

    /// One of its addresses, as the configuration has it.
    pub fn address(&self, address: &str) -> AddressMetrics {
        AddressMetrics(self.0.addresses.of(address))
    }
}

/// A request that an upstream has; dropped when it has it no more.
#[derive(Debug)]
pub struct InFlight(Arc<OfUpstream>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fall();
    }
}

/// A request that waits for its turn; dropped when it waits no more.
#[derive(Debug)]
pub struct Waiting {
    of: Arc<OfUpstream>,
    since: Instant,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.of.queue.fall();
        self.of.queue_wait.took((), self.since.elapsed());
    }
}

/// The numbers of one address of an upstream.
#[derive(Clone, Debug, Default)]
pub struct AddressMetrics(Arc<OfAddress>);

#[derive(Debug, Default)]
pub(super) struct OfAddress {
    pub(super) healthy: AtomicBool,
    pub(super) ejections: Counters<()>,
}

impl AddressMetrics {
    /// Says whether it answers. Until the first time it counts as one that does not.
    pub fn set_healthy(&self, healthy: bool) {
        self.0.healthy.store(healthy, Relaxed);
    }

    /// It gets no requests for a while, because of how it answered those before.
    pub fn ejected(&self) {
        self.0.ejections.count(());
    }
}

/// The numbers of one member of the authn chain.
#[derive(Clone, Debug, Default)]
pub struct MemberMetrics(pub(super) Arc<OfMember>);

#[derive(Debug, Default)]
pub(super) struct OfMember {
    pub(super) answers: Counters<(Answer,)>,
    pub(super) time: Times<()>,
}

impl MemberMetrics {
    /// It was asked about a password or a key, and said this after so long.
    pub fn answered(&self, answer: Answer, time: Duration) {
        self.0.answers.count((answer,));
        self.0.time.took((), time);
    }
}
