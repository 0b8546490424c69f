//! How many connections there are, in all and from each address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::server::stream::network_of;

/// Connections of different addresses seldom wait for one another.
const SHARDS: usize = 16;

/// The connections that are open, of all workers.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    all: AtomicUsize,
    /// By network: of IPv6 that is the one that a household has. Never a zero.
    from: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
}

/// The place that one connection takes, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    from: Option<IpAddr>,
}

impl Crowd {
    /// A place for a connection, if there are fewer than `most`.
    pub(super) fn enter(self: &Arc<Self>, most: Option<NonZeroUsize>) -> Option<Place> {
        let before = self.all.fetch_add(1, Relaxed);
        // Made at once, so that it is given back if it is one too many.
        let place = Place { crowd: Arc::clone(self), from: None };
        most.is_none_or(|most| before < most.get()).then_some(place)
    }

    fn shard(&self, network: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Neighbours differ in the last bits of what is counted.
        let last = match network {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[7],
        };
        let shard = &self.from[usize::from(last) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, network: IpAddr) {
        if let Entry::Occupied(mut entry) = self.shard(network).entry(network) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        (self.all.load(Relaxed), self.from.iter().map(|shard| shard.lock().unwrap().len()).sum())
    }
}

impl Place {
    /// Says from where the connection comes, and whether there are fewer than `most` from there.
    pub(super) fn is_from(&mut self, address: IpAddr, most: NonZeroUsize) -> bool {
        let network = network_of(address);
        let mut shard = self.crowd.shard(network);
        let count = shard.entry(network).or_default();
        if *count >= most.get() {
            return false;
        }
        *count += 1;
        drop(shard);
        if let Some(before) = self.from.replace(network) {
            self.crowd.leave(before);
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Relaxed);
        if let Some(network) = self.from {
            self.crowd.leave(network);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::num::NonZeroUsize;
    use std::sync::Arc;

    use super::{Crowd, Place};

    fn most(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    fn from(crowd: &Arc<Crowd>, address: &str) -> Option<Place> {
        let mut place = crowd.enter(None).unwrap();
        place.is_from(address.parse::<IpAddr>().unwrap(), most(2)).then_some(place)
    }

    #[test]
    fn places_are_taken_and_given_back() {
        let crowd = Arc::new(Crowd::default());
        let first = crowd.enter(Some(most(2))).unwrap();
        let second = crowd.enter(Some(most(2))).unwrap();
        assert!(crowd.enter(Some(most(2))).is_none());
        assert_eq!(crowd.counts(), (2, 0), "who was refused has no place");
        drop(first);
        let third = crowd.enter(Some(most(2))).unwrap();
        assert!(crowd.enter(Some(most(1))).is_none());
        assert!(crowd.enter(None).is_some());
        drop((second, third));
        assert_eq!(crowd.counts(), (0, 0));
    }

    #[test]
    fn each_address_has_its_own_places_and_ipv6_each_network() {
        let crowd = Arc::new(Crowd::default());
        let held = [from(&crowd, "192.0.2.1"), from(&crowd, "192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(from(&crowd, "192.0.2.1").is_none() && from(&crowd, "::ffff:192.0.2.1").is_none());
        assert!(from(&crowd, "192.0.2.2").is_some());
        let held6 = [from(&crowd, "2001:db8::1"), from(&crowd, "2001:db8::2:1")];
        assert!(held6.iter().all(Option::is_some));
        assert!(from(&crowd, "2001:db8::3").is_none() && from(&crowd, "2001:db8:0:1::1").is_some());
        assert_eq!(crowd.counts(), (4, 2));
        drop((held, held6));
        assert_eq!(crowd.counts(), (0, 0), "nothing is kept of who is gone");
    }
}
