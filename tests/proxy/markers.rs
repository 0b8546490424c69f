//! The marker in the `Location` of an upload that has begun with a PATCH: it holds at every replica, and nobody can make one.

use std::sync::mpsc::{Receiver, channel};

use tempfile::TempDir;

use crate::site::{ALICE, SETUP, Setup, Site, UPLOAD, start};
use crate::support::digest;
use crate::support::gateway::Gateway;
use crate::uploads::{BOTH, is_unfit};
use crate::upstream::Then;
use crate::wire::{Body, Head, LIMIT, Wire, basic};

const CONTENT: &[u8] = b"the whole content";

/// With a key that other gateways can have too.
const SHARED: Setup = Setup {
    token: concat!("keys = [\"", env!("CARGO_MANIFEST_DIR"), "/src/keys/fixtures/ed25519-pkcs8.pem\"]"),
    ..BOTH
};
/// With another key, which verifies the old one's tokens too.
const ROTATED: Setup = Setup {
    token: concat!(
        "keys = [\"",
        env!("CARGO_MANIFEST_DIR"),
        "/src/keys/fixtures/ec-pkcs8.pem\", \"",
        env!("CARGO_MANIFEST_DIR"),
        "/src/keys/fixtures/ed25519-pkcs8.pem\"]"
    ),
    ..BOTH
};

/// A site whose upstream answers each step of an upload as registries do, with `location` (`{port}`: its own), and reports it.
fn registry(setup: &Setup, location: &'static str) -> (Site, Receiver<(Head, Body)>) {
    let (sent, received) = channel();
    let site = Site::with(setup, move |head, wire| {
        let body = wire.body(head);
        let whole = body.whole;
        sent.send((head.clone(), body)).unwrap();
        let status = match head.method() {
            _ if !whole => return Then::Close,
            "PATCH" if head.target().contains("refused") => "416 Range Not Satisfiable",
            "POST" | "PATCH" => "202 Accepted",
            "GET" | "HEAD" | "DELETE" => "204 No Content",
            _ => "201 Created",
        };
        let location = location.replace("{host}", head.get("host").unwrap());
        let length = if status.starts_with("204") { "" } else { "content-length: 0\r\n" };
        wire.send(format!("HTTP/1.1 {status}\r\nlocation: {location}\r\nrange: 0-6\r\n{length}\r\n"));
        Then::Keep
    });
    (site, received)
}

/// Asks a gateway as alice; the answer's head, and its body.
fn ask(gateway: &Gateway, method: &str, target: &str, body: &[u8]) -> (Head, Body) {
    let (host, authorization) = (gateway.host(), basic(ALICE));
    let mut client = Wire::connect(gateway.port);
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n");
    client.send(format!("{head}Content-Length: {}\r\n\r\n", body.len()));
    client.send(body);
    let head = client.head();
    let body = if method == "HEAD" { Body::default() } else { client.body(&head) };
    (head, body)
}

/// The `Location` of the answer to a request.
#[track_caller]
fn location(gateway: &Gateway, method: &str, target: &str, body: &[u8]) -> String {
    let (head, _) = ask(gateway, method, target, body);
    head.get("location").unwrap_or_else(|| panic!("{head:?}")).to_owned()
}

fn closing(location: &str, separator: char) -> String {
    let path = location.find("/v2/").map_or(location, |at| &location[at..]);
    format!("{path}{separator}digest={}", digest(CONTENT))
}

fn another(setup: &Setup, site: &Site) -> (Gateway, TempDir) {
    start(setup, site.upstream.port)
}

#[test]
fn the_put_after_a_patch_is_the_upstreams_to_judge_at_every_replica() {
    for (sent, query) in [
        (UPLOAD, ""),
        ("http://{host}/v2/team/app/blobs/uploads/5b2c3d?_state=a+b", "&_state=a%20b"),
        ("/v2/team/app/blobs/uploads/5b2c3d?_state=s&n=1", "&_state=s&n=1"),
        ("5b2c3d", ""),
    ] {
        let (site, received) = registry(&SHARED, sent);
        let (replica, _dir) = another(&SHARED, &site);
        let (rotated, _dir) = another(&ROTATED, &site);
        let marked = location(&site.gateway, "PATCH", UPLOAD, &CONTENT[..7]);
        assert!(marked.contains("tidegate-patched="), "{marked}");
        let marked = if sent == "5b2c3d" { format!("/v2/team/app/blobs/uploads/{marked}") } else { marked };
        received.recv_timeout(LIMIT).unwrap();
        for gateway in [&site.gateway, &replica, &rotated] {
            for (separator, body) in [('&', &CONTENT[7..]), ('?', b"")] {
                if separator == '?' && !query.is_empty() {
                    continue;
                }
                let (head, _) = ask(gateway, "PUT", &closing(&marked, separator), body);
                let (seen, whole) = received.recv_timeout(LIMIT).unwrap();
                assert_eq!((head.status(), whole.bytes.as_slice(), whole.whole), (201, body, true), "{marked}");
                assert_eq!(seen.target(), format!("{UPLOAD}?digest={}{query}", digest(CONTENT)));
            }
        }
    }
}

#[test]
fn a_marked_session_stays_marked_and_others_are_not() {
    let (site, received) = registry(&SHARED, UPLOAD);
    for (method, target) in [("POST", "/v2/team/app/blobs/uploads/"), ("GET", UPLOAD), ("HEAD", UPLOAD)] {
        assert_eq!(location(&site.gateway, method, target, b""), UPLOAD, "{method}");
    }
    let marked = location(&site.gateway, "PATCH", UPLOAD, &CONTENT[..7]);
    for method in ["GET", "HEAD", "PATCH"] {
        let body: &[u8] = if method == "PATCH" { b"more" } else { b"" };
        assert_eq!(location(&site.gateway, method, &marked, body), marked, "{method}");
    }
    let refused = marked.replace("5b2c3d", "refused");
    let unmarked = location(&site.gateway, "PATCH", &refused, b"more");
    assert_eq!(unmarked, UPLOAD, "the marker of another session, and a PATCH that was not accepted");
    // The PUT's Location is the blob's.
    assert_eq!(location(&site.gateway, "PUT", &closing(&marked, '&'), b""), UPLOAD);
    drop(site);
    for (head, _) in received {
        assert!(!head.target().contains("tidegate"), "{head:?}");
    }
}

#[test]
fn nobody_can_make_a_marker() {
    let (site, received) = registry(&SHARED, UPLOAD);
    let other_keys = Setup { token: "", ..BOTH };
    let (foreign, _dir) = another(&other_keys, &site);
    let marked = location(&site.gateway, "PATCH", UPLOAD, &CONTENT[..7]);
    let foreign_mark = location(&foreign, "PATCH", UPLOAD, &CONTENT[..7]);
    let tag = &marked[marked.find('=').unwrap() + 1..];
    for target in [
        UPLOAD.to_owned(),
        foreign_mark,
        marked.replace("5b2c3d", "5b2c3e"),
        marked.replace("team/app", "team/other"),
        marked.replace(tag, ""),
        marked.replace(tag, &"A".repeat(43)),
        marked.replace(tag, &tag[..42]),
        format!("{marked}A"),
        format!("{marked}&tidegate-patched={tag}"),
        marked.replace("tidegate-patched", "Tidegate-Patched"),
    ] {
        let expected = digest(CONTENT);
        let reply =
            ask(&site.gateway, "PUT", &closing(&target, if target.contains('?') { '&' } else { '?' }), b"false");
        is_unfit(&reply, &expected, &digest(b"false"));
    }
    drop(site);
    for (head, body) in received {
        assert!(!body.whole || head.method() == "PATCH", "{head:?}");
        assert!(!head.target().contains("tidegate-patched"), "{head:?}");
    }
}

#[test]
fn a_client_that_goes_past_the_marker_hears_how_to_do_it() {
    let (site, _received) = registry(&SHARED, UPLOAD);
    ask(&site.gateway, "PATCH", UPLOAD, CONTENT);
    let reply = ask(&site.gateway, "PUT", &closing(UPLOAD, '?'), b"");
    is_unfit(&reply, &digest(CONTENT), &digest(b""));
    assert!(reply.1.text().contains("must go to the Location that the last PATCH was answered with"));
    // With all of the content in the PUT there is nothing that it could get wrong.
    assert_eq!(ask(&site.gateway, "PUT", &closing(UPLOAD, '?'), CONTENT).0.status(), 201);
}

#[test]
fn a_patch_without_bytes_appends_nothing_and_marks_nothing() {
    let (site, received) = registry(&SHARED, UPLOAD);
    let (head, _) = ask(&site.gateway, "PATCH", UPLOAD, b"");
    assert_eq!((head.status(), head.get("location"), head.get("range")), (202, Some(UPLOAD), Some("0-6")));
    assert_eq!(received.recv_timeout(LIMIT).unwrap().0.method(), "GET", "the upstream is asked how far it is");
    let marked = location(&site.gateway, "PATCH", UPLOAD, b"x");
    assert_eq!(location(&site.gateway, "PATCH", &marked, b""), marked);

    let mut client = site.connect();
    client.send(format!("{}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", site.begin("PATCH", UPLOAD)));
    let (head, body) = client.reply();
    assert_eq!((head.status(), body.json()["errors"][0]["code"].as_str()), (400, Some("BLOB_UPLOAD_INVALID")));
    drop((client, site));
    for (head, body) in received {
        assert!(head.method() != "PATCH" || !body.whole || !body.bytes.is_empty(), "{head:?}");
    }
}

#[test]
fn without_verification_nothing_is_marked_and_a_marker_goes_nowhere() {
    let (site, received) = registry(&SETUP, UPLOAD);
    for body in [b"" as &[u8], b"x"] {
        assert_eq!(location(&site.gateway, "PATCH", &format!("{UPLOAD}?tidegate-patched=x"), body), UPLOAD);
        let (head, _) = received.recv_timeout(LIMIT).unwrap();
        assert_eq!((head.method(), head.target()), ("PATCH", UPLOAD));
    }
}
