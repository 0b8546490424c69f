//! Single flight: of several identical pieces of work that are asked for at once, one is done and its result shared.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// The work that is under way.
pub(super) struct Flights<K: Hash + Eq, V> {
    open: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

impl<K: Hash + Eq + Copy, V: Clone> Flights<K, V> {
    pub(super) fn new() -> Self {
        Self { open: Mutex::default() }
    }

    /// Does the work, or waits for whoever does it already. If that one is cancelled, one of those who wait takes over.
    pub(super) async fn share(&self, key: K, work: impl Future<Output = V>) -> V {
        let seat = Seat { flights: self, key, cell: Arc::clone(self.lock().entry(key).or_default()) };
        seat.cell.get_or_init(|| work).await.clone()
    }

    /// How many different pieces of work are under way.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<OnceCell<V>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who does or awaits the work. Leaving closes the flight once it has a result or nobody is left on it.
struct Seat<'a, K: Hash + Eq + Copy, V: Clone> {
    flights: &'a Flights<K, V>,
    key: K,
    cell: Arc<OnceCell<V>>,
}

impl<K: Hash + Eq + Copy, V: Clone> Drop for Seat<'_, K, V> {
    fn drop(&mut self) {
        let mut open = self.flights.lock();
        let over = |cell: &Arc<OnceCell<V>>| {
            // Two hold a flight without passengers: the map and this seat.
            Arc::ptr_eq(cell, &self.cell) && (cell.initialized() || Arc::strong_count(cell) == 2)
        };
        if open.get(&self.key).is_some_and(over) {
            open.remove(&self.key);
        }
    }
}
