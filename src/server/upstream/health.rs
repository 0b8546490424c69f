//! Whether one address of an upstream should get requests: what probes and requests say about it, over time.
//!
//! Plain bookkeeping: the time is told by whoever asks. What it means for the choice between addresses is decided in `balance`.

use std::time::{Duration, Instant};

use super::settings::HealthSettings;

/// The longest time for which requests alone can take an address out.
const LONGEST: Duration = Duration::from_secs(60);

/// What is known of one address.
#[derive(Debug, Default)]
pub(super) struct Health {
    probes: Probes,
    /// Probes in a row that contradict `probes`.
    contradicted: u32,
    /// Requests in a row that failed.
    failed: u32,
    /// How often in a row it was taken out for failed requests.
    ejections: u32,
    /// Until when it is out for failed requests.
    out_until: Option<Instant>,
}

/// What probes say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Probes {
    /// Nothing yet: requests are not kept waiting for the first one.
    #[default]
    Unknown,
    Answered,
    Unanswered,
}

/// What an observation has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// It gets requests again.
    In,
    /// It gets none until a probe is answered.
    Down,
    /// It gets none for this long.
    Ejected(Duration),
}

impl Health {
    /// Notes what became of a probe. The first one decides alone, later ones only as many in a row as the settings say.
    pub(super) fn probed(&mut self, answered: bool, settings: &HealthSettings) -> Change {
        let now = if answered { Probes::Answered } else { Probes::Unanswered };
        if self.probes == now {
            self.contradicted = 0;
            return Change::None;
        }
        self.contradicted += 1;
        let needed = if answered { settings.healthy_after } else { settings.unhealthy_after };
        if self.probes != Probes::Unknown && self.contradicted < needed {
            return Change::None;
        }
        let before = std::mem::replace(&mut self.probes, now);
        self.contradicted = 0;
        match (before, answered) {
            (_, false) => Change::Down,
            (Probes::Unknown, true) => Change::None,
            (_, true) => {
                self.forgive();
                Change::In
            }
        }
    }

    /// Notes that a request was answered. That says more than any timer: whoever was out for failed requests is in again.
    pub(super) fn answered(&mut self) -> Change {
        let was_out = self.out_until.is_some();
        self.forgive();
        if was_out && self.probes != Probes::Unanswered { Change::In } else { Change::None }
    }

    /// Notes that a request failed.
    pub(super) fn failed(&mut self, now: Instant, settings: &HealthSettings) -> Change {
        self.failed = self.failed.saturating_add(1);
        // Once it was out, one more failure is enough until something has been answered.
        let needed = if self.ejections > 0 { 1 } else { settings.eject_after };
        let is_out = self.out_until.is_some_and(|until| now < until);
        if settings.eject_after == 0 || is_out || self.failed < needed {
            return Change::None;
        }
        let longer = 1_u32.checked_shl(self.ejections).unwrap_or(u32::MAX);
        let time = settings.eject_time.saturating_mul(longer).min(LONGEST);
        self.ejections = (self.ejections + 1).min(16);
        self.failed = 0;
        self.out_until = Some(now + time);
        Change::Ejected(time)
    }

    /// Whether it should get requests.
    pub(super) fn is_in(&self, now: Instant) -> bool {
        self.probes != Probes::Unanswered && self.out_until.is_none_or(|until| until <= now)
    }

    /// Whether probes do not speak against it.
    pub(super) fn is_up(&self) -> bool {
        self.probes != Probes::Unanswered
    }

    /// Whether nothing at all speaks against it, so that nobody needs to look again.
    pub(super) fn is_spotless(&self) -> bool {
        self.probes != Probes::Unanswered && self.failed == 0 && self.ejections == 0
    }

    fn forgive(&mut self) {
        self.failed = 0;
        self.ejections = 0;
        self.out_until = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Change, Health, LONGEST};
    use crate::server::upstream::settings::HealthSettings;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> HealthSettings {
        HealthSettings {
            path: "/v2/".into(),
            interval: 5 * SECOND,
            timeout: 5 * SECOND,
            unhealthy_after: 2,
            healthy_after: 3,
            eject_after: 3,
            eject_time: SECOND,
        }
    }

    #[test]
    fn the_first_probe_decides_alone_and_later_ones_in_a_row() {
        let (now, settings) = (Instant::now(), settings());
        let mut health = Health::default();
        assert!(health.is_in(now), "nobody waits for the first probe");
        assert_eq!(health.probed(false, &settings), Change::Down);
        assert!(!health.is_in(now) && !health.is_spotless());
        let seen: Vec<_> = [true, true, false, true, true, true].map(|up| health.probed(up, &settings)).into();
        assert_eq!(seen[..5], [Change::None; 5], "three in a row are asked for");
        assert_eq!(seen[5], Change::In);
        let seen = [false, true, false, false].map(|up| health.probed(up, &settings));
        assert_eq!(seen, [Change::None, Change::None, Change::None, Change::Down]);
    }

    #[test]
    fn failures_in_a_row_take_it_out_for_longer_each_time() {
        let (mut now, settings) = (Instant::now(), settings());
        let mut health = Health::default();
        assert_eq!(health.failed(now, &settings), Change::None);
        assert_eq!(health.failed(now, &settings), Change::None);
        assert_eq!(health.answered(), Change::None);
        assert_eq!(health.failed(now, &settings), Change::None, "an answer between them breaks the row");
        assert_eq!(health.failed(now, &settings), Change::None);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(health.failed(now, &settings), Change::Ejected(seconds * SECOND));
            assert_eq!(health.failed(now, &settings), Change::None, "it is out already");
            assert!(!health.is_in(now + Duration::from_millis(u64::from(seconds) * 1000 - 1)));
            now += seconds * SECOND;
            assert!(health.is_in(now));
        }
        assert_eq!(health.failed(now, &settings), Change::Ejected(LONGEST));
        assert_eq!(health.answered(), Change::In);
        assert!(health.is_in(now) && health.is_spotless());
    }

    #[test]
    fn requests_do_not_overrule_probes() {
        let (now, settings) = (Instant::now(), settings());
        let mut health = Health::default();
        health.probed(false, &settings);
        assert_eq!(health.answered(), Change::None);
        assert!(!health.is_in(now));
        assert!((0..3).all(|_| health.failed(now, &settings) != Change::In));
        assert_eq!((0..3).map(|_| health.probed(true, &settings)).last(), Some(Change::In));
        assert!(health.is_in(now), "what failed before it came back is forgiven");
    }

    #[test]
    fn ejection_can_be_turned_off() {
        let (now, settings) = (Instant::now(), HealthSettings { eject_after: 0, ..settings() });
        let mut health = Health::default();
        assert!((0..100).all(|_| health.failed(now, &settings) == Change::None && health.is_in(now)));
    }

    proptest! {
        /// Whatever happens: nobody stays out for longer than a minute for what requests did, and what is spotless is in.
        #[test]
        fn nobody_is_out_for_ever(events in prop::collection::vec((any::<bool>(), 0_u64..100_000), 0..200)) {
            let (mut now, settings) = (Instant::now(), settings());
            let mut health = Health::default();
            for (answered, millis) in events {
                now += Duration::from_millis(millis);
                let change = if answered { health.answered() } else { health.failed(now, &settings) };
                if let Change::Ejected(time) = change {
                    prop_assert!(time <= LONGEST && !health.is_in(now));
                }
                prop_assert!(health.is_in(now + LONGEST));
                prop_assert!(!health.is_spotless() || health.is_in(now));
            }
        }
    }
}
