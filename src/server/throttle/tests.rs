//! Who waits, and who does not, by a clock that the tests turn.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::{Attempt, From, Kind, Refusal, Throttle, ThrottleSettings};
use crate::secret::Secret;
use crate::subject::Origin;

const SETTINGS: ThrottleSettings = ThrottleSettings {
    token_rate: NonZeroU32::new(2),
    failures: NonZeroU32::new(3),
    longest_delay: Duration::from_secs(300),
    failures_per_address: NonZeroU32::new(20),
    at_once: 4,
};

/// A throttle with its clock.
struct Door {
    throttle: Arc<Throttle>,
    settings: ThrottleSettings,
    now: Duration,
}

impl Door {
    fn new() -> Self {
        Self { throttle: Arc::new(Throttle::new().unwrap()), settings: SETTINGS, now: Duration::from_secs(1000) }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn begin(&self, at: &str, user: &str, password: &str) -> Result<Attempt, Refusal> {
        self.throttle.attempt_at(&self.settings, from(at), (Kind::User, user), &Secret::new(password), self.now)
    }

    /// Tries a password that is right when it is `right`.
    fn attempt(&self, at: &str, user: &str, password: &str) -> Result<bool, Refusal> {
        let mut attempt = self.begin(at, user, password)?;
        let right = password == "right";
        attempt.end(Some(right), self.now);
        Ok(right)
    }

    /// Tries wrong passwords, all different, until one has to wait, and says how many were judged and how long the wait is.
    fn fail(&self, at: &str, user: &str) -> (u32, Refusal) {
        for count in 0..1000 {
            if let Err(refusal) = self.attempt(at, user, &format!("{:?}-{count}", self.now)) {
                return (count, refusal);
            }
        }
        panic!("nobody ever has to wait");
    }
}

fn from(at: &str) -> From {
    let origin = at.parse().map_or(Origin::Unix, Origin::Ip);
    From { origin, address: origin.ip() }
}

fn account(seconds: u64) -> Refusal {
    Refusal::Account(Duration::from_secs(seconds))
}

const HERE: &str = "192.0.2.1";

#[test]
fn delays_double_up_to_the_longest() {
    let mut door = Door::new();
    assert_eq!(door.fail(HERE, "alice"), (3, account(1)));
    for delay in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        let Err(Refusal::Account(wait)) = door.attempt(HERE, "alice", "new") else { panic!("no delay before {delay}") };
        door.now += wait.saturating_sub(Duration::from_millis(1));
        assert!(door.attempt(HERE, "alice", "new").is_err(), "a millisecond too early");
        door.now += Duration::from_millis(1);
        assert_eq!(door.attempt(HERE, "alice", &format!("{:?}", door.now)), Ok(false));
        // From the longest delay on, what has passed since is forgiven.
        let expected = if delay < 300 { account(delay) } else { account(300) };
        assert_eq!(door.attempt(HERE, "alice", "new"), Err(expected));
    }
}

#[test]
fn nobody_locks_anybody_else_out() {
    let door = Door::new();
    door.fail(HERE, "alice");
    assert_eq!(door.attempt("192.0.2.2", "alice", "right"), Ok(true), "from elsewhere");
    assert_eq!(door.attempt(HERE, "bob", "right"), Ok(true), "another account");
    assert_eq!(door.attempt("a unix peer", "alice", "right"), Ok(true));
    let client = door.throttle.attempt_at(&SETTINGS, from(HERE), (Kind::Client, "alice"), &Secret::new("x"), door.now);
    assert!(client.is_ok(), "a client of that name is another account");
    door.fail("2001:db8::1", "alice");
    assert!(door.attempt("2001:db8::2", "alice", "x").is_err(), "one /64 is one address");
    assert!(door.attempt("2001:db8:0:1::1", "alice", "x").is_ok());
    assert!(door.attempt("::ffff:192.0.2.1", "alice", "x").is_err(), "IPv4 in IPv6's clothes");
}

#[test]
fn a_password_that_is_known_to_be_right_never_waits() {
    let mut door = Door::new();
    assert_eq!(door.attempt("192.0.2.9", "alice", "right"), Ok(true));
    door.fail(HERE, "alice");
    door.fail(HERE, "bob");
    for user in 0..100 {
        let _ = door.attempt(HERE, &format!("user-{user}"), "x");
    }
    for _ in 0..1000 {
        assert_eq!(door.attempt(HERE, "alice", "right"), Ok(true));
    }
    assert!(door.begin(HERE, "alice", "other").is_err(), "which helps no other password");
    door.wait(24 * 3600);
    assert!(!door.throttle.is_known(&door.throttle.pair((Kind::User, "alice"), &Secret::new("right")), door.now));
}

#[test]
fn a_password_that_was_right_and_is_not_any_more_is_wrong() {
    let door = Door::new();
    assert_eq!(door.attempt(HERE, "alice", "right"), Ok(true));
    let mut attempt = door.begin(HERE, "alice", "right").unwrap();
    attempt.end(Some(false), door.now);
    // It has used up one of the three.
    assert_eq!(door.fail(HERE, "alice").0, 2);
}

#[test]
fn the_same_password_said_twice_is_one_failure() {
    let mut door = Door::new();
    for round in 0..3 {
        // containerd: POST, and GET when that fails.
        assert_eq!(door.attempt(HERE, "alice", &format!("wrong-{round}")), Ok(false));
        assert!(matches!(door.attempt(HERE, "alice", &format!("wrong-{round}")), Ok(false) | Err(Refusal::Wrong)));
    }
    // The third one was the last that is free. It is still answered as wrong, and without being judged; another one waits.
    assert_eq!(door.attempt(HERE, "alice", "wrong-2"), Err(Refusal::Wrong));
    assert_eq!(door.attempt(HERE, "alice", "wrong-3"), Err(account(1)));
    door.wait(1);
    assert_eq!(door.attempt(HERE, "alice", "wrong-3"), Ok(false));
    assert_eq!(door.attempt(HERE, "alice", "wrong-4"), Err(account(2)), "two delays, not four");
}

#[test]
fn many_at_once_are_no_more_than_one_after_the_other() {
    let door = Door::new();
    let under_way: Vec<_> = (0..10).filter_map(|n| door.begin(HERE, "alice", &format!("guess-{n}")).ok()).collect();
    assert_eq!(under_way.len(), 3);
    // The same right password of many jobs at once is one.
    let door = Door::new();
    let mut jobs: Vec<_> = (0..10).map(|n| door.begin(&format!("192.0.2.{n}"), "ci", "right").unwrap()).collect();
    jobs.extend((0..30).map(|_| door.begin(HERE, "ci", "right").unwrap()));
    for mut job in jobs {
        job.end(Some(true), door.now);
    }
    assert_eq!(door.fail(HERE, "ci").0, 3, "none of them failed");
}

#[test]
fn who_goes_away_has_not_failed_and_takes_no_place() {
    let door = Door::new();
    for n in 0..100 {
        drop(door.begin(HERE, "alice", &format!("{n}")).unwrap());
    }
    assert_eq!(door.fail(HERE, "alice").0, 3);
}

#[test]
fn one_address_has_so_many_judged_at_once() {
    let door = Door::new();
    let begin = |n: usize| door.begin(HERE, &format!("user-{n}"), "x");
    let held: Vec<_> = (0..4).map(|n| begin(n).unwrap()).collect();
    assert!(matches!(begin(4), Err(Refusal::Address(_))));
    assert!(door.begin("192.0.2.2", "user-4", "x").is_ok());
    drop(held);
    assert!(begin(4).is_ok());
}

#[test]
fn an_address_that_tries_many_accounts_has_to_wait() {
    let mut door = Door::new();
    let spray = |door: &Door, from: usize| {
        (from..from + 100).take_while(|n| door.attempt(HERE, &format!("u{n}"), "x").is_ok()).count()
    };
    assert_eq!(spray(&door, 0), 20);
    assert_eq!(door.attempt(HERE, "carol", "right"), Err(Refusal::Address(Duration::from_secs(30))));
    assert_eq!(door.attempt("192.0.2.2", "carol", "right"), Ok(true));
    assert_eq!(door.attempt(HERE, "carol", "right"), Ok(true), "known by now");
    door.wait(30);
    assert_eq!(spray(&door, 100), 1);
    door.wait(600);
    assert_eq!(spray(&door, 200), 20);
}

#[test]
fn failures_of_api_keys_count_for_the_address() {
    let door = Door::new();
    let fail = || door.throttle.failed_at(&door.settings, from(HERE), door.now);
    assert_eq!((0..100).take_while(|_| fail().is_ok()).count(), 20);
    assert!(matches!(door.attempt(HERE, "alice", "x"), Err(Refusal::Address(_))), "by whichever door");
}

#[test]
fn a_success_clears_the_account_and_time_forgives() {
    let mut door = Door::new();
    for n in 0..2 {
        assert_eq!(door.attempt(HERE, "alice", &format!("typo-{n}")), Ok(false));
    }
    assert_eq!(door.attempt(HERE, "alice", "right"), Ok(true));
    assert_eq!(door.fail(HERE, "alice").0, 3);
    door.wait(300);
    assert_eq!(door.fail(HERE, "alice").0, 1, "one for each longest delay");
    door.wait(3 * 3600);
    assert_eq!(door.fail(HERE, "alice").0, 3);
}

#[test]
fn token_requests_have_a_rate_for_each_address() {
    let mut door = Door::new();
    let ask = |door: &Door, at: &str| door.throttle.request_at(&door.settings, from(at), door.now);
    assert_eq!((0..100).take_while(|_| ask(&door, HERE).is_ok()).count(), 20);
    assert_eq!(ask(&door, HERE), Err(Refusal::Address(Duration::from_millis(500))));
    assert!(ask(&door, "192.0.2.2").is_ok());
    door.wait(5);
    assert_eq!((0..100).take_while(|_| ask(&door, HERE).is_ok()).count(), 10);
    // Nobody knows how many are behind it.
    assert!((0..100).all(|_| ask(&door, "a unix peer").is_ok()));
}

#[test]
fn what_is_not_set_is_not_counted() {
    let mut door = Door::new();
    door.settings = ThrottleSettings { token_rate: None, failures: None, failures_per_address: None, ..SETTINGS };
    for n in 0..1000 {
        assert_eq!(door.attempt(HERE, "alice", &format!("{n}")), Ok(false));
        assert!(door.throttle.request_at(&door.settings, from(HERE), door.now).is_ok());
    }
}

#[test]
fn the_tables_are_bounded_and_show_no_names() {
    let door = Door::new();
    for n in 0..60_000u32 {
        let address = std::net::Ipv4Addr::from(n).to_string();
        let _ = door.attempt(&address, "alice", "x");
    }
    assert!(door.throttle.accounts.len() <= super::REMEMBERED && door.throttle.addresses.len() <= super::REMEMBERED);
    assert!(!format!("{:?}", door.throttle).contains("alice"));
}
