//! `chunk_uploads` and `verify_digests`: what breaks off never looks whole, and what does not fit its digest never ends.

use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::site::{DIGEST, SETUP, Setup, Site, UPLOAD};
use crate::support::digest;
use crate::upstream::Then;
use crate::wire::{Body, Head, LIMIT, Wire};

pub(crate) const BOTH: Setup =
    Setup { upstream: "credentials = \"identity\"\nchunk_uploads = true\nverify_digests = true", ..SETUP };
const CHUNKED: Setup = Setup { upstream: "credentials = \"identity\"\nchunk_uploads = true", ..SETUP };
const VERIFIED: Setup = Setup { upstream: "credentials = \"identity\"\nverify_digests = true", ..SETUP };

const CONTENT: &str = "the content of a blob";

/// A site that reports each request with its body, and answers whole ones with 201.
fn recording(setup: &Setup) -> (Site, Receiver<(Head, Body)>) {
    let (sent, received) = channel();
    let site = Site::with(setup, move |head, wire| {
        let body = wire.body(head);
        let whole = body.whole;
        sent.send((head.clone(), body)).unwrap();
        if !whole {
            // Whatever this says of a broken body.
            let _ = wire.try_send("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
            return Then::Close;
        }
        wire.send("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
        Then::Keep
    });
    (site, received)
}

/// A body of `pieces`, in either framing.
fn framed(pieces: &[&str], chunked: bool) -> String {
    let all = pieces.concat();
    if !chunked {
        return format!("Content-Length: {}\r\n\r\n{all}", all.len());
    }
    let mut body = String::from("Transfer-Encoding: chunked\r\n\r\n");
    for piece in pieces {
        let _ = write!(body, "{:x}\r\n{piece}\r\n", piece.len());
    }
    body + "0\r\n\r\n"
}

fn send(site: &Site, method: &str, target: &str, pieces: &[&str], chunked: bool) -> (Head, Body) {
    let mut client = site.connect();
    client.send(format!("{}{}", site.begin(method, target), framed(pieces, chunked)));
    client.reply()
}

/// The requests that carry the whole of what a digest names.
fn whole(digest: &str) -> [(&'static str, String); 3] {
    [
        ("PUT", format!("{UPLOAD}?_state=x&digest={digest}")),
        ("POST", format!("/v2/team/app/blobs/uploads/?digest={digest}")),
        ("PUT", format!("/v2/team/app/manifests/{digest}")),
    ]
}

/// Asserts the answer to content that does not fit.
#[track_caller]
pub(crate) fn is_unfit((head, body): &(Head, Body), expected: &str, got: &str) {
    assert_eq!(head.status(), 400, "{head:?} {}", body.text());
    let error = &body.json()["errors"][0];
    assert_eq!(error["code"], "DIGEST_INVALID");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&format!("expected {expected}, got {got}")), "{message}");
}

/// Asserts that of all that went upstream nothing was whole; of a small body there may be nothing at all.
#[track_caller]
fn never_whole(site: Site, received: &Receiver<(Head, Body)>) {
    drop(site);
    // Ends when the last connection to the upstream has.
    for (head, body) in received {
        assert!(!body.whole, "{head:?} {body:?}");
    }
}

#[test]
fn uploads_and_manifests_go_upstream_in_chunks() {
    let (site, received) = recording(&CHUNKED);
    let content = [
        ("PATCH", UPLOAD.to_owned()),
        ("PUT", format!("{UPLOAD}?digest={DIGEST}")),
        ("POST", "/v2/team/app/blobs/uploads/".to_owned()),
        ("PUT", "/v2/team/app/manifests/v1".to_owned()),
        ("PUT", format!("/v2/team/app/manifests/{DIGEST}")),
    ];
    for (method, target) in &content {
        for chunked in [false, true] {
            let (head, _) = send(&site, method, target, &["the ", "content"], chunked);
            assert_eq!(head.status(), 201);
            let (head, body) = received.recv_timeout(LIMIT).unwrap();
            assert_eq!((head.get("transfer-encoding"), head.get("content-length")), (Some("chunked"), None));
            assert_eq!((body.text().as_str(), body.whole), ("the content", true), "{method} {target}");
        }
        let (head, _) = site.ask(method, target, "Content-Length: 0\r\n");
        assert_eq!(head.status(), 201);
        let (head, _) = received.recv_timeout(LIMIT).unwrap();
        assert_eq!((head.get("transfer-encoding"), head.get("content-length")), (None, Some("0")));
    }
    let signature = format!("/extensions/v2/team/app/signatures/{DIGEST}");
    let extensions = "[[route]]\nprefix = \"/extensions/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n";
    let (site, received) = recording(&Setup { rest: extensions, ..CHUNKED });
    send(&site, "PUT", &signature, &["{}"], false);
    assert_eq!(received.recv_timeout(LIMIT).unwrap().0.get("content-length"), Some("2"), "no content of a registry");
    let (site, received) = recording(&VERIFIED);
    send(&site, "PATCH", UPLOAD, &["content"], false);
    assert_eq!(received.recv_timeout(LIMIT).unwrap().0.get("content-length"), Some("7"), "not asked for");
}

#[test]
fn what_the_client_breaks_off_has_no_last_chunk() {
    for setup in [&CHUNKED, &BOTH] {
        for (method, target) in whole(&digest(CONTENT.as_bytes())) {
            for reset in [false, true] {
                let (site, received) = recording(setup);
                let mut client = site.connect();
                let framing = format!("Content-Length: {}\r\n\r\n", CONTENT.len());
                client.send(format!("{}{framing}{}", site.begin(method, &target), &CONTENT[..9]));
                crate::support::until("the request comes", LIMIT, || (!site.upstream.heads().is_empty()).then_some(()));
                client.leave(reset);
                let (head, body) = received.recv_timeout(LIMIT).unwrap();
                assert_eq!(head.get("transfer-encoding"), Some("chunked"));
                assert!(!body.whole, "{method} {target} {body:?}");
            }
        }
    }
}

#[test]
fn content_that_fits_its_digest_passes() {
    let sha512 = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                  2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    for setup in [&BOTH, &VERIFIED] {
        let (site, received) = recording(setup);
        for (name, pieces) in
            [(digest(CONTENT.as_bytes()), vec![&CONTENT[..5], &CONTENT[5..]]), (sha512.into(), vec!["abc"])]
        {
            for (method, target) in whole(&name) {
                for chunked in [false, true] {
                    let (head, _) = send(&site, method, &target, &pieces, chunked);
                    let (_, body) = received.recv_timeout(LIMIT).unwrap();
                    assert_eq!((head.status(), body.text(), body.whole), (201, pieces.concat(), true), "{target}");
                }
            }
        }
    }
}

#[test]
fn content_that_does_not_fit_its_digest_never_ends() {
    let expected = digest(CONTENT.as_bytes());
    for setup in [&BOTH, &VERIFIED] {
        let (site, received) = recording(setup);
        for (method, target) in whole(&expected) {
            for chunked in [false, true] {
                for bad in ["the content of a blot", "the content of a blo", "the content of a blob!"] {
                    let reply = send(&site, method, &target, &[&bad[..4], &bad[4..]], chunked);
                    is_unfit(&reply, &expected, &digest(bad.as_bytes()));
                }
            }
        }
        site.wait_for_log("the content does not fit its digest");
        never_whole(site, &received);
    }
}

#[test]
fn a_large_body_that_does_not_fit_is_answered_all_the_same() {
    let content = "x".repeat(8 << 20);
    let expected = digest(&content.as_bytes()[1..]);
    let (site, received) = recording(&BOTH);
    for (method, target) in whole(&expected) {
        let reply = send(&site, method, &target, &[&content], false);
        is_unfit(&reply, &expected, &digest(content.as_bytes()));
    }
    assert_eq!(site.upstream.heads().len(), 3, "so much is sent as it comes");
    never_whole(site, &received);
}

#[test]
fn the_last_piece_is_withheld_until_the_end_is_there() {
    let (sent, received) = channel();
    let site = Site::with(&BOTH, move |_, wire| {
        while let Some(chunk) = wire.chunk() {
            sent.send(String::from_utf8(chunk).unwrap()).unwrap();
        }
        Then::Close
    });
    let mut client = site.connect();
    let target = format!("{UPLOAD}?digest={}", digest(b"onetwo"));
    client.send(format!("{}Transfer-Encoding: chunked\r\n\r\n", site.begin("PUT", &target)));
    client.send_chunk(b"one");
    assert!(received.recv_timeout(Duration::from_millis(200)).is_err(), "it could be the last");
    client.send_chunk(b"two");
    assert_eq!(received.recv_timeout(LIMIT).unwrap(), "one");
    assert!(received.recv_timeout(Duration::from_millis(200)).is_err(), "it is the last");
    client.send("0\r\n\r\n");
    assert_eq!(received.recv_timeout(LIMIT).unwrap(), "two");
    assert_eq!(received.recv_timeout(LIMIT).unwrap(), "", "the end");
}

#[test]
fn a_client_that_moves_slowly_is_not_taken_for_one_that_stands_still() {
    let setup = Setup { server: "workers = 1\nbody_idle_timeout = \"1s\"", ..BOTH };
    let (site, received) = recording(&setup);
    let mut client = site.connect();
    let target = format!("{UPLOAD}?digest={}", digest(b"abcd"));
    client.send(format!("{}Content-Length: 4\r\n\r\n", site.begin("PUT", &target)));
    for piece in ["a", "b", "c", "d"] {
        crate::support::pause(Duration::from_millis(600));
        client.send(piece);
    }
    assert_eq!(client.reply().0.status(), 201);
    assert!(received.recv_timeout(LIMIT).unwrap().1.whole);
    // And one that does stand still is.
    let mut client = site.connect();
    client.send(format!("{}Content-Length: 4\r\n\r\nabc", site.begin("PUT", &target)));
    assert_eq!(client.reply().0.status(), 408);
    assert!(!received.recv_timeout(LIMIT).unwrap().1.whole);
}

#[test]
fn nothing_has_the_digest_of_nothing() {
    let (site, received) = recording(&BOTH);
    for (method, target) in whole(DIGEST) {
        assert_eq!(site.ask(method, &target, "Content-Length: 0\r\n").0.status(), 201);
        assert_eq!(received.recv_timeout(LIMIT).unwrap().0.get("content-length"), Some("0"));
        assert_eq!(send(&site, method, &target, &[], true).0.status(), 201);
        assert!(received.recv_timeout(LIMIT).unwrap().1.whole);
    }
    let expected = digest(CONTENT.as_bytes());
    let (site, received) = recording(&BOTH);
    for (method, target) in whole(&expected) {
        let reply = site.ask(method, &target, "Content-Length: 0\r\n");
        is_unfit(&reply, &expected, DIGEST);
        let hinted = reply.1.text().contains("the Location that the last PATCH was answered with");
        assert_eq!(hinted, target.contains("5b2c3d"), "{}", reply.1.text());
    }
    assert!(site.upstream.heads().is_empty(), "nothing is sent");
    for (method, target) in whole(&expected) {
        is_unfit(&send(&site, method, &target, &[], true), &expected, DIGEST);
    }
    never_whole(site, &received);
}

#[test]
fn digests_that_cannot_be_computed_are_refused() {
    let name = format!("sha384:{}", "0".repeat(96));
    let (site, _received) = recording(&BOTH);
    for (method, target) in whole(&name) {
        for chunked in [false, true] {
            let (head, body) = send(&site, method, &target, &["content"], chunked);
            assert_eq!((head.status(), head.get("connection")), (400, Some("close")));
            let error = &body.json()["errors"][0];
            assert_eq!(error["code"], "DIGEST_INVALID");
            assert!(error["message"].as_str().unwrap().contains("sha384"), "{error}");
        }
    }
    assert!(site.upstream.heads().is_empty());
    let (site, _received) = recording(&CHUNKED);
    assert_eq!(send(&site, "PUT", &whole(&name)[0].1, &["content"], false).0.status(), 201);
}

/// An upstream that answers after the first byte, and then reads on or closes.
fn early(answer: &str, reads: bool) -> Site {
    let answer = format!("HTTP/1.1 {answer}");
    Site::with(&BOTH, move |_, wire| {
        wire.chunk();
        wire.send(&answer);
        if reads {
            while wire.chunk().is_some_and(|chunk| !chunk.is_empty()) {}
        }
        Then::Close
    })
}

/// Begins an upload of two pieces, and ends it when the upstream has got one.
fn in_two_pieces(site: &Site, content: &str) -> (Wire, String) {
    let mut client = site.connect();
    let target = format!("{UPLOAD}?digest={}", digest(CONTENT.as_bytes()));
    client.send(format!("{}Transfer-Encoding: chunked\r\n\r\n", site.begin("PUT", &target)));
    client.send_chunk(&content.as_bytes()[..5]);
    client.send_chunk(&content.as_bytes()[5..]);
    (client, target)
}

#[test]
fn an_early_refusal_of_the_upstream_is_passed_on() {
    for status in ["403 Forbidden", "404 Not Found", "413 Payload Too Large", "500 Broken", "202 Accepted"] {
        for reads in [false, true] {
            let site = early(&format!("{status}\r\ncontent-length: 5\r\n\r\nearly"), reads);
            let (mut client, _) = in_two_pieces(&site, CONTENT);
            let (head, body) = client.reply();
            assert!(status.starts_with(&head.status().to_string()), "{status} {head:?}");
            assert_eq!(body.text(), "early");
        }
    }
}

#[test]
fn an_early_success_counts_only_with_the_verdict() {
    for _ in 0..3 {
        for answer in ["content-length: 0\r\n\r\n", "content-length: 2\r\n\r\nok"] {
            for (content, status) in [(CONTENT, 201), ("the content of a blot", 400)] {
                let site = early(&format!("201 Created\r\n{answer}"), true);
                let (mut client, _) = in_two_pieces(&site, content);
                // Time for the answer to come first; whatever comes first, this holds.
                crate::support::pause(Duration::from_millis(100));
                client.send("0\r\n\r\n");
                assert_eq!(client.reply().0.status(), status, "{content} {answer:?}");
            }
            // Where the upstream has closed before the end was there, nobody knows what it has stored.
            let site = early(&format!("201 Created\r\n{answer}"), false);
            let (mut client, _) = in_two_pieces(&site, "the content of a blot");
            client.send("0\r\n\r\n");
            assert!([400, 502].contains(&client.reply().0.status()), "{answer:?}");
        }
    }
}

#[test]
fn what_does_not_fit_never_ends_whatever_was_answered_before() {
    let (sent, received) = channel();
    let site = Site::with(&BOTH, move |_, wire| {
        wire.chunk();
        wire.send("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
        sent.send(wire.read_to_end().0).unwrap();
        Then::Close
    });
    for leaves in [false, true] {
        let (mut client, _) = in_two_pieces(&site, "the content of a blot");
        // Time for the answer to come first; whatever comes first, this holds.
        crate::support::pause(Duration::from_millis(100));
        if leaves {
            client.leave(false);
        } else {
            client.send("0\r\n\r\n");
            assert_eq!(client.reply().0.status(), 400);
        }
        let rest = received.recv_timeout(LIMIT).unwrap();
        assert!(!String::from_utf8_lossy(&rest).contains("0\r\n\r\n"), "leaves {leaves}: {rest:?}");
    }
}

#[test]
fn a_success_without_the_body_is_none() {
    let setup = Setup { server: "workers = 1\nbody_idle_timeout = \"500ms\"", ..BOTH };
    let site = Site::with(&setup, |_, wire| {
        wire.chunk();
        wire.send("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
        wire.read_to_end();
        Then::Close
    });
    // The client never comes to its end.
    let (mut client, _) = in_two_pieces(&site, CONTENT);
    assert_eq!(client.reply().0.status(), 408);
}
