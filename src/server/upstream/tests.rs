//! What an upstream keeps when another one takes its place.

use std::sync::Arc;
use std::time::Duration;

use super::{BoundSettings, RetrySettings, Upstream, UpstreamSettings};

fn settings(ports: &[u16]) -> UpstreamSettings {
    UpstreamSettings {
        retries: Some(RetrySettings { budget: 0.2, burst: 10 }),
        bound: Some(BoundSettings { at_once: 1, queue: 1, timeout: Duration::from_secs(1) }),
        ..UpstreamSettings::plain(ports)
    }
}

/// Of the addresses of `new`, in their order, whether each is one that `old` had.
fn kept(old: &Upstream, new: &Upstream) -> Vec<bool> {
    new.endpoints.iter().map(|one| old.endpoints.iter().any(|other| Arc::ptr_eq(one, other))).collect()
}

fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    one.zip(other).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
}

#[test]
fn addresses_that_stay_keep_their_connections() {
    let before = settings(&[1, 2, 3]);
    let old = Upstream::new(before.clone(), 1).unwrap();
    let moved = UpstreamSettings {
        addresses: settings(&[3, 4, 1]).addresses,
        response_timeout: Duration::from_secs(9),
        ..before.clone()
    };
    let new = Upstream::succeed(&old, moved, 1).unwrap();
    assert_eq!(kept(&old, &new), [true, false, true]);
    assert!(same(old.bound.as_ref(), new.bound.as_ref()) && same(old.budget.as_ref(), new.budget.as_ref()));
    let other = UpstreamSettings { connect_timeout: Duration::from_secs(9), ..before };
    assert_eq!(kept(&old, &Upstream::succeed(&old, other, 1).unwrap()), [false; 3], "they would connect as before");
}

#[test]
fn what_changed_begins_anew() {
    let before = settings(&[1]);
    let old = Upstream::new(before.clone(), 1).unwrap();
    let bound = before.bound.map(|bound| BoundSettings { at_once: 2, ..bound });
    let retries = Some(RetrySettings { budget: 0.1, burst: 10 });
    let new = Upstream::succeed(&old, UpstreamSettings { retries, bound, ..before }, 1).unwrap();
    assert_eq!(kept(&old, &new), [true]);
    assert!(!same(old.bound.as_ref(), new.bound.as_ref()) && !same(old.budget.as_ref(), new.budget.as_ref()));
}
