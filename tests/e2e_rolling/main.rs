//! Two replicas with the same keys behind nginx, restarted in turn under the pushes and pulls of real clients.
//!
//! `TIDEGATE_ROLLING` says for how many seconds each test goes on (10). It needs what `tests/run` installs, and root: clients have mount
//! namespaces of their own, and there is a dockerd.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod site;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clients::Tally;
use site::Site;
use support::pause;

/// How long a replica serves before the other one's turn comes.
const BETWEEN: Duration = Duration::from_secs(1);

/// One at a time: each wants the machine for itself.
static TURN: Mutex<()> = Mutex::new(());

fn duration() -> Duration {
    let seconds = std::env::var("TIDEGATE_ROLLING").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

/// Ends each replica in turn by `end` and starts it again, while clients push and pull, and gives back how often.
fn roll(site: &mut Site, once_more: bool, end: impl Fn(&mut Site, usize)) -> (usize, Tally) {
    let (over, clients) = (AtomicBool::new(false), clients::Clients::new(site));
    std::thread::scope(|scope| {
        let tally = scope.spawn(|| clients.run(&over, once_more));
        let ends = Ends(&over);
        let (begun, mut restarts) = (Instant::now(), 0);
        while begun.elapsed() < duration() && !tally.is_finished() {
            let replica = restarts % 2;
            end(site, replica);
            site.begin(replica);
            restarts += 1;
            pause(BETWEEN);
        }
        drop(ends);
        (restarts, tally.join().unwrap())
    })
}

#[test]
fn no_push_and_no_pull_notices_that_replicas_are_restarted() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut site = Site::start();
    let (restarts, tally) = roll(&mut site, false, |site, replica| {
        let status = site.stop(replica);
        assert_eq!(status.code(), Some(0), "everything was finished before the end");
    });
    tell(restarts, &tally);
    assert!(restarts >= 2 && tally.done() >= 4, "{restarts} restarts, {tally:?}");
    assert_eq!(tally.failed, 0);
    site.assert_sound(&tally.images);
}

#[test]
fn what_fails_when_replicas_are_killed_is_repeated_and_nothing_stored_is_broken() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut site = Site::start();
    let (restarts, tally) = roll(&mut site, true, Site::kill);
    tell(restarts, &tally);
    assert!(restarts >= 2 && tally.done() >= 4, "{restarts} restarts, {tally:?}");
    site.assert_sound(&tally.images);
}

#[expect(clippy::print_stderr, reason = "how much was done is what the long run is for")]
fn tell(restarts: usize, tally: &Tally) {
    let Tally { pushes, pulls, failed, .. } = tally;
    eprintln!("{restarts} restarts; {pushes} pushes and {pulls} pulls ended well; {failed} were repeated");
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
