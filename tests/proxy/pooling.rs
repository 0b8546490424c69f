//! Which connection to the upstream a request takes, and when a request may be sent twice.

use std::sync::mpsc::channel;

use crate::site::{DIGEST, SETUP, Setup, Site, UPLOAD, blob};
use crate::upstream::{Then, ok};
use crate::wire::LIMIT;

fn connections(site: &Site) -> Vec<usize> {
    site.upstream.heads().iter().map(|head| head.connection).collect()
}

#[test]
fn a_connection_is_used_again_for_other_requests_and_clients() {
    let site = Site::new(ok);
    for _ in 0..3 {
        site.get();
        site.ask("HEAD", &blob(), "");
        site.ask_with("PATCH", UPLOAD, "", "bytes");
    }
    assert_eq!(connections(&site), [0; 9]);
}

#[test]
fn without_a_pool_each_request_has_its_own_connection() {
    let site = Site::with(&Setup { upstream: "pool = false", ..SETUP }, ok);
    for _ in 0..3 {
        assert_eq!(site.get().0.status(), 200);
    }
    assert_eq!(connections(&site), [0, 1, 2]);
    site.upstream.wait_for_ends(3);
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let site = Site::with(&Setup { upstream: "pool_idle_timeout = \"100ms\"", ..SETUP }, ok);
    assert_eq!(site.get().0.status(), 200);
    site.upstream.wait_for_ends(1);
    assert_eq!(site.get().0.status(), 200);
    assert_eq!(connections(&site), [0, 1]);
}

#[test]
fn an_upstream_that_says_close_gets_a_new_connection() {
    let site = Site::new(|head, wire| {
        wire.body(head);
        // It goes on to listen on the old one: taking it at its word is what counts.
        wire.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
        Then::Keep
    });
    for _ in 0..3 {
        let (head, body) = site.get();
        assert_eq!((head.status(), body.text().as_str()), (200, "ok"));
        assert_ne!(head.get("connection"), Some("close"), "that was between gateway and upstream");
    }
    assert_eq!(connections(&site), [0, 1, 2]);
}

#[test]
fn an_http_1_0_upstream_works() {
    let site = Site::new(|head, wire| {
        wire.body(head);
        wire.send("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok");
        Then::Close
    });
    for _ in 0..3 {
        let (head, body) = site.get();
        assert_eq!((head.start.as_str(), body.text().as_str()), ("HTTP/1.1 200 OK", "ok"));
    }
}

/// Answers the first request of the first connection, and closes all others without any answer, except on connection `good`.
fn stale(good: usize) -> Site {
    Site::new(move |head, wire| {
        let first = head.connection == 0 && head.method() == "HEAD";
        if first || head.connection == good {
            return ok(head, wire);
        }
        wire.body(head);
        Then::Close
    })
}

#[test]
fn a_get_on_a_stale_connection_is_sent_once_more() {
    let site = stale(1);
    assert_eq!(site.ask("HEAD", &blob(), "").0.status(), 200);
    let (head, body) = site.get();
    assert_eq!((head.status(), body.text().as_str()), (200, "ok"));
    assert_eq!(connections(&site), [0, 0, 1]);
    let heads = site.upstream.heads();
    assert_eq!((&heads[1].start, &heads[1].headers), (&heads[2].start, &heads[2].headers));
}

#[test]
fn a_get_is_never_sent_three_times() {
    let site = stale(9);
    assert_eq!(site.ask("HEAD", &blob(), "").0.status(), 200);
    assert_eq!(site.get().0.status(), 502);
    assert_eq!(connections(&site), [0, 0, 1]);
}

#[test]
fn a_get_on_a_fresh_connection_is_not_repeated() {
    let site = stale(9);
    assert_eq!(site.get().0.status(), 502);
    assert_eq!(connections(&site), [0]);
}

#[test]
fn what_writes_is_never_sent_twice() {
    let closing = format!("{UPLOAD}?digest={DIGEST}");
    for (method, target, body) in [
        ("POST", "/v2/team/app/blobs/uploads/", ""),
        ("PUT", closing.as_str(), ""),
        ("PUT", closing.as_str(), "bytes"),
        ("PATCH", UPLOAD, "bytes"),
        ("PUT", "/v2/team/app/manifests/v1", "{}"),
        ("DELETE", "/v2/team/app/manifests/v1", ""),
    ] {
        let site = stale(1);
        assert_eq!(site.ask("HEAD", &blob(), "").0.status(), 200);
        assert_eq!(site.ask_with(method, target, "", body).0.status(), 502, "{method} {target}");
        assert_eq!(connections(&site), [0, 0], "{method} {target}");
    }
}

#[test]
fn a_connection_that_the_upstream_has_closed_is_not_used() {
    let site = Site::new(|head, wire| {
        ok(head, wire);
        // Closing alone would not end it at once: a process that another test is just starting may hold the socket too.
        wire.finish();
        Then::Close
    });
    for round in 1..=20 {
        let (head, _) = site.ask_with("PATCH", UPLOAD, "", "bytes");
        assert_eq!(head.status(), 200, "round {round}");
        site.upstream.wait_for_ends(round);
    }
    assert_eq!(site.upstream.connections(), 20);
}

#[test]
fn what_follows_an_answer_is_not_the_next_answer() {
    let (sent, all_sent) = channel();
    let site = Site::new(move |head, wire| {
        wire.body(head);
        if head.connection == 0 {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
            sent.send(()).unwrap();
            return Then::Keep;
        }
        ok(head, wire)
    });
    assert_eq!(site.get().1.text(), "ok");
    // What comes after the next request has been sent, nobody can tell from its answer.
    all_sent.recv_timeout(LIMIT).unwrap();
    for _ in 0..2 {
        assert_eq!(site.get().1.text(), "ok");
    }
}

#[test]
fn what_comes_with_an_answer_is_not_the_next_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    ] {
        let site = Site::new(move |head, wire| {
            wire.body(head);
            if head.connection == 0 {
                wire.send(answer);
                return Then::Keep;
            }
            ok(head, wire)
        });
        for _ in 0..3 {
            assert_eq!(site.get().1.text(), "ok");
        }
    }
}

#[test]
fn the_body_of_an_answer_to_head_is_not_the_next_answer() {
    let site = Site::new(|head, wire| {
        wire.body(head);
        if head.method() == "HEAD" {
            let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{evil}", evil.len()));
            return Then::Keep;
        }
        ok(head, wire)
    });
    for _ in 0..3 {
        assert_eq!(site.ask("HEAD", &blob(), "").0.status(), 200);
        assert_eq!(site.get().1.text(), "ok");
    }
}
