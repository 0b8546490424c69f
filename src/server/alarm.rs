//! A timer for deadlines that are nearly always met: kept from one to the next, and moved on only when it goes off.
//!
//! To tell the runtime of a timer, and to take it back, costs more than most of what happens in between.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// The timer. It may wake a task for a deadline that was met long ago.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Whether this deadline has passed; if not, the task is woken when it does.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Alarm;

    #[tokio::test(start_paused = true)]
    async fn each_deadline_has_its_time_whatever_was_before() {
        let mut alarm = Alarm::default();
        for seconds in [10, 60, 5, 0, 30] {
            let began = Instant::now();
            let limit = Duration::from_secs(seconds);
            let waits = poll_fn(|context| alarm.poll(context, began + limit));
            // Most are not waited for.
            assert!(tokio::time::timeout(limit / 2, waits).await.is_err() || seconds == 0);
            let began = Instant::now();
            poll_fn(|context| alarm.poll(context, began + limit)).await;
            let took = began.elapsed();
            assert!(took >= limit && took <= limit + Duration::from_millis(2), "{took:?} for {limit:?}");
        }
    }
}
