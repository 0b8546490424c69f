//! How many requests may be sent once more: a bucket that each request fills a little and each retry empties by one.
//!
//! While everything fails, retries would only add to the load; so there are at most a certain share of them. The bucket begins
//! full, and gains one retry a second whatever comes: who has few requests may repeat them all the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::settings::RetrySettings;

/// Retries that are gained in a second without any request.
const EACH_SECOND: f64 = 1.0;

/// The budget of one upstream.
#[derive(Debug)]
pub(super) struct Budget {
    settings: RetrySettings,
    /// Requests since the bucket was looked at.
    requests: AtomicU64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    retries: f64,
    since: Instant,
}

impl Budget {
    pub(super) fn new(settings: RetrySettings, now: Instant) -> Self {
        let bucket = Bucket { retries: f64::from(settings.burst), since: now };
        Self { settings, requests: AtomicU64::new(0), bucket: Mutex::new(bucket) }
    }

    /// Notes a request.
    pub(super) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one retry; false when there is none left.
    pub(super) fn take(&self, now: Instant) -> bool {
        let RetrySettings { budget, burst } = self.settings;
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = self.requests.swap(0, Ordering::Relaxed);
        let seconds = now.saturating_duration_since(bucket.since).as_secs_f64();
        bucket.since = bucket.since.max(now);
        #[expect(
            clippy::cast_precision_loss,
            reason = "what is lost beyond 2^53 requests is over the top of the bucket"
        )]
        let gained = requests as f64 * budget + seconds * EACH_SECOND;
        bucket.retries = (bucket.retries + gained).min(f64::from(burst));
        let is_there = bucket.retries >= 1.0;
        if is_there {
            bucket.retries -= 1.0;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::Budget;
    use crate::server::upstream::settings::RetrySettings;

    fn taken(budget: &Budget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.take(now)).count()
    }

    #[test]
    fn a_share_of_the_requests_is_repeated() {
        let now = Instant::now();
        let budget = Budget::new(RetrySettings { budget: 0.2, burst: 10 }, now);
        assert_eq!(taken(&budget, now), 10, "it begins full");
        (0..14).for_each(|_| budget.count());
        assert_eq!(taken(&budget, now), 2);
        budget.count();
        assert_eq!(taken(&budget, now), 1, "what is left over of one request is not lost");
        (0..1000).for_each(|_| budget.count());
        assert_eq!(taken(&budget, now), 10, "no more is saved than the bucket holds");
    }

    #[test]
    fn time_fills_it_slowly() {
        let now = Instant::now();
        let budget = Budget::new(RetrySettings { budget: 0.0, burst: 3 }, now);
        assert_eq!(taken(&budget, now), 3);
        assert_eq!(taken(&budget, now + Duration::from_millis(999)), 0);
        assert_eq!(taken(&budget, now + Duration::from_secs(1)), 1);
        assert_eq!(taken(&budget, now), 0, "a clock that another thread read earlier takes nothing back");
        assert_eq!(taken(&budget, now + Duration::from_secs(60)), 3);
    }

    proptest! {
        #[test]
        fn retries_never_exceed_the_share(events in prop::collection::vec((0_u32..20, 0_u32..20), 0..50)) {
            let now = Instant::now();
            let budget = Budget::new(RetrySettings { budget: 0.2, burst: 5 }, now);
            let (mut requests, mut retries) = (0, 0);
            for (came, wanted) in events {
                (0..came).for_each(|_| budget.count());
                requests += came;
                retries += (0..wanted).filter(|_| budget.take(now)).count();
                prop_assert!(f64::from(u32::try_from(retries).unwrap()) <= 5.0 + 0.2 * f64::from(requests) + 1e-6);
            }
        }
    }
}
