//! So many at once, and then so many in a time (the generic cell rate algorithm): one number for each who is counted.

use std::time::Duration;

/// What one address may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// How many at once.
    burst: u32,
    /// How long each takes to come back.
    each: Duration,
}

impl Quota {
    /// So many at once, all of which come back within `time`.
    pub(super) fn new(burst: u32, time: Duration) -> Self {
        Self { burst, each: (time / burst.max(1)).max(Duration::from_nanos(1)) }
    }

    fn whole(self) -> Duration {
        self.each.saturating_mul(self.burst)
    }
}

/// What of a quota is used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    /// When all of it will be free again.
    free_at: Duration,
}

impl Rate {
    /// How long to wait until there is one; zero if there is one now.
    pub(super) fn wait(self, quota: Quota, now: Duration) -> Duration {
        (self.free_at + quota.each).saturating_sub(now + quota.whole())
    }

    /// Takes one, whether there is one or not; more than the quota is never owed.
    pub(super) fn take(&mut self, quota: Quota, now: Duration) {
        self.free_at = (self.free_at.max(now) + quota.each).min(now + quota.whole());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Quota, Rate};

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let quota = Quota::new(3, Duration::from_secs(30));
        let (mut rate, at) = (Rate::default(), Duration::from_secs);
        for _ in 0..3 {
            assert_eq!(rate.wait(quota, at(100)), Duration::ZERO);
            rate.take(quota, at(100));
        }
        assert_eq!(rate.wait(quota, at(100)), at(10));
        assert_eq!(rate.wait(quota, at(104)), at(6));
        assert_eq!(rate.wait(quota, at(110)), Duration::ZERO);
        rate.take(quota, at(110));
        assert_eq!(rate.wait(quota, at(110)), at(10));
        // Whoever goes on all the same owes no more than the whole.
        (0..100).for_each(|_| rate.take(quota, at(110)));
        assert_eq!(rate.wait(quota, at(110)), at(10));
        assert_eq!(rate.wait(quota, at(1000)), Duration::ZERO);
    }
}
