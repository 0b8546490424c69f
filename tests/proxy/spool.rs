//! `spool`: request bodies go upstream when they are whole, and not before.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use crate::site::{SETUP, Setup, Site, UPLOAD};
use crate::support::random;
use crate::upstream::ok;
use crate::wire::{Body, LIMIT, Wire};

const SPOOL: Setup = Setup { upstream: "spool = { memory = \"4KiB\" }\nmax_concurrent = 1\nqueue = 0", ..SETUP };

/// An upstream that answers `ok` and hands on the bodies that it got.
fn collecting(setup: &Setup) -> (Site, Receiver<Body>) {
    let (came, bodies) = channel();
    let came = Mutex::new(came);
    let site = Site::with(setup, move |head, wire| {
        let body = wire.body(head);
        came.lock().unwrap().send(body).unwrap();
        let sent = wire.try_send("HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok");
        if sent.is_ok() { crate::upstream::Then::Keep } else { crate::upstream::Then::Close }
    });
    (site, bodies)
}

/// The head of a PATCH of alice's with further header lines.
fn patch(site: &Site, headers: &str) -> String {
    format!("{}{headers}\r\n", site.begin("PATCH", UPLOAD))
}

/// Gives what was sent before the time of two answers to do what it should not.
fn settle(site: &Site) {
    for _ in 0..2 {
        assert_eq!(site.ask("GET", "/v2/", "").0.status(), 200);
    }
}

#[test]
fn the_upstream_sees_one_fast_request_of_a_slow_client() {
    let bytes = random(300_000);
    for chunked in [false, true] {
        let (site, bodies) = collecting(&SPOOL);
        let mut client = site.connect();
        let length = format!("Content-Length: {}\r\n", bytes.len());
        let framing = if chunked { "Transfer-Encoding: chunked\r\n" } else { &length };
        client.send(patch(&site, &format!("{framing}Expect: 100-continue\r\n")));
        assert_eq!(client.head().status(), 100, "it is the gateway that asks for the body");
        for piece in bytes.chunks(50_000) {
            if chunked {
                client.send_chunk(piece);
            } else {
                settle(&site);
                assert!(site.upstream.heads().is_empty(), "the upstream hears of it before it is whole");
                client.send(piece);
            }
        }
        if chunked {
            settle(&site);
            assert!(site.upstream.heads().is_empty(), "the upstream hears of it before it is whole");
            client.send("0\r\nX-Trailer: 1\r\n\r\n");
        }
        let body = bodies.recv_timeout(LIMIT).unwrap();
        assert!(body.whole && body.bytes == bytes && body.trailers.is_empty());
        assert_eq!(client.reply().0.status(), 202);
        let head = site.upstream.only();
        assert_eq!(head.get("content-length"), Some(bytes.len().to_string().as_str()), "its length is known");
        assert_eq!((head.get("transfer-encoding"), head.get("expect")), (None, None));
        site.wait_for_log(&format!("\"bytes_in\":{}", bytes.len()));
        // The connection can be used again.
        client.send(patch(&site, "Content-Length: 5\r\n") + "bytes");
        assert_eq!(client.reply().0.status(), 202);
        assert_eq!(bodies.recv_timeout(LIMIT).unwrap().bytes, b"bytes");
        assert_eq!(site.upstream.connections(), 1);
        let directory = site.dir.path().join("state/spool");
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "nothing is left behind");
    }
}

#[test]
fn a_slow_client_takes_nobody_s_turn() {
    let (site, bodies) = collecting(&SPOOL);
    let mut slow = site.connect();
    site.judged(|| slow.send(patch(&site, "Content-Length: 10\r\n") + "slow "));
    // There is one place, and no queue.
    for _ in 0..3 {
        assert_eq!(site.ask_with("PATCH", UPLOAD, "", "fast").0.status(), 202);
        assert_eq!(bodies.recv_timeout(LIMIT).unwrap().bytes, b"fast");
    }
    slow.send("bytes");
    assert_eq!(slow.reply().0.status(), 202);
    assert_eq!(bodies.recv_timeout(LIMIT).unwrap().bytes, b"slow bytes");
}

#[test]
fn a_body_that_breaks_off_never_reaches_the_upstream() {
    for (headers, sent) in [
        ("Content-Length: 100000\r\n", "x".repeat(50_000)),
        ("Transfer-Encoding: chunked\r\n", "5\r\nbytes\r\n".into()),
    ] {
        for reset in [false, true] {
            let (site, _bodies) = collecting(&SPOOL);
            let mut client = site.connect();
            site.judged(|| client.send(patch(&site, headers) + &sent));
            settle(&site);
            if reset {
                client.leave(true);
            } else {
                client.finish();
                let (head, body) = client.reply();
                assert_eq!((head.status(), head.get("connection")), (400, Some("close")));
                assert_eq!(body.json()["errors"][0]["message"], "the request body broke off");
            }
            site.wait_for_log(UPLOAD);
            settle(&site);
            assert!(site.upstream.heads().is_empty());
        }
    }
}

#[test]
fn a_body_that_stands_still_is_given_up() {
    let setup = Setup { server: "workers = 1\nbody_idle_timeout = \"200ms\"", ..SPOOL };
    let (site, _bodies) = collecting(&setup);
    let mut client = site.connect();
    client.send(patch(&site, "Content-Length: 10\r\n") + "slow ");
    let (head, body) = client.reply();
    assert_eq!((head.status(), head.get("connection")), (408, Some("close")), "{}", body.text());
    site.wait_for_log("the client sent no more of the request body for 200ms");
    assert!(site.upstream.heads().is_empty());
}

#[test]
fn no_more_is_kept_than_may_be() {
    let setup = Setup { upstream: "spool = { memory = \"4KiB\", limit = \"10KiB\" }", ..SETUP };
    let (site, bodies) = collecting(&setup);
    let is_too_long = |client: &mut Wire| {
        let (head, body) = client.reply();
        assert_eq!((head.status(), head.get("connection")), (413, Some("close")));
        assert_eq!(body.json()["errors"][0]["code"], "SIZE_INVALID");
    };
    let mut client = site.connect();
    // It is told from the length alone, and nobody is asked to send it.
    client.send(patch(&site, "Content-Length: 10241\r\nExpect: 100-continue\r\n"));
    is_too_long(&mut client);
    let mut client = site.connect();
    client.send(patch(&site, "Transfer-Encoding: chunked\r\n"));
    client.send_chunk(&[7; 6000]);
    client.send_chunk(&[7; 6000]);
    is_too_long(&mut client);
    assert!(site.upstream.heads().is_empty());
    assert_eq!(site.ask_with("PATCH", UPLOAD, "", &"x".repeat(10_240)).0.status(), 202);
    assert_eq!(bodies.recv_timeout(LIMIT).unwrap().bytes.len(), 10_240);
}

#[test]
fn what_has_no_body_is_not_kept() {
    let site = Site::with(&SPOOL, ok);
    assert_eq!(site.get().0.status(), 200);
    assert_eq!(site.ask("POST", "/v2/team/app/blobs/uploads/", "").0.status(), 200);
    assert_eq!(site.upstream.last().get("content-length"), Some("0"));
    let mut client = site.connect();
    client.send(patch(&site, "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n");
    assert_eq!(client.reply().0.status(), 200);
    let head = site.upstream.last();
    assert_eq!((head.get("content-length"), head.get("transfer-encoding")), (Some("0"), None));
}

#[test]
fn an_upstream_that_stops_to_read_is_504_and_not_the_client_s_fault() {
    let setup = Setup { server: "workers = 1\nbody_idle_timeout = \"500ms\"", ..SPOOL };
    let (done, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let site = Site::with(&setup, move |_, _| {
        let _: Result<(), _> = wait.lock().unwrap().recv_timeout(LIMIT);
        crate::upstream::Then::Close
    });
    let mut client = site.connect();
    client.send(patch(&site, &format!("Content-Length: {}\r\n", 32 << 20)));
    client.send(vec![7; 32 << 20]);
    let (head, body) = client.reply();
    assert_eq!(head.status(), 504, "{}", body.text());
    assert_eq!(head.get("connection"), None, "all of the body was read");
    drop(done);
}

#[test]
fn a_directory_that_cannot_be_made_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("gateway.toml");
    std::fs::write(dir.path().join("file"), "").unwrap();
    let text = "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://127.0.0.1:5000\"\nstate_dir = \"state\"\n\
        [[upstream]]\nname = \"a\"\nurl = \"http://127.0.0.1:1\"\nspool = { directory = \"file/spool\" }\n";
    std::fs::write(&config, text).unwrap();
    let finished = crate::support::gateway::cli(&config, &["serve", "--config", "{config}"]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("request bodies cannot be kept in"), "{}", finished.stderr);
}
