//! Who is let in, at what price, and what is remembered. Prices are counted in hashes, not in time.

use std::collections::HashSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Chain, Refused, Settings};
use crate::authn::groups::Groups;
use crate::authn::hasher::Hasher;
use crate::authn::member::{Answer, Lookup, Member, Outcome, Trouble};
use crate::authn::password::{Cost, PasswordHash};
use crate::authn::testing::{ALICE, BOB, cheap_hash, name, password};
use crate::authn::users::{NewUser, Users};
use crate::clock::Clock;
use crate::secret::Secret;
use crate::subject::{GroupName, Subject, UserName};

mod programs;

struct Setup {
    hasher: Arc<Hasher>,
    clock: Clock,
    groups: Vec<(GroupName, Vec<UserName>)>,
    remember: Duration,
    members: Vec<Box<dyn Member>>,
}

impl Setup {
    fn new() -> Self {
        Self::with_hasher(Hasher::new(1, 2))
    }

    fn with_hasher(hasher: Hasher) -> Self {
        Self {
            hasher: Arc::new(hasher),
            clock: Clock::manual(1000),
            groups: Vec::new(),
            remember: Duration::from_secs(60),
            members: Vec::new(),
        }
    }

    fn users(mut self, users: &[(&str, &str)]) -> Self {
        let users = users.iter().map(|(user, text)| NewUser {
            name: name(user),
            hash: PasswordHash::parse(&cheap_hash(text)).unwrap(),
            groups: vec![group("dev")],
        });
        self.members.push(Box::new(Users::new(users, Arc::clone(&self.hasher))));
        self
    }

    fn member(mut self, member: impl Member + 'static) -> Self {
        self.members.push(Box::new(member));
        self
    }

    fn chain(self) -> (Chain, Arc<Hasher>, Clock) {
        let Self { hasher, clock, groups, remember, members } = self;
        let settings = Settings { hasher: Arc::clone(&hasher), clock: clock.clone(), remember, remembered: 100 };
        (Chain::new(members, Groups::new(groups), [&name("Registry-Writer")], settings).unwrap(), hasher, clock)
    }
}

/// A member that says what it is told to, and counts how often it was asked.
struct Fixed {
    name: Arc<str>,
    outcome: Outcome,
    asked: Arc<AtomicU64>,
    generation: Arc<AtomicU64>,
    deadline: Option<Duration>,
}

impl Fixed {
    fn new(outcome: Outcome) -> Self {
        Self { name: "fixed".into(), outcome, asked: Arc::default(), generation: Arc::default(), deadline: None }
    }

    fn accepting(user: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|name| group(name)).collect();
        Self::new(Outcome::Accepted(Arc::new(Subject::new(name(user), groups, "fixed".into()))))
    }
}

impl Member for Fixed {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn authenticate<'a>(&'a self, _: &'a UserName, _: &'a Secret) -> Answer<'a> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.deadline.is_some() {
            Box::pin(std::future::pending())
        } else {
            Box::pin(async { self.outcome.clone() })
        }
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn deadline(&self) -> Option<Duration> {
        self.deadline
    }
}

fn group(text: &str) -> GroupName {
    GroupName::parse(text).unwrap()
}

fn failed() -> Outcome {
    Outcome::Unavailable(Trouble::Failed("the directory is on fire".into()))
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn known_and_unknown_right_and_wrong_cost_one_hash_each() {
    let (chain, hasher, _) =
        Setup::new().users(&[(ALICE, "one"), ("admin", "one"), ("Registry-writer", "one")]).chain();
    let long = "x".repeat(300);
    let mut before = 0;
    for (user, text) in [
        (ALICE, "two"),
        (ALICE, &*"y".repeat(100)),
        ("carol", "one"),
        ("admin", "one"),
        ("ADMIN", "one"),
        ("registry-WRITER", "one"),
        ("regıſtry-writer", "one"),
        ("", "one"),
        (" alice", "one"),
        (&*long, "one"),
    ] {
        assert_eq!(chain.authenticate(user, &password(text)).await, Err(Refused::Wrong), "{user}");
        assert_eq!(hasher.done(), before + 1, "{user}");
        before += 1;
    }
    assert_eq!(chain.authenticate(ALICE, &password("one")).await.unwrap().name, name(ALICE));
    assert_eq!(hasher.done(), before + 1);
}

#[test]
fn an_unknown_name_always_costs_what_one_same_known_one_does() {
    struct Costly(Arc<str>, Arc<[Cost]>);
    impl Member for Costly {
        fn name(&self) -> &Arc<str> {
            &self.0
        }
        fn authenticate<'a>(&'a self, _: &'a UserName, _: &'a Secret) -> Answer<'a> {
            Box::pin(async { Outcome::UnknownHere })
        }
        fn costs(&self) -> Arc<[Cost]> {
            Arc::clone(&self.1)
        }
    }
    let real = PasswordHash::parse(&cheap_hash("one")).unwrap().cost();
    let costs = Arc::from([real, Cost::default()]);
    let (chain, ..) = Setup::new().users(&[(ALICE, "one")]).member(Costly("costly".into(), costs)).chain();
    let names: Vec<_> = (0..100).map(|n| format!("user{n}")).collect();
    let first: Vec<_> = names.iter().map(|name| chain.cost_of_unknown(name)).collect();
    let again: Vec<_> = names.iter().map(|name| chain.cost_of_unknown(name)).collect();
    assert_eq!(first, again);
    assert_eq!(HashSet::from_iter(first), HashSet::from([real, Cost::default()]));
}

#[tokio::test]
async fn a_chain_without_members_refuses_at_the_usual_price() {
    let (chain, hasher, _) = Setup::new().chain();
    assert_eq!(chain.authenticate(ALICE, &password("one")).await, Err(Refused::Wrong));
    assert_eq!(hasher.done(), 1);
}

#[tokio::test]
async fn the_first_member_that_knows_the_user_decides() {
    let (chain, ..) = Setup::new().users(&[(ALICE, "one")]).users(&[(ALICE, "two"), (BOB, "two")]).chain();
    assert!(chain.authenticate(ALICE, &password("one")).await.is_ok());
    assert_eq!(chain.authenticate(ALICE, &password("two")).await, Err(Refused::Wrong));
    assert!(chain.authenticate(BOB, &password("two")).await.is_ok());
}

#[tokio::test]
async fn an_unavailable_member_is_never_passed_over() {
    let after = Fixed::accepting(BOB, &[]);
    let asked = Arc::clone(&after.asked);
    let (chain, ..) = Setup::new().users(&[(ALICE, "one")]).member(Fixed::new(failed())).member(after).chain();
    assert_eq!(chain.authenticate(BOB, &password("one")).await, Err(Refused::Unavailable));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert!(chain.authenticate(ALICE, &password("one")).await.is_ok(), "decided before the unavailable member");
    assert_eq!(chain.authenticate(ALICE, &password("two")).await, Err(Refused::Wrong));
}

#[tokio::test]
async fn a_member_past_its_deadline_is_unavailable() {
    let slow = Fixed { deadline: Some(Duration::ZERO), ..Fixed::accepting(BOB, &[]) };
    let (chain, ..) = Setup::new().member(slow).chain();
    assert_eq!(chain.authenticate(BOB, &password("one")).await, Err(Refused::Unavailable));
}

#[tokio::test]
async fn a_reserved_name_is_refused_whatever_the_member_makes_of_it() {
    let (chain, ..) = Setup::new().member(Fixed::accepting("Admin", &[])).chain();
    assert_eq!(chain.authenticate(BOB, &password("one")).await, Err(Refused::Wrong));
}

#[tokio::test]
async fn right_passwords_are_remembered_for_their_time_and_wrong_ones_are_not() {
    let (chain, hasher, clock) = Setup::new().users(&[(ALICE, "one")]).chain();
    for (second, text, hashes) in
        [(1000, "one", 1), (1059, "one", 1), (1060, "one", 2), (1061, "two", 3), (1061, "two", 4), (1000, "one", 5)]
    {
        clock.set(second);
        assert_eq!(chain.authenticate(ALICE, &password(text)).await.is_ok(), text == "one");
        assert_eq!(hasher.done(), hashes, "at {second} with {text}");
    }
}

#[tokio::test]
async fn a_new_generation_forgets_and_so_does_a_zero_time() {
    let member = Fixed::accepting(ALICE, &[]);
    let (asked, generation) = (Arc::clone(&member.asked), Arc::clone(&member.generation));
    let (chain, ..) = Setup::new().users(&[]).member(member).chain();
    for expected in [1, 1] {
        chain.authenticate(ALICE, &password("one")).await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), expected);
    }
    generation.store(7, Ordering::Relaxed);
    chain.authenticate(ALICE, &password("one")).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2);

    let forgetful = Setup { remember: Duration::ZERO, ..Setup::new().users(&[(ALICE, "one")]) };
    let (chain, hasher, _) = forgetful.chain();
    for hashes in [1, 2] {
        chain.authenticate(ALICE, &password("one")).await.unwrap();
        assert_eq!(hasher.done(), hashes);
    }
}

#[tokio::test]
async fn identical_checks_at_once_share_one_hash() {
    let (chain, hasher, _) = Setup::new().users(&[(ALICE, "one")]).chain();
    for text in ["one", "two"] {
        let secret = password(text);
        let before = hasher.done();
        let held = hasher.hold();
        let mut checks: Vec<_> = (0..50).map(|_| Box::pin(chain.authenticate(ALICE, &secret))).collect();
        for check in &mut checks {
            assert!(poll(check.as_mut()).is_pending());
        }
        assert_eq!(chain.flights.open(), 1);
        drop(held);
        for check in checks {
            assert_eq!(check.await.is_ok(), text == "one");
        }
        assert_eq!(hasher.done(), before + 1);
        assert_eq!(chain.flights.open(), 0);
    }
}

#[tokio::test]
async fn a_cancelled_leader_strands_nobody() {
    let (chain, hasher, _) = Setup::new().users(&[(ALICE, "one")]).chain();
    let secret = password("one");
    let held = hasher.hold();
    let mut leader = Box::pin(chain.authenticate(ALICE, &secret));
    let mut follower = pin!(chain.authenticate(ALICE, &secret));
    assert!(poll(leader.as_mut()).is_pending());
    assert!(poll(follower.as_mut()).is_pending());
    drop(leader);
    drop(held);
    assert!(follower.await.is_ok());
    assert_eq!(chain.flights.open(), 0);

    let held = hasher.hold();
    let mut alone = Box::pin(chain.authenticate(BOB, &secret));
    assert!(poll(alone.as_mut()).is_pending());
    drop(alone);
    drop(held);
    assert_eq!(chain.flights.open(), 0);
}

#[tokio::test]
async fn beyond_the_bound_known_and_unknown_users_are_told_to_come_back() {
    let (chain, hasher, _) = Setup::with_hasher(Hasher::new(1, 2)).users(&[(ALICE, "one")]).chain();
    let held = hasher.hold();
    let secrets: Vec<_> = (0..3).map(|n| password(&n.to_string())).collect();
    let mut waiting: Vec<_> = secrets.iter().map(|secret| Box::pin(chain.authenticate(ALICE, secret))).collect();
    for check in &mut waiting {
        assert!(poll(check.as_mut()).is_pending());
    }
    assert_eq!(chain.authenticate(ALICE, &password("one")).await, Err(Refused::Busy));
    assert_eq!(chain.authenticate(BOB, &password("one")).await, Err(Refused::Busy));
    drop(held);
    for check in waiting {
        assert_eq!(check.await, Err(Refused::Wrong));
    }
    assert!(chain.authenticate(ALICE, &password("one")).await.is_ok(), "room again");
}

#[tokio::test]
async fn groups_of_the_member_and_of_the_table_are_united_at_log_in_and_at_use() {
    let groups = vec![(group("ops"), vec![name(ALICE), name(BOB)]), (group("dev"), vec![name(ALICE)])];
    let (chain, ..) = Setup { groups, ..Setup::new().users(&[(ALICE, "one"), (BOB, "one")]) }.chain();
    for user in [ALICE, BOB] {
        let subject = chain.authenticate(user, &password("one")).await.unwrap();
        assert_eq!(subject.groups, [group("dev"), group("ops")]);
        let old = Subject::new(name(user), vec![group("root")], "users".into());
        assert_eq!(chain.current(&old).unwrap().groups, [group("dev"), group("ops")]);
    }
}

#[tokio::test]
async fn of_a_remote_member_groups_that_the_table_names_are_the_table_s() {
    let groups = vec![(group("ops"), vec![name(ALICE)]), (group("staff"), vec![])];
    let remote = Fixed::accepting(ALICE, &["staff", "remote"]);
    let (chain, ..) = Setup { groups, ..Setup::new().member(remote) }.chain();
    let subject = chain.authenticate(ALICE, &password("one")).await.unwrap();
    assert_eq!(subject.groups, [group("ops"), group("remote")]);
    assert_eq!(chain.current(&subject).unwrap(), subject);
    let of_bob = Subject { name: name(BOB), ..(*subject).clone() };
    assert_eq!(chain.current(&of_bob).unwrap().groups, [group("remote")]);
}

#[tokio::test]
async fn who_is_gone_or_reserved_or_whose_member_is_gone_is_nobody() {
    let (chain, ..) = Setup::new().users(&[(ALICE, "one"), ("admin", "one")]).chain();
    let subject = |user: &str, member: &str| Subject::new(name(user), Vec::new(), member.into());
    assert!(chain.current(&subject(ALICE, "users")).is_some());
    assert_eq!(chain.current(&subject(BOB, "users")), None);
    assert_eq!(chain.current(&subject(ALICE, "htpasswd")), None);
    assert_eq!(chain.current(&subject("admin", "users")), None);
}

#[tokio::test]
async fn nothing_printable_holds_a_password() {
    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let (chain, hasher, _) = Setup::new().users(&[(ALICE, "hunter2")]).member(Fixed::new(failed())).chain();
    let right = chain.authenticate(ALICE, &password("hunter2")).await;
    let wrong = chain.authenticate(ALICE, &password("hunter2hunter2")).await;
    let unavailable = chain.authenticate(BOB, &password("hunter2")).await;
    let shown = format!("{right:?} {wrong:?} {unavailable:?} {chain:?} {hasher:?}");
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("on fire"), "{log}");
    assert!(!shown.contains("hunter2") && !log.contains("hunter2"), "{shown} {log}");
}

#[test]
fn a_member_without_a_table_is_remote() {
    assert_eq!(Fixed::new(Outcome::Wrong).lookup(&name(ALICE)), Lookup::Remote);
}
