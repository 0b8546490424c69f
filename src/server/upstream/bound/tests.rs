use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::{Bound, BoundSettings, CallerKey, NotIn, Permit};
use crate::subject::Caller;

const LONG: Duration = Duration::from_secs(30);

fn bound(at_once: usize, queue: usize) -> Arc<Bound> {
    Bound::new(BoundSettings { at_once, queue, timeout: LONG })
}

fn caller(number: u8) -> CallerKey {
    CallerKey::Address([192, 0, 2, number].into())
}

type Entering = Pin<Box<dyn Future<Output = Result<Permit, NotIn>>>>;

/// Someone who comes, and has been asked once.
fn come(bound: &Arc<Bound>, who: u8) -> (Entering, Option<Result<Permit, NotIn>>) {
    let bound = Arc::clone(bound);
    let mut entering: Entering = Box::pin(async move { bound.enter(caller(who)).await });
    let answer = look(&mut entering);
    (entering, answer)
}

fn look(entering: &mut Entering) -> Option<Result<Permit, NotIn>> {
    match entering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn counts(bound: &Bound) -> (usize, usize) {
    bound.turns().counts()
}

#[tokio::test(start_paused = true)]
async fn callers_take_turns_and_nobody_overtakes_themselves() {
    let bound = bound(1, 64);
    let first = bound.enter(caller(0)).await.unwrap();
    let mut waiting: Vec<_> = [1, 1, 1, 1, 2, 2, 3].iter().map(|who| (*who, come(&bound, *who).0)).collect();
    assert_eq!(counts(&bound), (1, 7));
    let (mut permit, mut order) = (first, Vec::new());
    while !waiting.is_empty() {
        drop(permit);
        let (place, granted) = waiting
            .iter_mut()
            .enumerate()
            .find_map(|(place, (_, entering))| look(entering).map(|answer| (place, answer.unwrap())))
            .expect("somebody is next");
        order.push(waiting.remove(place).0);
        permit = granted;
    }
    assert_eq!(order, [1, 2, 3, 1, 2, 1, 1]);
    drop(permit);
    assert_eq!(counts(&bound), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_full_of_one_caller_is_not_full_for_another() {
    let bound = bound(1, 3);
    let permit = bound.enter(caller(1)).await.unwrap();
    let mut many: Vec<_> = (0..3).map(|_| come(&bound, 1).0).collect();
    assert_eq!(come(&bound, 1).1.unwrap().unwrap_err(), NotIn::Full, "no room for more of the same");
    let (mut other, answer) = come(&bound, 2);
    assert!(answer.is_none());
    assert_eq!(look(&mut many[2]).unwrap().unwrap_err(), NotIn::Full, "the newest of the longest line goes");
    assert_eq!(counts(&bound), (1, 3));
    assert_eq!(come(&bound, 2).1.unwrap().unwrap_err(), NotIn::Full, "two and two would be no fairer than two and one");
    drop(permit);
    let permit = look(&mut many[0]).unwrap().unwrap();
    drop(permit);
    assert!(look(&mut other).unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_wait_has_an_end() {
    let bound = bound(1, 64);
    let permit = bound.enter(caller(1)).await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(bound.enter(caller(2)).await.unwrap_err(), NotIn::TooLong);
    assert_eq!(start.elapsed(), LONG);
    assert_eq!(counts(&bound), (1, 0));
    drop(permit);
    assert_eq!(counts(&bound), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_comes_too_late_passes_on() {
    let bound = bound(1, 64);
    let permit = bound.enter(caller(1)).await.unwrap();
    let (gone, _) = come(&bound, 2);
    let (mut next, _) = come(&bound, 3);
    // The turn is with the first of them, who has not looked yet.
    drop(permit);
    assert!(look(&mut next).is_none());
    drop(gone);
    assert!(look(&mut next).unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_nobody_waits() {
    let bound = bound(2, 0);
    let (_one, _two) = (bound.enter(caller(1)).await.unwrap(), bound.enter(caller(2)).await.unwrap());
    assert_eq!(bound.enter(caller(3)).await.unwrap_err(), NotIn::Full);
}

#[test]
fn strangers_are_told_apart_by_their_network() {
    let at = |address: &str| CallerKey::new(&Caller::Anonymous, address.parse::<IpAddr>().ok());
    assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
    assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
    assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    assert_ne!(at("192.0.2.1"), CallerKey::new(&Caller::Anonymous, None));
}

/// What happens in a schedule; the numbers pick among those that there are.
#[derive(Clone, Debug)]
enum Event {
    Come(u8),
    Look(usize),
    GoAway(usize),
    Finish(usize),
    Time(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0u8..4).prop_map(Event::Come),
        2 => any::<usize>().prop_map(Event::Look),
        1 => any::<usize>().prop_map(Event::GoAway),
        3 => any::<usize>().prop_map(Event::Finish),
        1 => (1u64..20).prop_map(Event::Time),
    ]
}

/// Those who wait, oldest first, with how often each other caller was let in while theirs was the head of its line.
struct Waiting {
    who: u8,
    entering: Entering,
}

proptest! {
    /// Whatever happens in whatever order: never more than the bound, never a free place while somebody waits, first come first
    /// served within one caller, and when all is over nothing is left.
    #[test]
    fn nothing_leaks(at_once in 1usize..4, queue in 0usize..6, events in prop::collection::vec(event(), 0..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bound = bound(at_once, queue);
            let (mut waiting, mut inside): (Vec<Waiting>, Vec<Permit>) = (Vec::new(), Vec::new());
            for event in events {
                match event {
                    Event::Come(who) => {
                        let (entering, answer) = come(&bound, who);
                        match answer {
                            None => waiting.push(Waiting { who, entering }),
                            Some(Ok(permit)) => inside.push(permit),
                            Some(Err(why)) => prop_assert_eq!(why, NotIn::Full),
                        }
                    }
                    Event::Look(at) if !waiting.is_empty() => {
                        let at = at % waiting.len();
                        if let Some(answer) = look(&mut waiting[at].entering) {
                            let who = waiting.remove(at).who;
                            if let Ok(permit) = answer {
                                inside.push(permit);
                                // Whoever stands before them in their line was called before, at the latest now.
                                let earlier = waiting[..at].iter_mut().filter(|other| other.who == who);
                                for other in earlier {
                                    let called = look(&mut other.entering);
                                    prop_assert!(called.is_some(), "{} was overtaken by themselves", who);
                                    if let Some(Ok(permit)) = called {
                                        inside.push(permit);
                                    }
                                    other.who = u8::MAX;
                                }
                                waiting.retain(|other| other.who != u8::MAX);
                            }
                        }
                    }
                    Event::GoAway(at) if !waiting.is_empty() => drop(waiting.remove(at % waiting.len())),
                    Event::Finish(at) if !inside.is_empty() => drop(inside.remove(at % inside.len())),
                    Event::Time(seconds) => tokio::time::advance(Duration::from_secs(seconds)).await,
                    _ => {}
                }
                let (running, in_line) = counts(&bound);
                prop_assert!(running <= at_once && in_line <= queue);
                prop_assert!(inside.len() <= running);
                prop_assert!(in_line == 0 || running == at_once, "a place is free and somebody waits");
                prop_assert!(in_line <= waiting.len());
            }
            drop(waiting);
            prop_assert_eq!(counts(&bound), (inside.len(), 0));
            drop(inside);
            prop_assert_eq!(counts(&bound), (0, 0));
            Ok(())
        })?;
    }

    /// Between two turns of a caller who waits, every other gets one at most.
    #[test]
    fn nobody_is_starved(lines in prop::collection::vec(1usize..12, 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bound = bound(1, 100);
            let mut permit = bound.enter(caller(255)).await.ok();
            let mut waiting = Vec::new();
            for (who, length) in (0u8..).zip(&lines) {
                waiting.extend((0..*length).map(|_| Waiting { who, entering: come(&bound, who).0 }));
            }
            let mut served = vec![0; lines.len()];
            while !waiting.is_empty() {
                drop(permit.take());
                let called = waiting.iter_mut().enumerate().find_map(|(at, one)| look(&mut one.entering).map(|got| (at, got)));
                let (at, got) = called.expect("somebody is next");
                served[usize::from(waiting.remove(at).who)] += 1;
                permit = got.ok();
                for (one, line) in served.iter().zip(&lines) {
                    for other in &served {
                        prop_assert!(one == line || other <= &(one + 1), "{:?} of {:?}", served, lines);
                    }
                }
            }
            Ok(())
        })?;
    }
}
