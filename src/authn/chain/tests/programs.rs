//! API keys and OAuth2 clients beside the chain.

use super::*;
use crate::authn::api_keys::{API_KEYS, ApiKeys, KeyRefused, NewApiKey};
use crate::authn::clients::{CLIENTS, Clients, NewClient, SecretHash};
use crate::authn::key_hash::KeyHash;

const KEY: &str = "tgk_0123456789";

fn client(user: &str, hash: &str) -> NewClient {
    NewClient { name: name(user), secret_hash: SecretHash::parse(hash).unwrap(), groups: vec![group("bots")] }
}

fn fast(text: &str) -> String {
    KeyHash::of(&password(text)).to_text()
}

/// A chain with alice, and with these clients and keys; `ops` has everybody.
fn chain_with(clients: &[(&str, String)], keys: &[(&str, Option<u64>)]) -> (Chain, Arc<Hasher>, Clock) {
    let everybody = [ALICE, "ci", "slow", "admin"].map(name).to_vec();
    let groups = vec![(group("ops"), everybody)];
    let (chain, hasher, clock) = Setup { groups, ..Setup::new().users(&[(ALICE, "one")]) }.chain();
    let clients = Clients::new(clients.iter().map(|(name, hash)| client(name, hash)));
    let key = |(user, expires): &(&str, Option<u64>)| {
        let hash = KeyHash::of(&password(&format!("{KEY}{user}")));
        NewApiKey { name: name(user), hash, groups: vec![group("bots")], expires: *expires }
    };
    (chain.with(clients, ApiKeys::new(keys.iter().map(key), clock.clone())), hasher, clock)
}

#[tokio::test]
async fn clients_come_with_their_own_secret_and_users_with_theirs() {
    let (chain, hasher, _) =
        chain_with(&[("ci", fast("fast-1")), ("slow", cheap_hash("slow-1")), ("admin", fast("x"))], &[]);
    for (id, secret, hashes) in [("ci", "fast-1", 0), ("slow", "slow-1", 1)] {
        let before = hasher.done();
        let subject = chain.authenticate_client(id, &password(secret)).await.unwrap();
        assert_eq!((subject.name.as_str(), &*subject.member), (id, CLIENTS));
        assert_eq!(subject.groups, [group("bots"), group("ops")]);
        assert_eq!(hasher.done() - before, hashes);
        // Remembered.
        chain.authenticate_client(id, &password(secret)).await.unwrap();
        assert_eq!(hasher.done() - before, hashes);
        // And not what the chain knows of users.
        assert_eq!(chain.authenticate(id, &password(secret)).await, Err(Refused::Wrong));
    }
    for (id, secret) in [
        ("ci", "slow-1"),
        ("slow", "fast-1"),
        ("slow", ""),
        ("SLOW", "slow-1"),
        (ALICE, "one"),
        ("admin", "x"),
        ("", "x"),
        (" ci", "fast-1"),
    ] {
        assert_eq!(chain.authenticate_client(id, &password(secret)).await, Err(Refused::Wrong), "{id}");
    }
}

#[tokio::test]
async fn an_unknown_client_costs_what_a_known_one_does() {
    let (chain, hasher, _) = chain_with(&[("slow", cheap_hash("slow-1"))], &[]);
    for (n, id) in ["slow", "nobody", "admin", "", " x", "nobody"].into_iter().enumerate() {
        assert_eq!(chain.authenticate_client(id, &password("wrong")).await, Err(Refused::Wrong));
        assert_eq!(hasher.done(), n as u64 + 1, "{id}");
    }
    let (chain, hasher, _) = chain_with(&[("ci", fast("fast-1"))], &[]);
    for id in ["ci", "nobody", ""] {
        assert_eq!(chain.authenticate_client(id, &password("wrong")).await, Err(Refused::Wrong));
    }
    assert_eq!(hasher.done(), 0);
}

#[test]
fn of_several_costs_an_unknown_client_has_always_the_same_one() {
    let (chain, hasher, _) = chain_with(&[("ci", fast("fast-1")), ("slow", cheap_hash("slow-1"))], &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cost = |id: &str| {
        let before = hasher.done();
        assert_eq!(runtime.block_on(chain.authenticate_client(id, &password("wrong"))), Err(Refused::Wrong));
        hasher.done() - before
    };
    let ids: Vec<_> = (0..40).map(|n| format!("client{n}")).collect();
    let first: Vec<_> = ids.iter().map(|id| cost(id)).collect();
    assert_eq!(first, ids.iter().map(|id| cost(id)).collect::<Vec<_>>());
    assert_eq!(HashSet::from_iter(first), HashSet::from([0, 1]));
}

#[tokio::test]
async fn checks_of_clients_are_bounded_as_those_of_users_are() {
    let (chain, hasher, _) = chain_with(&[("slow", cheap_hash("slow-1"))], &[]);
    let held = hasher.hold();
    let secrets: Vec<_> = (0..3).map(|n| password(&n.to_string())).collect();
    let mut waiting: Vec<_> =
        secrets.iter().map(|secret| Box::pin(chain.authenticate_client("slow", secret))).collect();
    for waiting in &mut waiting {
        assert!(poll(waiting.as_mut()).is_pending());
    }
    assert_eq!(chain.authenticate_client("slow", &password("x")).await, Err(Refused::Busy));
    drop(held);
    for waiting in waiting {
        assert_eq!(waiting.await, Err(Refused::Wrong));
    }
}

#[test]
fn a_key_says_who_comes_and_until_when() {
    let (chain, hasher, clock) = chain_with(&[], &[("ci", Some(2000)), ("admin", None)]);
    let ask = |text: &str| chain.authenticate_key(&password(text));
    let subject = ask("tgk_0123456789ci").unwrap();
    assert_eq!((subject.name.as_str(), &*subject.member), ("ci", API_KEYS));
    assert_eq!(subject.groups, [group("bots"), group("ops")]);
    assert_eq!(ask("tgk_0123456789admin"), Err(KeyRefused::Unknown));
    assert_eq!(ask("tgk_0123456789"), Err(KeyRefused::Unknown));
    clock.set(2000);
    assert_eq!(ask("tgk_0123456789ci"), Err(KeyRefused::Expired(name("ci"))));
    assert_eq!(hasher.done(), 0);
}

#[tokio::test]
async fn a_key_is_the_password_of_its_own_name_only_and_who_has_none_pays_for_a_password() {
    let (chain, hasher, clock) = chain_with(&[], &[("ci", Some(2000)), ("cd", None), ("admin", None)]);
    let ask = |user: &str, text: &str| chain.authenticate_named_key(user, &password(text));
    assert_eq!(ask("ci", "tgk_0123456789ci").unwrap().unwrap().groups, [group("bots"), group("ops")]);
    assert_eq!(ask("admin", "tgk_0123456789admin"), Some(Err(KeyRefused::Unknown)));
    for (user, text) in [("ci", "tgk_0123456789cd"), ("CI", "tgk_0123456789ci"), ("ci", ""), ("", ""), (ALICE, "one")] {
        assert!(ask(user, text).is_none(), "{user}");
    }
    clock.set(2000);
    assert_eq!(ask("ci", "tgk_0123456789ci"), Some(Err(KeyRefused::Expired(name("ci")))));
    // What is none goes the way of users, and a name that has a key costs what an unknown one does.
    for (n, user) in ["ci", "nobody"].into_iter().enumerate() {
        assert_eq!(chain.authenticate(user, &password("wrong")).await, Err(Refused::Wrong));
        assert_eq!(hasher.done(), n as u64 + 1, "{user}");
    }
}

#[test]
fn tokens_follow_what_the_tables_say_now() {
    let (chain, _, clock) = chain_with(&[("slow", fast("x")), ("admin", fast("x"))], &[("ci", Some(2000))]);
    let old = |user: &str, member: &str| Subject::new(name(user), vec![group("root")], member.into());
    for (user, member) in [("slow", CLIENTS), ("ci", API_KEYS)] {
        let now = chain.current(&old(user, member)).unwrap();
        assert_eq!((now.groups.clone(), &*now.member), (vec![group("bots"), group("ops")], member));
    }
    for (user, member) in [("ci", CLIENTS), ("slow", API_KEYS), ("slow", "users"), (ALICE, CLIENTS), ("admin", CLIENTS)]
    {
        assert_eq!(chain.current(&old(user, member)), None, "{user} {member}");
    }
    clock.set(2000);
    assert_eq!(chain.current(&old("ci", API_KEYS)), None);
}

#[test]
fn nothing_printable_holds_a_key_or_its_hash() {
    let hash = fast("fast-1");
    let (chain, ..) = chain_with(&[("ci", hash.clone())], &[("cd", None)]);
    let shown = format!("{chain:?} {:?} {:?}", client("ci", &hash), KeyHash::of(&password("fast-1")));
    assert!(!shown.contains(&hash[10..]) && !shown.contains("fast-1") && !shown.contains(KEY), "{shown}");
}
