//! How far a request body has come, seen from both sides of the gateway.
//!
//! The body is polled by the upstream connection's task; whoever waits for the response, writes the request line or decides
//! whether a connection can be used again looks here.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Where a request body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The upstream has not asked for more since the last piece.
    UpstreamIsBusy,
    /// The upstream wants more and the client has not sent it yet.
    ClientIsSlow,
    /// All of it was handed over.
    Done,
    /// The client broke it off.
    Broken,
}

/// The shortest time over which a client's rate is judged: whoever moves a few bytes now and then deserves that much patience, however
/// soon a standstill ends their request.
const SHORTEST_WINDOW: Duration = Duration::from_secs(30);

/// Counters shared by a request body and those who watch it.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    stage: AtomicU8,
    moved: AtomicU64,
    bytes: AtomicU64,
    /// Bytes a second that have to come while only the client is waited for; zero: none.
    rate: u64,
    /// Since when the client is waited for, and how long it was before, in milliseconds.
    slow_since: AtomicU64,
    waited: AtomicU64,
    /// Wakes who waits: from the end of the body on, another bound counts.
    done: Notify,
}

impl Progress {
    /// A body of which nothing has been read.
    pub(crate) fn new() -> Self {
        Self::demanding(0)
    }

    /// The same; it is too slow when its client brings less than so many bytes a second.
    pub(crate) fn demanding(rate: usize) -> Self {
        Self {
            started: Instant::now(),
            stage: AtomicU8::new(0),
            moved: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rate: rate as u64,
            slow_since: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            done: Notify::new(),
        }
    }

    /// Notes where the body stands, and that something moved just now.
    pub(crate) fn moved(&self, stage: Stage) {
        self.moved.store(self.now(), Ordering::Relaxed);
        self.enter(stage);
    }

    /// Notes where the body stands without anything having moved.
    pub(crate) fn enter(&self, stage: Stage) {
        let before = self.stage.swap(stage as u8, Ordering::AcqRel);
        if self.rate > 0 && before != stage as u8 {
            if stage == Stage::ClientIsSlow {
                self.slow_since.store(self.now(), Ordering::Relaxed);
            } else if before == Stage::ClientIsSlow as u8 {
                let waited = self.now().saturating_sub(self.slow_since.load(Ordering::Relaxed));
                self.waited.fetch_add(waited, Ordering::Relaxed);
            }
        }
        if stage == Stage::Done {
            self.done.notify_one();
        }
    }

    /// Counts bytes that came from the client.
    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of the body so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Where the body stands.
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::UpstreamIsBusy,
            1 => Stage::ClientIsSlow,
            2 => Stage::Done,
            _ => Stage::Broken,
        }
    }

    /// Whether all of the body was handed over.
    pub(crate) fn is_done(&self) -> bool {
        self.stage() == Stage::Done
    }

    /// Waits until nothing has moved for too long, or too little, and says who was to blame.
    ///
    /// While the body is under way `idle` bounds each standstill; after it, `response` bounds the wait for the answer.
    pub(crate) async fn stalled(&self, idle: Duration, response: Duration) -> Stage {
        tokio::select! {
            stage = self.stands_still(idle, response) => stage,
            () = self.crawls(idle) => Stage::ClientIsSlow,
        }
    }

    /// Waits until the client has been waited for as long as `window`, and has brought too little in that time. What the upstream
    /// takes for itself is not counted: a client that could send and may not is not slow.
    pub(crate) async fn crawls(&self, window: Duration) {
        if self.rate == 0 {
            return std::future::pending().await;
        }
        let window = window.max(SHORTEST_WINDOW);
        let least = self.rate.saturating_mul(u64::try_from(window.as_millis()).unwrap_or(u64::MAX)) / 1000;
        let (mut waited, mut bytes) = (self.waited(), self.bytes());
        loop {
            let left = window.saturating_sub(self.waited().saturating_sub(waited));
            if left.is_zero() {
                if self.bytes() - bytes < least {
                    return;
                }
                (waited, bytes) = (self.waited(), self.bytes());
                continue;
            }
            // Not over and over for the last milliseconds of a window, while nobody waits for the client.
            tokio::time::sleep(left.max(window / 60)).await;
        }
    }

    /// How long the client was waited for so far.
    fn waited(&self) -> Duration {
        let slow = self.stage() == Stage::ClientIsSlow;
        let now = if slow { self.now().saturating_sub(self.slow_since.load(Ordering::Relaxed)) } else { 0 };
        Duration::from_millis(self.waited.load(Ordering::Relaxed) + now)
    }

    /// When the answer to a body that is done has to be there.
    pub(crate) fn answer_due(&self, response: Duration) -> Instant {
        self.started + Duration::from_millis(self.moved.load(Ordering::Relaxed)) + response
    }

    async fn stands_still(&self, idle: Duration, response: Duration) -> Stage {
        loop {
            let stage = self.stage();
            let bound = if stage == Stage::Done { response } else { idle };
            let deadline = self.started + Duration::from_millis(self.moved.load(Ordering::Relaxed)) + bound;
            if deadline <= Instant::now() {
                return stage;
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => {}
                () = self.done.notified(), if stage != Stage::Done => {}
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Progress, Stage};

    const IDLE: Duration = Duration::from_secs(60);
    const RESPONSE: Duration = Duration::from_secs(300);

    #[tokio::test(start_paused = true)]
    async fn a_body_that_moves_is_never_stalled() {
        let progress = Progress::new();
        let moving = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(59)).await;
                progress.moved(Stage::UpstreamIsBusy);
            }
        };
        tokio::select! {
            _ = progress.stalled(IDLE, RESPONSE) => panic!("it moved every 59 s"),
            () = moving => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_side_that_stands_still_is_named() {
        let progress = Progress::new();
        progress.moved(Stage::ClientIsSlow);
        assert_eq!(progress.stalled(IDLE, RESPONSE).await, Stage::ClientIsSlow);
        let progress = Progress::new();
        progress.moved(Stage::UpstreamIsBusy);
        assert_eq!(progress.stalled(IDLE, RESPONSE).await, Stage::UpstreamIsBusy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_bound_for_the_answer_counts_from_the_end_of_the_body() {
        let progress = Progress::new();
        let start = tokio::time::Instant::now();
        let moving = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            progress.moved(Stage::Done);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            stage = progress.stalled(IDLE, Duration::from_secs(5)) => assert_eq!(stage, Stage::Done),
            () = moving => {}
        }
        assert_eq!(start.elapsed().as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_has_a_longer_bound_than_the_body() {
        let progress = Progress::new();
        let start = tokio::time::Instant::now();
        progress.moved(Stage::Done);
        assert_eq!(progress.stalled(IDLE, RESPONSE).await, Stage::Done);
        assert!(start.elapsed() >= RESPONSE);
    }

    /// A client that sends `bytes` every ten seconds, for which everybody else waits, until it is called too slow.
    async fn trickle(progress: &Progress, bytes: usize) {
        loop {
            progress.enter(Stage::ClientIsSlow);
            tokio::time::sleep(Duration::from_secs(10)).await;
            progress.count(bytes);
            progress.moved(Stage::UpstreamIsBusy);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_crawls_is_too_slow_though_it_never_stands_still() {
        let progress = Progress::demanding(64);
        let start = tokio::time::Instant::now();
        tokio::select! {
            stage = progress.stalled(IDLE, RESPONSE) => assert_eq!(stage, Stage::ClientIsSlow),
            () = trickle(&progress, 1) => {}
        }
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_bound_on_standstills_is_no_short_patience_with_slow_clients() {
        let progress = Progress::demanding(64);
        let start = tokio::time::Instant::now();
        progress.enter(Stage::ClientIsSlow);
        progress.crawls(Duration::from_secs(1)).await;
        assert_eq!(start.elapsed(), super::SHORTEST_WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_is_fast_enough() {
        let progress = Progress::demanding(64);
        tokio::select! {
            _ = progress.stalled(IDLE, RESPONSE) => panic!("100 bytes a second are enough"),
            () = trickle(&progress, 1000) => {}
            () = tokio::time::sleep(Duration::from_secs(24 * 3600)) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_the_upstream_takes_is_not_the_client_s() {
        let progress = Progress::demanding(64);
        let moving = async {
            for _ in 0..1000 {
                // The upstream takes a piece every 59 s; the client has the next one at once.
                progress.enter(Stage::ClientIsSlow);
                tokio::time::sleep(Duration::from_millis(10)).await;
                progress.count(1);
                progress.moved(Stage::UpstreamIsBusy);
                tokio::time::sleep(Duration::from_secs(59)).await;
            }
        };
        tokio::select! {
            _ = progress.stalled(IDLE, RESPONSE) => panic!("nobody waited for the client"),
            () = moving => {}
        }
    }
}
