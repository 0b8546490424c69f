//! Upstreams at several addresses: who gets a request, who gets it next, and what a dead one costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::front::Front;
use crate::site::{UPLOAD, blob};
use crate::support::until;
use crate::upstream::{Then, Upstream, answer_with, ok};
use crate::wire::LIMIT;

fn urls(upstreams: &[&Upstream]) -> Vec<String> {
    upstreams.iter().map(|upstream| format!("http://127.0.0.1:{}", upstream.port)).collect()
}

/// An upstream that answers with this status.
fn always(status: &'static str) -> Upstream {
    Upstream::start(move |head, wire| answer_with(head, wire, status, "", "no"))
}

#[test]
fn equals_take_turns_and_the_busy_one_is_spared() {
    let held = Arc::new(AtomicBool::new(true));
    let holds = Arc::clone(&held);
    let slow = Upstream::start(move |head, wire| {
        if head.method() == "HEAD" {
            until("it is let go", LIMIT, || (!holds.load(Ordering::SeqCst)).then_some(()));
        }
        ok(head, wire)
    });
    let other = Upstream::start(ok);
    let front = Front::new(&urls(&[&slow, &other]), "");
    for _ in 0..10 {
        assert_eq!(front.get().0.status(), 200);
    }
    assert_eq!((slow.heads().len(), other.heads().len()), (5, 5));
    // Two, so that one of them is held by the slow one.
    let mut waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut client = front.connect();
            client.send(format!("{}\r\n", front.begin("HEAD", &blob())));
            client
        })
        .collect();
    until("it is busy", LIMIT, || (slow.last().method() == "HEAD").then_some(()));
    // Its line is written when the request is over, not when it comes to the upstream.
    front.wait_for_log("\"method\":\"HEAD\"");
    assert_eq!(other.heads().len(), 6);
    for _ in 0..10 {
        assert_eq!(front.get().0.status(), 200);
    }
    assert_eq!((slow.heads().len(), other.heads().len()), (6, 16));
    held.store(false, Ordering::SeqCst);
    for client in &mut waiting {
        assert_eq!(client.head().status(), 200);
    }
}

#[test]
fn one_of_two_that_dies_under_load_costs_nothing() {
    let (dying, living) = (Upstream::start(ok), Upstream::start(ok));
    let front = Front::new(&urls(&[&dying, &living]), "");
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for client in 0..6 {
            let (front, done, stop) = (&front, &done, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    // What writes has to hold only as far as nothing was sent: to an address that accepts no connection.
                    let dead = done.load(Ordering::SeqCst) > 400;
                    let (head, body) = if client % 2 == 0 || !dead {
                        front.get()
                    } else {
                        front.ask("POST", "/v2/team/app/blobs/uploads/", "")
                    };
                    assert_eq!((head.status(), body.whole), (200, true), "after {done:?}");
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let reached =
            |count| until("requests are answered", LIMIT, || (done.load(Ordering::SeqCst) > count).then_some(()));
        reached(100);
        dying.stop();
        dying.close_all();
        reached(800);
        stop.store(true, Ordering::SeqCst);
    });
    front.wait_for_ready("the dead one is named", |text| text.contains(&format!("127.0.0.1:{}", dying.port)));
    assert!(dying.heads().len() > 10, "it had its share before");
}

#[test]
fn one_that_answers_for_a_dead_one_is_taken_out() {
    let (broken, well) = (always("503 Unavailable"), Upstream::start(ok));
    let front = Front::new(&urls(&[&broken, &well]), "health = { eject_time = \"60s\" }");
    for _ in 0..20 {
        assert_eq!(front.get().0.status(), 200, "another address is asked");
    }
    front.wait_for_log("gets no requests for 60s: too many failed in a row");
    assert_eq!((broken.heads().len(), well.heads().len()), (3, 20));
}

#[test]
fn what_was_sent_is_not_sent_again_unless_it_reads() {
    let (broken, well) = (always("502 Bad"), Upstream::start(ok));
    let front = Front::new(&urls(&[&broken, &well]), "health = { eject_after = 0 }");
    for (method, target, body) in
        [("POST", "/v2/team/app/blobs/uploads/", ""), ("PATCH", UPLOAD, "bytes"), ("DELETE", blob().as_str(), "")]
    {
        let mut statuses = [front.ask(method, target, body).0.status(), front.ask(method, target, body).0.status()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 502], "{method}");
    }
    assert_eq!((broken.heads().len(), well.heads().len()), (3, 3));
}

#[test]
fn what_had_its_time_at_one_address_gets_none_at_another() {
    let silent = Upstream::start(|head, wire| {
        if head.target().contains("/blobs/") {
            wire.read_to_end();
            return Then::Close;
        }
        ok(head, wire)
    });
    let well = Upstream::start(ok);
    let front = Front::new(&urls(&[&silent, &well]), "response_timeout = \"300ms\"\nhealth = { eject_after = 0 }");
    let mut statuses = [front.get().0.status(), front.get().0.status()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 504]);
    let asked = |upstream: &Upstream| upstream.heads().iter().filter(|head| head.target().contains("/blobs/")).count();
    assert_eq!((asked(&silent), asked(&well)), (1, 1));
}

#[test]
fn retries_end_with_their_budget() {
    let (broken, well) = (always("504 Late"), Upstream::start(ok));
    let more = "health = { eject_after = 0 }\nretries = { budget = 0, burst = 2 }";
    let front = Front::new(&urls(&[&broken, &well]), more);
    let statuses: Vec<u16> = (0..40).map(|_| front.get().0.status()).collect();
    let failed = statuses.iter().filter(|status| **status == 504).count();
    assert_eq!(statuses[..3], [200; 3], "two of these could be repeated");
    assert!(failed > 10, "{statuses:?}");
    let front = Front::new(&urls(&[&broken, &well]), "health = { eject_after = 0 }\nretries = false");
    let mut statuses: Vec<u16> = (0..4).map(|_| front.get().0.status()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 504, 504]);
}

#[test]
fn when_all_are_down_it_is_502_and_the_first_that_is_back_is_found_at_once() {
    let (one, two) = (Upstream::start(ok), Upstream::start(ok));
    let front = Front::new(&urls(&[&one, &two]), "health = { eject_time = \"60s\" }");
    assert_eq!(front.get().0.status(), 200);
    for upstream in [&one, &two] {
        upstream.stop();
        upstream.close_all();
    }
    for _ in 0..10 {
        let (head, _) = front.get();
        assert_eq!((head.status(), head.get("retry-after")), (502, Some("2")));
    }
    let back = Upstream::start_on(two.port, ok);
    assert_eq!(front.get().0.status(), 200, "nobody waits for the end of a timer");
    assert_eq!(back.heads().len(), 1);
}

#[test]
fn an_address_whose_probes_fail_gets_nothing() {
    let (sick, well) = (Upstream::start(ok), Upstream::start(ok));
    let more = "health = { interval = \"100ms\", unhealthy_after = 2, healthy_after = 2 }";
    let front = Front::new(&urls(&[&sick, &well]), more);
    let name = format!("127.0.0.1:{} answers 500", sick.port);
    front.wait_for_ready("both are well", |text| text == "ready\n");
    sick.fail_probes();
    front.wait_for_ready("one is named", |text| text.contains(&name));
    let before = sick.heads().len();
    for _ in 0..10 {
        assert_eq!(front.get().0.status(), 200);
    }
    assert_eq!((sick.heads().len(), well.heads().len() >= 10), (before, true));
}

#[test]
fn an_answer_that_breaks_off_is_not_asked_for_again() {
    let (breaking, well) = (
        Upstream::start(|_, wire| {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\npart");
            Then::Close
        }),
        Upstream::start(ok),
    );
    let front = Front::new(&urls(&[&breaking, &well]), "");
    let mut seen = [front.get().1, front.get().1];
    seen.sort_by_key(|body| body.whole);
    assert_eq!((seen[0].text().as_str(), seen[0].whole), ("part", false));
    assert_eq!((seen[1].text().as_str(), seen[1].whole), ("ok", true));
}
