//! Telling of what happens too often to be told each time.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long is kept silent after something was told.
const SILENCE: Duration = Duration::from_secs(10);

/// Of one kind of event: when it was told last, and how often it has happened since.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Silence>);

#[derive(Debug, Default)]
struct Silence {
    told: Option<Instant>,
    missed: u64,
}

impl Seldom {
    /// It has happened: how often since it was told last, this time included, if it is time to tell it again.
    pub(crate) fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        let mut silence = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silence.missed += 1;
        if silence.told.is_some_and(|told| now.duration_since(told) < SILENCE) {
            return None;
        }
        silence.told = Some(now);
        Some(std::mem::take(&mut silence.missed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Seldom;

    #[test]
    fn what_was_not_told_is_counted() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let at = |seconds| seldom.due_at(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(9)], [Some(1), None, None]);
        assert_eq!([at(10), at(11), at(100)], [Some(3), None, Some(2)]);
    }
}
