//! One account as somebody from one address tries to get into it.

use std::time::Duration;

use super::Id;

/// How long the name and password that were wrong last stay known as such.
const WRONG_FOR: Duration = Duration::from_secs(10);

/// What happened to it so far, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Wrong secrets, less one for each longest delay that has passed since.
    failures: u32,
    /// When the newest of them was judged.
    failed: Duration,
    /// Up to when time has forgiven.
    forgiven: Duration,
    /// The secret that was wrong last: said again, it is no other try.
    wrong: Option<Id>,
    /// Secrets that are being judged, and by how many requests.
    judged: Vec<(Id, u32)>,
}

/// What is to be done about a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be judged.
    Judge,
    /// It is being judged already: one verdict does for all who said the same.
    Join,
    /// It has just been wrong.
    Wrong,
    /// Not before so much time has passed.
    Wait(Duration),
}

impl Account {
    /// Somebody comes with a secret. At most `free` failures are without a delay, which then doubles up to `longest`.
    pub(super) fn come(&mut self, secret: Id, free: u32, longest: Duration, now: Duration) -> Verdict {
        self.forgive(longest, now);
        if let Some((_, requests)) = self.judged.iter_mut().find(|(other, _)| *other == secret) {
            *requests += 1;
            return Verdict::Join;
        }
        let under_way = u32::try_from(self.judged.len()).unwrap_or(u32::MAX);
        let left = free.saturating_sub(self.failures);
        if left == 0 {
            let since = now.saturating_sub(self.failed);
            if self.wrong == Some(secret) && since < WRONG_FOR {
                return Verdict::Wrong;
            }
            let wait = self.delay(free, longest).saturating_sub(since);
            if !wait.is_zero() {
                return Verdict::Wait(wait);
            }
        }
        // Those under way may all turn out wrong.
        if under_way >= left.max(1) {
            return Verdict::Wait(Duration::from_secs(1));
        }
        self.judged.push((secret, 1));
        Verdict::Judge
    }

    /// A secret was judged, or nobody waits for that any more. Says whether it counts as a failure.
    pub(super) fn leave(&mut self, secret: Id, right: Option<bool>, now: Duration) -> bool {
        if let Some(place) = self.judged.iter().position(|(other, _)| *other == secret) {
            self.judged[place].1 -= 1;
            if self.judged[place].1 == 0 {
                self.judged.swap_remove(place);
            }
        }
        match right {
            None => false,
            Some(true) => {
                (self.failures, self.wrong) = (0, None);
                false
            }
            Some(false) => self.fail(secret, now),
        }
    }

    /// Notes a wrong secret, unless it was noted just now.
    pub(super) fn fail(&mut self, secret: Id, now: Duration) -> bool {
        if self.wrong == Some(secret) && now.saturating_sub(self.failed) < WRONG_FOR {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        (self.wrong, self.failed, self.forgiven) = (Some(secret), now, now);
        true
    }

    /// The delay after the failures so far: one second after the last free one, and twice as long after each further one.
    fn delay(&self, free: u32, longest: Duration) -> Duration {
        let beyond = self.failures.saturating_sub(free).min(30);
        Duration::from_secs(1 << beyond).min(longest)
    }

    fn forgive(&mut self, longest: Duration, now: Duration) {
        let passed = now.saturating_sub(self.forgiven).as_nanos() / longest.as_nanos().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        if passed > 0 {
            self.failures = self.failures.saturating_sub(passed);
            self.forgiven += longest.saturating_mul(passed);
        }
    }
}
