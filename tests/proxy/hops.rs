//! What belongs to one connection ends there: hop-by-hop headers, trailers, upgrades and expectations.

use std::sync::mpsc::channel;

use crate::site::{SETUP, Setup, Site, UPLOAD, blob};
use crate::upstream::{Then, ok};
use crate::wire::LIMIT;

/// The names that RFC 9110, section 7.6.1, and custom keep to one connection.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

#[test]
fn the_client_s_connection_ends_at_the_gateway() {
    let site = Site::new(ok);
    let headers = "Connection: keep-alive, X-Nominated,x-other , upgrade, TE\r\n\
        Connection: x-third\r\n\
        X-Nominated: 1\r\nX-Other: 1\r\nX-Third: 1\r\nX-Stays: 1\r\n\
        Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\n\
        TE: trailers\r\nTrailer: X-T\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: AAMAAABk\r\n";
    assert_eq!(site.ask("GET", &blob(), headers).0.status(), 200);
    let head = site.upstream.only();
    for name in HOP_BY_HOP.iter().chain(&["x-nominated", "x-other", "x-third"]) {
        assert!(!head.has_like(name), "{name}: {head:?}");
    }
    assert_eq!(head.get("x-stays"), Some("1"));
}

#[test]
fn a_client_cannot_nominate_what_the_gateway_says() {
    let site = Site::new(ok);
    let headers = "Connection: X-Authentication-Service, Host, X-Forwarded-For, X-Forwarded-Proto, Forwarded, Content-Type, \
        Content-Length, X-Request-Id, Authorization\r\n";
    assert_eq!(site.ask_with("PATCH", UPLOAD, headers, "bytes").0.status(), 200);
    let head = site.upstream.only();
    for name in ["x-authentication-service", "x-forwarded-for", "x-forwarded-proto", "forwarded", "x-request-id"] {
        assert!(head.get(name).is_some(), "{name}: {head:?}");
    }
    assert_eq!(head.get("host"), Some(site.gateway.host().as_str()));
    assert_eq!(head.get("content-length"), Some("5"));
    assert_eq!(head.get("content-type"), Some("application/octet-stream"));
}

#[test]
fn the_upstream_s_connection_ends_at_the_gateway() {
    let site = Site::new(|head, wire| {
        wire.body(head);
        wire.send(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Nominated\r\nX-Nominated: 1\r\nX-Stays: 1\r\n\
             Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
             TE: trailers\r\nTrailer: X-T\r\nUpgrade: h2c\r\n\
             OCI-Chunk-Min-Length: 5\r\nWarning: 299 - \"old\"\r\ncontent-length: 2\r\n\r\nok",
        );
        Then::Keep
    });
    let (head, body) = site.get();
    assert_eq!(body.text(), "ok");
    for name in HOP_BY_HOP.iter().filter(|name| **name != "connection").chain(&["x-nominated"]) {
        assert!(!head.has_like(name), "{name}: {head:?}");
    }
    assert_eq!(head.get("x-stays"), Some("1"));
    assert_eq!(head.get("oci-chunk-min-length"), Some("5"));
    assert_eq!(head.get("warning"), Some("299 - \"old\""));
}

#[test]
fn trailers_of_a_request_are_dropped() {
    let (sent, bodies) = channel();
    let site = Site::new(move |head, wire| {
        sent.send(wire.body(head)).unwrap();
        wire.send("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
        Then::Keep
    });
    let mut client = site.connect();
    client.send(format!(
        "{}Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Authentication-Service, X-Sum\r\n\r\n\
         3\r\none\r\n0\r\nX-Authentication-Service: eyJ9\r\nX-Sum: 1\r\n\r\n",
        site.begin("PATCH", UPLOAD)
    ));
    assert_eq!(client.head().status(), 202);
    let body = bodies.recv_timeout(LIMIT).unwrap();
    assert_eq!((body.text().as_str(), body.whole, body.trailers.len()), ("one", true, 0), "{body:?}");
    let head = site.upstream.only();
    assert_eq!(head.all("x-authentication-service").len(), 1);
    assert!(!head.has_like("trailer") && !head.has_like("x-sum"));
}

#[test]
fn trailers_of_a_response_are_dropped() {
    let site = Site::new(|head, wire| {
        wire.body(head);
        wire.send(
            "HTTP/1.1 200 OK\r\nTrailer: X-T\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        );
        Then::Keep
    });
    let (head, body) = site.ask("GET", &blob(), "TE: trailers\r\n");
    assert!(!head.has_like("trailer"), "{head:?}");
    assert_eq!((body.text().as_str(), body.whole, body.trailers.len()), ("ok", true, 0));
}

#[test]
fn an_expectation_is_met_by_the_gateway_and_not_passed_on() {
    let site = Site::new(ok);
    let mut client = site.connect();
    let request = format!("{}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", site.begin("PATCH", UPLOAD));
    client.send(request);
    assert_eq!(client.head().status(), 100);
    client.send("bytes");
    let (head, body) = client.reply();
    assert_eq!((head.status(), body.text().as_str()), (200, "ok"));
    let head = site.upstream.only();
    assert_eq!((head.get("expect"), head.get("content-length")), (None, Some("5")));
}

#[test]
fn nobody_is_told_to_continue_who_is_refused() {
    let site = Site::new(ok);
    let refused = |start: &str, headers: &str, status: u16| {
        let mut client = site.connect();
        client.send(format!(
            "{start} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
            site.gateway.host()
        ));
        let (head, _) = client.reply();
        assert_eq!((head.status(), head.get("connection")), (status, Some("close")), "{start} {head:?}");
    };
    let patch = format!("PATCH {UPLOAD}");
    refused(&patch, "", 401);
    refused(&patch, "Authorization: Bearer e30.e30.e30\r\n", 401);
    refused(&patch, "Authorization: Basic eDp5\r\n", 401);
    refused(&patch, &format!("Authorization: {}\r\n", crate::wire::basic(crate::site::BOB)), 403);
    refused("PATCH /v2/team/app/nothing", "", 404);
    refused("PUT /v2/Team/manifests/v1", "", 400);
    refused("TRACE /v2/", "", 405);
    assert!(site.upstream.heads().is_empty());
}

#[test]
fn an_upstream_that_is_down_is_said_instead_of_continue() {
    let site = Site::new(ok);
    site.upstream.stop();
    let mut client = site.connect();
    client.send(format!("{}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", site.begin("PATCH", UPLOAD)));
    let (head, _) = client.reply();
    assert_eq!((head.status(), head.get("connection")), (502, Some("close")));
}

#[test]
fn other_expectations_are_refused() {
    let site = Site::new(ok);
    for expectation in ["200-ok", "100-continue, x", "\"100-continue\""] {
        let (head, _) = site.ask_with("PATCH", UPLOAD, &format!("Expect: {expectation}\r\n"), "bytes");
        assert!(matches!(head.status(), 400 | 417), "{expectation}: {head:?}");
        assert_eq!(head.get("connection"), Some("close"));
    }
    assert!(site.upstream.heads().is_empty());
}

#[test]
fn no_connection_is_switched_to_another_protocol() {
    let site = Site::with(&Setup { rest: "", ..SETUP }, |head, wire| {
        wire.body(head);
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw");
        Then::Keep
    });
    let (head, _) = site.ask("GET", &blob(), "Connection: upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(head.status(), 502, "{head:?}");
    assert!(!site.upstream.only().has_like("upgrade"));
}
