//! The time, as a value that tests can set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the current time comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until a test moves it.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at `seconds` until [`Clock::set`] moves it. Clones share the hand.
    pub fn manual(seconds: u64) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(seconds)))
    }

    /// Seconds since the Unix epoch. A system clock set before 1970 reads as 0.
    pub fn now(&self) -> u64 {
        match self {
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            Self::Manual(seconds) => seconds.load(Ordering::Relaxed),
        }
    }

    /// Moves a manual clock; the system clock is not ours to move.
    pub fn set(&self, seconds: u64) {
        if let Self::Manual(hand) = self {
            hand.store(seconds, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn clones_of_a_manual_clock_share_the_hand() {
        let clock = Clock::manual(10);
        let other = clock.clone();
        clock.set(11);
        assert_eq!(other.now(), 11);
    }
}
