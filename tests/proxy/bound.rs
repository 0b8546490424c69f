//! `max_concurrent`: how many requests an upstream gets at once, who is next, and who goes without.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::site::{ALICE, BOB, SETUP, Setup, Site, UPLOAD, blob};
use crate::support::http::Request;
use crate::support::until;
use crate::upstream::{Then, answer_with, ok};
use crate::wire::{Head, LIMIT, Wire, basic};

const ONE: Setup = Setup { upstream: "max_concurrent = 1\nqueue = 0\nretry_after = \"7s\"", ..SETUP };

/// A request that the upstream has got and not answered.
struct Visit {
    target: String,
    answer: Sender<()>,
}

impl Visit {
    fn answer(self) {
        self.answer.send(()).unwrap();
    }
}

/// An upstream that answers each request when the test says so.
fn attended(setup: &Setup) -> (Site, Receiver<Visit>) {
    let (came, visits) = channel();
    let site = Site::with(setup, move |head, wire| {
        let (answer, answered) = channel();
        // Nobody listens any more where a test is over.
        let _ = came.send(Visit { target: head.target().to_owned(), answer });
        let _: Result<(), _> = answered.recv_timeout(LIMIT);
        ok(head, wire)
    });
    (site, visits)
}

#[track_caller]
fn next(visits: &Receiver<Visit>) -> Visit {
    visits.recv_timeout(LIMIT).expect("nothing more comes to the upstream")
}

/// GET of a tag's manifest, which tells the requests apart. When this returns, it waits or is with the upstream.
fn get(site: &Site, user: (&str, &str), tag: &str) -> Wire {
    site.judged(|| send(site, user, tag))
}

fn send(site: &Site, user: (&str, &str), tag: &str) -> Wire {
    let mut client = site.connect();
    let (host, authorization) = (site.gateway.host(), basic(user));
    client.send(format!(
        "GET /v2/team/app/manifests/{tag} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\r\n"
    ));
    client
}

#[track_caller]
fn is_busy(client: &mut Wire, retry_after: &str) -> Head {
    let (head, body) = client.reply();
    assert_eq!((head.status(), head.get("retry-after")), (503, Some(retry_after)), "{}", body.text());
    let error = &body.json()["errors"][0];
    assert_eq!(error["code"], "UNAVAILABLE");
    assert_eq!(error["message"], "the registry behind the gateway is busy; try again");
    head
}

#[test]
fn two_at_once_and_the_third_in_its_turn() {
    let setup = Setup { upstream: "max_concurrent = 2\nqueue = 1", ..SETUP };
    let (site, visits) = attended(&setup);
    let (mut one, mut two) = (get(&site, ALICE, "one"), get(&site, ALICE, "two"));
    let first = [next(&visits), next(&visits)];
    let mut three = get(&site, ALICE, "three");
    // The one place in the queue is taken, so the third has come; the upstream has not heard of it.
    is_busy(&mut get(&site, ALICE, "four"), "2");
    assert_eq!(site.upstream.heads().len(), 2);
    let [a, b] = first;
    a.answer();
    let third = next(&visits);
    assert_eq!(third.target, "/v2/team/app/manifests/three");
    third.answer();
    assert_eq!(three.reply().0.status(), 200);
    b.answer();
    assert_eq!((one.reply().0.status(), two.reply().0.status()), (200, 200));
    assert_eq!(site.upstream.heads().len(), 3);
}

#[test]
fn one_who_waits_with_many_requests_does_not_starve_another() {
    let setup = Setup { upstream: "max_concurrent = 1\nqueue = 5", ..SETUP };
    let (site, visits) = attended(&setup);
    let _holder = get(&site, ALICE, "holder");
    let mut visit = next(&visits);
    let clients: Vec<_> = (0..5).map(|n| get(&site, ALICE, &format!("a{n}"))).collect();
    let _bob = get(&site, BOB, "b0");
    let mut order = Vec::new();
    for _ in 0..5 {
        visit.answer();
        visit = next(&visits);
        order.push(visit.target.trim_start_matches("/v2/team/app/manifests/").to_owned());
    }
    visit.answer();
    // The queue was full: the newest of the five made room for the other caller.
    assert_eq!(order, ["a0", "b0", "a1", "a2", "a3"]);
    let mut last = clients.into_iter().next_back().unwrap();
    is_busy(&mut last, "2");
    site.wait_for_log("upstream registry is busy, and no more may wait (max_concurrent = 1, queue = 5)");
}

#[test]
fn a_wait_that_is_too_long_ends_with_503() {
    let setup = Setup { upstream: "max_concurrent = 1\nqueue_timeout = \"100ms\"\nretry_after = \"0\"", ..SETUP };
    let (site, visits) = attended(&setup);
    let mut holder = get(&site, ALICE, "holder");
    let visit = next(&visits);
    is_busy(&mut get(&site, ALICE, "late"), "1");
    site.wait_for_log("upstream registry was busy for 100ms, and nobody waits longer (max_concurrent = 1)");
    // A body that nobody read ends the connection, and the answer is heard all the same.
    let mut upload = site.connect();
    upload.send(format!("{}Content-Length: 5\r\n\r\nbytes", site.begin("PATCH", UPLOAD)));
    assert_eq!(is_busy(&mut upload, "1").get("connection"), Some("close"));
    visit.answer();
    assert_eq!(holder.reply().0.status(), 200);
    assert_eq!(site.upstream.heads().len(), 1);
}

#[test]
fn who_goes_away_does_not_wait_any_more() {
    for reset in [false, true] {
        let setup = Setup { upstream: "max_concurrent = 1\nqueue = 1", ..SETUP };
        let (site, visits) = attended(&setup);
        let mut holder = get(&site, ALICE, "holder");
        let visit = next(&visits);
        let gone = get(&site, ALICE, "gone");
        is_busy(&mut get(&site, ALICE, "refused"), "2");
        gone.leave(reset);
        // Its line is written when the request is given up.
        site.wait_for_log("/v2/team/app/manifests/gone");
        let mut last = get(&site, ALICE, "last");
        visit.answer();
        let visit = next(&visits);
        assert_eq!(visit.target, "/v2/team/app/manifests/last");
        visit.answer();
        assert_eq!((holder.reply().0.status(), last.reply().0.status()), (200, 200));
    }
}

#[test]
fn a_request_counts_until_its_response_has_been_sent() {
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let first = AtomicUsize::new(0);
    let site = Site::with(&ONE, move |head, wire| {
        if first.fetch_add(1, Ordering::SeqCst) > 0 {
            return ok(head, wire);
        }
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none");
        let _: Result<(), _> = wait.lock().unwrap().recv_timeout(LIMIT);
        wire.send("two");
        Then::Keep
    });
    let mut client = get(&site, ALICE, "long");
    client.head();
    assert_eq!(client.up_to(3), b"one");
    is_busy(&mut get(&site, ALICE, "refused"), "7");
    go.send(()).unwrap();
    assert_eq!(client.up_to(3), b"two");
    assert_eq!(get(&site, ALICE, "next").reply().0.status(), 200);
}

#[test]
fn a_response_that_nobody_wants_any_more_does_not_count() {
    let first = AtomicUsize::new(0);
    let site = Site::with(&ONE, move |head, wire| {
        if first.fetch_add(1, Ordering::SeqCst) > 0 {
            return ok(head, wire);
        }
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\none");
        wire.read_to_end();
        Then::Close
    });
    let mut client = get(&site, ALICE, "long");
    client.head();
    is_busy(&mut get(&site, ALICE, "refused"), "7");
    client.leave(true);
    until("the place is free", LIMIT, || (get(&site, ALICE, "next").reply().0.status() == 200).then_some(()));
}

#[test]
fn a_failure_gives_its_place_back() {
    let first = AtomicUsize::new(0);
    let site = Site::with(&ONE, move |head, wire| match first.fetch_add(1, Ordering::SeqCst) {
        0 => Then::Close,
        1 => answer_with(head, wire, "401 Unauthorized", "", "no"),
        2 => answer_with(head, wire, "500 Broken", "", "no"),
        _ => ok(head, wire),
    });
    // A POST is not sent twice.
    assert_eq!(site.ask("POST", "/v2/team/app/blobs/uploads/", "").0.status(), 502);
    assert_eq!(site.get().0.status(), 502);
    assert_eq!(site.get().0.status(), 500);
    assert_eq!(site.get().0.status(), 200);
}

#[test]
fn public_routes_count_too() {
    let rest = "[[route]]\nprefix = \"/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n\
        [[route]]\nprefix = \"/files/\"\nupstream = \"registry\"\nauth = \"public\"\n";
    let (site, visits) = attended(&Setup { rest, ..ONE });
    let mut public = site.connect();
    public.send(format!("GET /files/a HTTP/1.1\r\nHost: {}\r\n\r\n", site.gateway.host()));
    let visit = next(&visits);
    is_busy(&mut get(&site, ALICE, "refused"), "7");
    visit.answer();
    assert_eq!(public.reply().0.status(), 200);
}

#[test]
fn health_probes_do_not_wait() {
    let (site, visits) = attended(&ONE);
    let mut holder = get(&site, ALICE, "holder");
    let visit = next(&visits);
    site.upstream.fail_probes();
    until("a probe gets past the request", LIMIT, || {
        let reply = Request::new(site.gateway.admin, "GET", "/readyz").send();
        (reply.status == 503).then_some(())
    });
    visit.answer();
    assert_eq!(holder.reply().0.status(), 200);
}

#[test]
fn all_workers_share_one_bound() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let setup = Setup { server: "workers = 2", upstream: "max_concurrent = 2", ..SETUP };
    let site = Site::with(&setup, move |head, wire| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        wire.body(head);
        now.fetch_sub(1, Ordering::SeqCst);
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        Then::Keep
    });
    std::thread::scope(|scope| {
        for client in 0..16 {
            let site = &site;
            scope.spawn(move || {
                for _ in 0..10 {
                    let status = if client % 2 == 0 {
                        site.ask("GET", &blob(), "").0.status()
                    } else {
                        site.ask_with("PATCH", UPLOAD, "", "bytes").0.status()
                    };
                    assert_eq!(status, 200);
                }
            });
        }
    });
    assert_eq!(site.upstream.heads().len(), 160);
    assert!(most.load(Ordering::SeqCst) <= 2, "{} at once", most.load(Ordering::SeqCst));
}
