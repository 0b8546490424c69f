//! HTTP/2 through the whole gateway: what is promised of requests holds whichever way they come.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::client::{Open, as_user, get, header, request};
use crate::setup::{Secured, With};
use crate::support::site::{ALICE, BOB, SETUP, Setup, Site, UPLOAD, blob};
use crate::support::until;
use crate::support::upstream::{Then, ok};
use crate::support::wire::{Body, Head, LIMIT, Wire, basic};

#[tokio::test]
async fn the_upstream_sees_http_1_1() {
    let secured = Secured::new(With::default());
    let mut request = as_user(request("PUT", "/v2/team/app/manifests/v1", "{}"), ALICE);
    for (name, value) in [
        ("x-authentication-service", "forged"),
        ("x_authentication_service", "forged"),
        ("x-remote-user", "root"),
        ("te", "trailers"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let mut open = secured.client().open().await.unwrap();
    assert!(open.is_http2());
    assert_eq!(open.ask(request).await.unwrap().status(), 200);
    let head = secured.site.upstream.only();
    assert_eq!(head.start, "PUT /v2/team/app/manifests/v1 HTTP/1.1");
    assert_eq!(head.all("host"), ["gw.example"]);
    assert_eq!((head.get("x-forwarded-proto"), head.get("content-length")), (Some("https"), Some("2")));
    assert_eq!(head.all("x-authentication-service").len(), 1);
    assert_ne!(head.get("x-authentication-service"), Some("forged"));
    assert!(!head.has_like("x-remote-user") && head.get("te").is_none(), "{head:?}");
}

/// A plain site, and a connection to it with HTTP/2.
async fn plain(answer: impl Fn(&Head, &mut Wire) -> Then + Send + Sync + 'static) -> (Site, Open) {
    let site = Site::with(&Setup { public_url: "\"http://gw.example\"", ..SETUP }, answer);
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", site.gateway.port)).await.unwrap();
    let open = Open::http2(stream).await.unwrap();
    (site, open)
}

#[tokio::test]
async fn it_is_spoken_without_tls_to_who_begins_so() {
    let (site, mut open) = plain(ok).await;
    assert_eq!(open.ask(as_user(get(&blob()), ALICE)).await.unwrap().status(), 200);
    let refused = open.ask(get("/v2/")).await.unwrap();
    assert!(header(&refused, "www-authenticate").unwrap().contains("http://gw.example/token"));
    assert_eq!(site.upstream.heads().len(), 1);
    // HTTP/1.1 is still spoken to everybody else.
    assert_eq!(site.get().0.status(), 200);
}

#[tokio::test]
async fn an_early_answer_ends_one_stream_and_not_the_connection() {
    let (site, mut open) = plain(ok).await;
    let long = "x".repeat(300_000);
    for _ in 0..3 {
        assert_eq!(open.ask(request("PATCH", UPLOAD, &long)).await.unwrap().status(), 401);
        assert_eq!(open.ask(as_user(request("PATCH", UPLOAD, &long), BOB)).await.unwrap().status(), 403);
    }
    assert_eq!(open.ask(as_user(request("PATCH", UPLOAD, &long), ALICE)).await.unwrap().status(), 200);
    assert_eq!(site.upstream.only().get("content-length"), Some("300000"));
}

#[tokio::test]
async fn a_broken_answer_is_no_whole_one() {
    let (_site, mut open) = plain(|head, wire| {
        wire.body(head);
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        Then::Close
    })
    .await;
    assert!(open.ask(as_user(get(&blob()), ALICE)).await.is_err());
}

#[tokio::test]
async fn hosts_that_disagree_are_refused() {
    let (site, mut open) = plain(ok).await;
    let with_host = |host: &'static str| {
        let mut request = as_user(get(&blob()), ALICE);
        request.headers_mut().insert("host", host.parse().unwrap());
        request
    };
    assert_eq!(open.ask(with_host("other.example")).await.unwrap().status(), 400);
    assert_eq!(open.ask(with_host("gw.example")).await.unwrap().status(), 200);
    assert_eq!(site.upstream.only().all("host"), ["gw.example"]);
    let user: Request<Full<Bytes>> =
        Request::builder().uri("http://user@gw.example/v2/").body(Full::default()).unwrap();
    assert_eq!(open.ask(as_user(user, ALICE)).await.unwrap().status(), 400);
}

// What follows needs a client that does not keep to the rules.

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Headers as HPACK's literals without an index.
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let length = |text: &str| {
        let short = u8::try_from(text.len()).unwrap();
        if short < 127 { vec![short] } else { vec![127, short - 127] }
    };
    let literal = |text: &str| [length(text), text.as_bytes().to_vec()].concat();
    headers.iter().flat_map(|(name, value)| [vec![0], literal(name), literal(value)].concat()).collect()
}

/// A connection that has begun with HTTP/2.
fn begun(site: &Site) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", site.gateway.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).unwrap();
    stream
}

/// How a stream is answered: the error with which it or its connection is ended, or `None` when it gets a head.
fn answered(stream: &mut TcpStream, id: u32) -> Option<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        if u32::from_be_bytes([head[5], head[6], head[7], head[8]]) != id {
            continue;
        }
        match head[3] {
            1 => return None,
            3 => return Some(u32::from_be_bytes(payload.try_into().unwrap())),
            _ => {}
        }
    }
}

#[test]
fn a_body_that_is_taken_back_never_looks_whole() {
    // With an error, and as if there were none.
    for error in [8_u32, 0] {
        let (told, tell) = std::sync::mpsc::channel::<Body>();
        let told = std::sync::Mutex::new(told);
        let site = Site::new(move |head, wire| {
            told.lock().unwrap().send(wire.body(head)).unwrap();
            Then::Close
        });
        let mut stream = begun(&site);
        let head = block(&[
            (":method", "PATCH"),
            (":scheme", "http"),
            (":path", UPLOAD),
            (":authority", "127.0.0.1"),
            ("authorization", &basic(ALICE)),
        ]);
        stream.write_all(&frame(1, 4, 1, &head)).unwrap();
        stream.write_all(&frame(0, 0, 1, b"half")).unwrap();
        until("the upstream hears of it", LIMIT, || site.upstream.heads().first().cloned());
        stream.write_all(&frame(3, 0, 1, &error.to_be_bytes())).unwrap();
        let body = tell.recv_timeout(LIMIT).unwrap();
        assert!(!body.whole, "after error {error}: {body:?}");
    }
}

#[test]
fn what_no_request_may_be_reaches_nobody() {
    let site = Site::new(ok);
    let good = [(":method", "GET"), (":scheme", "http"), (":path", "/v2/"), (":authority", "127.0.0.1")];
    let with = |more: &[(&'static str, &'static str)]| block(&[&good, more].concat());
    let cases = [
        ("a header of the connection", with(&[("connection", "x-a"), ("x-a", "1")])),
        ("a coding", with(&[("transfer-encoding", "chunked")])),
        ("an upgrade", with(&[("upgrade", "h2c")])),
        ("a connection to be kept", with(&[("keep-alive", "1")])),
        ("a proxy's connection", with(&[("proxy-connection", "close")])),
        ("more than trailers", with(&[("te", "gzip")])),
        ("upper case", with(&[("X-A", "1")])),
        ("a pseudo header behind others", with(&[("x-a", "1"), (":path", "/v2/other")])),
        ("a pseudo header twice", with(&[(":path", "/v2/other")])),
        ("an unknown pseudo header", block(&[&good[..], &[(":user", "root")]].concat())),
        ("a line end in a value", with(&[("x-a", "1\r\nx-remote-user: root")])),
        ("a name with a colon", with(&[("x-a: 1", "1")])),
        ("no path", block(&[good[0], good[1], good[3]])),
        ("no method", block(&good[1..])),
        ("an answer's head", block(&[(":status", "200")])),
    ];
    for (what, head) in cases {
        let mut stream = begun(&site);
        stream.write_all(&frame(1, 5, 1, &head)).unwrap();
        let error = answered(&mut stream, 1);
        assert!(error.is_some_and(|error| error != 0), "{what}: {error:?}");
    }
    assert!(site.upstream.heads().is_empty());
}

#[test]
fn a_body_is_as_long_as_it_is_said_to_be() {
    let site = Site::new(|head, wire| {
        let body = wire.body(head);
        if body.whole { ok(head, wire) } else { Then::Close }
    });
    let head = block(&[
        (":method", "PATCH"),
        (":scheme", "http"),
        (":path", UPLOAD),
        (":authority", "127.0.0.1"),
        ("authorization", &basic(ALICE)),
        ("content-length", "6"),
    ]);
    for body in [&b"short"[..], b"too long"] {
        let mut stream = begun(&site);
        stream.write_all(&frame(1, 4, 1, &head)).unwrap();
        stream.write_all(&frame(0, 1, 1, body)).unwrap();
        assert_eq!(answered(&mut stream, 1), Some(1), "{body:?}");
    }
}
