//! Transfers that break or stand still, in either direction: a broken one never looks whole, and nobody waits for ever.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use crate::site::{DIGEST, SETUP, Setup, Site, UPLOAD, blob};
use crate::upstream::{Then, ok};
use crate::wire::{Body, End, LIMIT, Wire};

/// Body time-outs short enough to wait for.
const IMPATIENT: Setup = Setup { server: "workers = 1\nbody_idle_timeout = \"500ms\"", ..SETUP };

/// A site whose upstream reports when a request's first byte has come, and what came until its end.
fn watched(setup: &Setup) -> (Site, Receiver<()>, Receiver<(Body, End)>) {
    let (start, begun) = channel();
    let (sent, received) = channel();
    let site = Site::with(setup, move |head, wire| {
        start.send(()).unwrap();
        let body = wire.body(head);
        let (rest, end) = wire.read_to_end();
        assert!(rest.is_empty());
        sent.send((body, end)).unwrap();
        Then::Close
    });
    (site, begun, received)
}

const HALVES: [(&str, &str); 2] = [("Content-Length: 10", "bytes"), ("Transfer-Encoding: chunked", "5\r\nbytes\r\n")];

#[test]
fn an_upload_that_the_client_leaves_is_never_completed() {
    let closing = format!("{UPLOAD}?digest={DIGEST}");
    for (method, target) in [("PATCH", UPLOAD), ("PUT", closing.as_str()), ("PUT", "/v2/team/app/manifests/v1")] {
        for (framing, half) in HALVES {
            for reset in [false, true] {
                let (site, begun, received) = watched(&SETUP);
                let mut client = site.connect();
                client.send(format!("{}{framing}\r\n\r\n{half}", site.begin(method, target)));
                begun.recv_timeout(LIMIT).unwrap();
                client.leave(reset);
                let (body, _) = received.recv_timeout(LIMIT).unwrap();
                assert!(!body.whole, "{method} {framing} reset {reset}: {body:?}");
            }
        }
    }
}

#[test]
fn an_upload_that_is_left_within_a_chunk_is_never_completed() {
    for part in ["5\r\nby", "5\r\nbytes", "5\r\nbytes\r\n0\r\n", "5\r\nbytes\r\nnonsense\r\n"] {
        let (site, begun, received) = watched(&SETUP);
        let mut client = site.connect();
        client.send(format!("{}Transfer-Encoding: chunked\r\n\r\n{part}", site.begin("PATCH", UPLOAD)));
        begun.recv_timeout(LIMIT).unwrap();
        client.finish();
        let (body, _) = received.recv_timeout(LIMIT).unwrap();
        assert!(!body.whole, "{part:?}: {body:?}");
    }
}

#[test]
fn a_client_that_stands_still_hears_408_and_its_upload_ends() {
    for (framing, half) in HALVES {
        let (site, _begun, received) = watched(&IMPATIENT);
        let mut client = site.connect();
        client.send(format!("{}{framing}\r\n\r\n{half}", site.begin("PATCH", UPLOAD)));
        let (head, _) = client.reply();
        assert_eq!((head.status(), head.get("connection")), (408, Some("close")), "{framing}");
        let (body, _) = received.recv_timeout(LIMIT).unwrap();
        assert_eq!((body.text().as_str(), body.whole), ("bytes", false), "{framing}");
        client.finish();
    }
}

/// An upstream that reads nothing until it is told to, and then reports what came.
fn stalled() -> (Site, Sender<()>, Receiver<Body>) {
    let (go, wait) = channel::<()>();
    let (sent, received) = channel();
    let wait = Mutex::new(wait);
    let site = Site::with(&IMPATIENT, move |head, wire| {
        let _ = wait.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(LIMIT);
        sent.send(wire.body(head)).unwrap();
        Then::Close
    });
    (site, go, received)
}

const MUCH: usize = 64 << 20;

/// Sends as much of a body of 64 MiB as the gateway takes.
fn fill(site: &Site, framing: &str, client: &mut Wire) -> std::thread::JoinHandle<()> {
    client.send(format!("{}{framing}\r\n\r\n", site.begin("PATCH", UPLOAD)));
    if framing.contains("chunked") {
        client.send(format!("{MUCH:x}\r\n"));
    }
    let mut writer = client.writer();
    std::thread::spawn(move || {
        use std::io::Write;
        let piece = vec![7; 64 * 1024];
        while writer.write_all(&piece).is_ok() {}
    })
}

#[test]
fn an_upstream_that_takes_no_more_is_given_up() {
    for framing in [format!("Content-Length: {MUCH}"), "Transfer-Encoding: chunked".into()] {
        let (site, go, received) = stalled();
        let mut client = site.connect();
        let sending = fill(&site, &framing, &mut client);
        let (head, body) = client.reply();
        assert_eq!((head.status(), head.get("connection")), (504, Some("close")), "{framing}");
        assert_eq!(body.json()["errors"][0]["code"], "UNAVAILABLE");
        drop(client);
        go.send(()).unwrap();
        assert!(!received.recv_timeout(LIMIT).unwrap().whole, "{framing}");
        drop(site);
        sending.join().unwrap();
    }
}

#[test]
fn a_client_that_leaves_behind_a_stalled_upstream_is_noticed() {
    for framing in [format!("Content-Length: {MUCH}"), "Transfer-Encoding: chunked".into()] {
        let (site, go, received) = stalled();
        let mut client = site.connect();
        let sending = fill(&site, &framing, &mut client);
        client.leave(true);
        sending.join().unwrap();
        // Its line is written when the request is given up, at the latest after the time-out.
        site.wait_for_log("upload.patch");
        go.send(()).unwrap();
        assert!(!received.recv_timeout(LIMIT).unwrap().whole, "{framing}");
    }
}

/// Sends a head and half of a body, then waits (`stall`) or ends.
fn half_answer(setup: &Setup, head: &'static str, half: &'static str, stall: bool, reset: bool) -> Site {
    Site::with(setup, move |_, wire| {
        wire.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{half}"));
        if stall {
            // Ends when the gateway closes.
            wire.read_to_end();
        } else if reset {
            socket2::SockRef::from(&wire.writer()).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
        Then::Close
    })
}

/// Asserts that what the client got cannot be taken for a whole answer.
fn is_cut(site: &Site) {
    let mut client = site.connect();
    client.send(format!("{}\r\n", site.begin("GET", &blob())));
    // When the break comes with the head, there need not be an answer at all; nor need it be a 200.
    let (bytes, end) = client.read_to_end();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(!text.contains("\r\n0\r\n"), "{text}");
    assert!(!text.ends_with("bytesbytes"), "{text}");
    assert_eq!(end, End::Reset, "a broken download ends with a reset: {text}");
    site.upstream.wait_for_ends(1);
    site.wait_for_log("blob.get");
}

const HALF_HEADS: [(&str, &str); 2] =
    [("content-length: 10", "bytes"), ("transfer-encoding: chunked", "5\r\nbytes\r\n")];

#[test]
fn a_download_that_stands_still_is_cut() {
    for (head, half) in HALF_HEADS {
        is_cut(&half_answer(&IMPATIENT, head, half, true, false));
    }
}

#[test]
fn a_download_whose_upstream_dies_is_cut() {
    for (head, half) in HALF_HEADS {
        for reset in [false, true] {
            is_cut(&half_answer(&SETUP, head, half, false, reset));
        }
    }
}

#[test]
fn a_download_with_broken_chunks_is_cut() {
    is_cut(&half_answer(&SETUP, "transfer-encoding: chunked", "5\r\nbytes\r\nnonsense\r\n", false, false));
    is_cut(&half_answer(&SETUP, "transfer-encoding: chunked", "5\r\nbytes\r\nfffffffffffffffff\r\n", false, false));
}

#[test]
fn a_body_that_only_closing_ends_is_refused() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\nwho knows whether this is all",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwho knows",
        "HTTP/1.0 200 OK\r\n\r\nwho knows",
        "HTTP/1.1 404 Not Found\r\n\r\n",
    ] {
        let site = Site::new(move |head, wire| {
            wire.body(head);
            wire.send(answer);
            Then::Close
        });
        let (head, body) = site.get();
        assert_eq!(head.status(), 502, "{answer}");
        assert_eq!(body.json()["errors"][0]["code"], "UNAVAILABLE");
        site.wait_for_log("only the end of the connection ends");
    }
}

#[test]
fn a_download_that_the_client_leaves_ends_upstream() {
    for (head, half) in HALF_HEADS {
        for reset in [false, true] {
            let site = half_answer(&SETUP, head, half, true, false);
            let mut client = site.connect();
            client.send(format!("{}\r\n", site.begin("GET", &blob())));
            client.head();
            client.leave(reset);
            site.upstream.wait_for_ends(1);
        }
    }
}

#[test]
fn a_client_that_leaves_before_the_answer_ends_its_request_upstream() {
    let (site, begun, received) = watched(&SETUP);
    for (method, target, framing) in [("GET", blob(), ""), ("PATCH", UPLOAD.to_owned(), "Content-Length: 0\r\n")] {
        let mut client = site.connect();
        client.send(format!("{}{framing}\r\n", site.begin(method, &target)));
        begun.recv_timeout(LIMIT).unwrap();
        drop(client);
        received.recv_timeout(LIMIT).unwrap();
    }
}

#[test]
fn a_client_that_does_not_read_its_download_is_given_up() {
    let site = Site::with(&IMPATIENT, move |_, wire| {
        wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n"));
        let piece = vec![7; 64 * 1024];
        while wire.try_send(&piece).is_ok() {}
        Then::Close
    });
    let mut client = site.connect();
    client.send(format!("{}\r\n", site.begin("GET", &blob())));
    client.head();
    site.upstream.wait_for_ends(1);
    let (bytes, end) = client.read_to_end();
    assert!(bytes.len() < MUCH && end == End::Reset);
}

#[test]
fn a_transfer_may_last_as_long_as_it_moves() {
    let site = Site::with(&IMPATIENT, |head, wire| {
        let body = wire.body(head);
        assert!(body.whole);
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n");
        for _ in 0..8 {
            crate::support::pause(std::time::Duration::from_millis(100));
            wire.send("x");
        }
        Then::Keep
    });
    let mut client = site.connect();
    client.send(format!("{}Content-Length: 8\r\n\r\n", site.begin("PATCH", UPLOAD)));
    for _ in 0..8 {
        crate::support::pause(std::time::Duration::from_millis(100));
        client.send("x");
    }
    let (head, body) = client.reply();
    assert_eq!((head.status(), body.text().as_str()), (200, "xxxxxxxx"));
}

#[test]
fn a_break_harms_no_other_request() {
    let site = Site::new(|head, wire| {
        if head.target().contains("uploads") {
            wire.up_to(1);
            return Then::Close;
        }
        ok(head, wire)
    });
    for _ in 0..5 {
        let mut client = site.connect();
        client.send(format!("{}Content-Length: 10\r\n\r\nbytes", site.begin("PATCH", UPLOAD)));
        drop(client);
        assert_eq!(site.get().1.text(), "ok");
    }
}
