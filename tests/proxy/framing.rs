//! Requests whose framing could be read in two ways: refused and closed, or sent on as exactly one well-formed request.

use std::sync::mpsc::{Receiver, channel};

use crate::site::{ALICE, SETUP, Site, UPLOAD, blob};
use crate::upstream::{Then, ok};
use crate::wire::{Body, Head, LIMIT, basic};

/// A site that reports each request with its body.
fn recording() -> (Site, Receiver<(Head, Body)>) {
    let (sent, received) = channel();
    let site = Site::with(&SETUP, move |head, wire| {
        let body = wire.body(head);
        sent.send((head.clone(), body)).unwrap();
        wire.send("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
        Then::Keep
    });
    (site, received)
}

/// What is sent behind each ambiguous request, to see whether it is taken for another one.
fn smuggled(site: &Site) -> String {
    format!("{}\r\n", site.begin("DELETE", "/v2/team/app/manifests/smuggled"))
}

/// Sends `request` with alice's credentials and something smuggled behind it; asserts 400, the end of the connection, and that
/// nothing went upstream.
fn is_refused(site: &Site, start: &str, headers: &str, body: &str) {
    let mut client = site.connect();
    let authorization = basic(ALICE);
    let _ =
        client.try_send(format!("{start}\r\nAuthorization: {authorization}\r\n{headers}\r\n{body}{}", smuggled(site)));
    let head = client.head();
    assert_eq!((head.status(), head.get("connection")), (400, Some("close")), "{start} {headers:?}: {head:?}");
    client.body(&head);
    assert_eq!(client.read_to_end().0, b"", "one answer and no more: {headers:?}");
    assert!(site.upstream.heads().is_empty(), "{headers:?}");
}

#[test]
fn ambiguous_framing_is_refused_and_the_connection_ends() {
    let site = Site::new(ok);
    let patch = format!("PATCH {UPLOAD} HTTP/1.1\r\nHost: {}", site.gateway.host());
    let chunks = "5\r\nbytes\r\n0\r\n\r\n";
    for headers in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length : 5\r\n",
        "X-Folded: one\r\n two\r\n",
        "X-Folded: one\r\n\ttwo\r\n",
        "X-No-Colon\r\n",
        ": empty\r\n",
        "X Blank: 1\r\n",
        "X-Nul: a\0b\r\n",
        "X-Cr: a\rb\r\n",
    ] {
        is_refused(&site, &patch, headers, chunks);
    }
}

#[test]
fn a_request_has_one_host() {
    let site = Site::new(ok);
    let (host, start) = (site.gateway.host(), format!("GET {} HTTP/1.1", blob()));
    for headers in [
        String::new(),
        format!("Host: {host}\r\nHost: {host}\r\n"),
        format!("Host: {host}\r\nHost: evil.example\r\n"),
        "Host:\r\n".into(),
        "Host: evil.example/path\r\n".into(),
        "Host: a b\r\n".into(),
        "Host: user@evil.example\r\n".into(),
        "Host: a,b\r\n".into(),
        "Host: evil.example\"; x=\"\r\n".into(),
        "Host: 127.0.0.1:99999999\r\n".into(),
    ] {
        is_refused(&site, &start, &headers, "");
    }
}

#[test]
fn what_is_no_http_is_refused() {
    let site = Site::new(ok);
    for start in [
        "GET / HTTP/1.1 x",
        "GET /v2/",
        "GET  /v2/ HTTP/1.1",
        "GET /v2/\tx HTTP/1.1",
        "G\0T /v2/ HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        let mut client = site.connect();
        let _ = client.try_send(format!("{start}\r\nHost: {}\r\n\r\n{}", site.gateway.host(), smuggled(&site)));
        let (bytes, _) = client.read_to_end();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Bytes of another protocol may also just find the connection closed.
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{start:?}: {text}");
        assert_eq!(text.matches("HTTP/1.1").count(), usize::from(!text.is_empty()), "{start:?}: {text}");
    }
    assert!(site.upstream.heads().is_empty());
}

#[test]
fn length_beside_chunks_is_one_request_and_the_last() {
    let (site, received) = recording();
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 500\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ] {
        let mut client = site.connect();
        let begin = site.begin("PATCH", UPLOAD);
        client.send(format!("{begin}{headers}\r\n3\r\none\r\n0\r\n\r\n{}", smuggled(&site)));
        let (head, _) = client.reply();
        let seen = site.upstream.heads();
        if head.status() == 202 {
            let (sent, body) = received.recv_timeout(LIMIT).unwrap();
            assert_eq!((body.text().as_str(), body.whole), ("one", true));
            assert_eq!(sent.all("content-length").len() + sent.all("transfer-encoding").len(), 1, "{sent:?}");
        } else {
            assert_eq!((head.status(), seen.len()), (400, 0));
        }
        let rest = String::from_utf8_lossy(&client.read_to_end().0).into_owned();
        assert!(!rest.contains("HTTP/1.1 2"), "the connection must end: {head:?} {rest}");
        assert!(site.upstream.heads().iter().all(|head| !head.target().contains("smuggled")));
    }
}

#[test]
fn what_is_normalised_reaches_the_upstream_as_one_request() {
    let (site, received) = recording();
    let begin = site.begin("PATCH", UPLOAD);
    let bare = begin.replace("\r\n", "\n");
    for (request, text) in [
        (format!("{begin}Content-Length: 5\r\nContent-Length: 5\r\n\r\nbytes"), "bytes"),
        (format!("{bare}Content-Length: 5\n\nbytes"), "bytes"),
        (format!("\r\n{begin}Content-Length: 5\r\n\r\nbytes"), "bytes"),
        (format!("{begin}Transfer-Encoding: CHUNKED\r\n\r\n005;a=b\r\nbytes\r\n0\r\n\r\n"), "bytes"),
    ] {
        let mut client = site.connect();
        client.send(&request);
        let (head, _) = client.reply();
        if head.status() == 202 {
            let (sent, body) = received.recv_timeout(LIMIT).unwrap();
            assert_eq!((body.text().as_str(), body.whole), (text, true), "{request:?}");
            assert_eq!(sent.all("content-length").len() + sent.all("transfer-encoding").len(), 1, "{sent:?}");
        } else {
            assert_eq!((head.status(), head.get("connection")), (400, Some("close")), "{request:?}");
        }
    }
}

#[test]
fn broken_chunks_are_never_a_whole_upload() {
    let (site, received) = recording();
    for chunks in [
        "5\r\nbytesXX0\r\n\r\n",
        "-5\r\nbytes\r\n0\r\n\r\n",
        "+5\r\nbytes\r\n0\r\n\r\n",
        "0x5\r\nbytes\r\n0\r\n\r\n",
        "ffffffffffffffff5\r\nbytes\r\n0\r\n\r\n",
        "\r\nbytes\r\n0\r\n\r\n",
        "g\r\nbytes\r\n0\r\n\r\n",
        "5\nbytes\r\n0\r\n\r\n",
    ] {
        let mut client = site.connect();
        let begin = site.begin("PATCH", UPLOAD);
        client.send(format!("{begin}Transfer-Encoding: chunked\r\n\r\n{chunks}{}", smuggled(&site)));
        client.finish();
        let text = String::from_utf8_lossy(&client.read_to_end().0).into_owned();
        assert!(!text.contains("HTTP/1.1 2"), "{chunks:?}: {text}");
    }
    site.upstream.wait_for_ends(site.upstream.connections());
    for (head, body) in received.try_iter() {
        assert!(head.method() == "PATCH" && !body.whole, "{head:?} {body:?}");
    }
}

#[test]
fn requests_in_one_packet_are_answered_in_their_order() {
    let (site, _received) = recording();
    let mut client = site.connect();
    let get = format!("{}\r\n", site.begin("GET", &blob()));
    let patch = format!("{}Content-Length: 5\r\n\r\nbytes", site.begin("PATCH", UPLOAD));
    let refused = format!("GET /v2/nothing HTTP/1.1\r\nHost: {}\r\n\r\n", site.gateway.host());
    client.send([get.clone(), patch, refused, get].concat());
    let statuses: Vec<u16> = (0..4).map(|_| client.reply().0.status()).collect();
    assert_eq!(statuses, [202, 202, 404, 202]);
    let methods: Vec<String> = site.upstream.heads().iter().map(|head| head.method().to_owned()).collect();
    assert_eq!(methods, ["GET", "PATCH", "GET"]);
}

#[test]
fn an_http_1_0_client_is_served_and_closed() {
    let site = Site::new(ok);
    let mut client = site.connect();
    client.send(site.begin("GET", &blob()).replace("HTTP/1.1", "HTTP/1.0") + "\r\n");
    let text = String::from_utf8_lossy(&client.read_to_end().0).into_owned();
    assert!(text.starts_with("HTTP/1.0 200 ") || text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(text.ends_with("\r\n\r\nok"), "{text}");
    assert_eq!(site.upstream.only().start, format!("GET {} HTTP/1.1", blob()));
}

#[test]
fn a_chunked_answer_to_an_http_1_0_client_is_not_framed_in_chunks() {
    let site = Site::new(|head, wire| {
        wire.body(head);
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        Then::Keep
    });
    let mut client = site.connect();
    client.send(site.begin("GET", &blob()).replace("HTTP/1.1", "HTTP/1.0") + "\r\n");
    let text = String::from_utf8_lossy(&client.read_to_end().0).into_owned();
    assert!(text.ends_with("\r\n\r\nok") && !text.contains("transfer-encoding"), "{text}");
}

#[test]
fn a_tls_client_on_the_plain_port_is_sent_away_at_once() {
    let site = Site::new(ok);
    // The beginning of a ClientHello, as docker's probe of https sends it; then it waits for an answer.
    let mut hello = vec![0x16, 0x03, 0x01, 0x00, 0xa5, 0x01, 0x00, 0x00, 0xa1, 0x03, 0x03];
    hello.extend(crate::support::random(154));
    let mut client = site.connect();
    let start = std::time::Instant::now();
    client.send(hello);
    let (bytes, _) = client.read_to_end();
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&bytes));
    assert!(start.elapsed() < std::time::Duration::from_secs(10), "sooner than the header time-out of 15 s");
}

#[test]
fn a_client_that_says_nothing_or_half_a_head_is_let_go() {
    let setup = crate::site::Setup { server: "workers = 1\nheader_timeout = \"300ms\"", ..SETUP };
    let site = Site::with(&setup, ok);
    let mut silent = site.connect();
    let (bytes, _) = silent.read_to_end();
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408 "));
    let mut half = site.connect();
    half.send("GET /v2/ HTTP/1.1\r\nHo");
    let (bytes, _) = half.read_to_end();
    assert!(bytes.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&bytes));
}

#[test]
fn a_kept_connection_may_be_silent_for_its_time_only() {
    let setup = crate::site::Setup { server: "workers = 1\nidle_timeout = \"300ms\"", ..SETUP };
    let site = Site::with(&setup, ok);
    let mut client = site.connect();
    client.send(format!("{}\r\n", site.begin("GET", &blob())));
    assert_eq!(client.reply().1.text(), "ok");
    assert_eq!(client.read_to_end(), (Vec::new(), crate::wire::End::Closed));
}

#[test]
fn a_client_that_says_close_is_closed() {
    let site = Site::new(ok);
    let mut client = site.connect();
    client.send(format!("{}Connection: close\r\n\r\n", site.begin("GET", &blob())));
    let (head, body) = client.reply();
    assert_eq!((body.text().as_str(), head.get("connection")), ("ok", Some("close")));
    assert_eq!(client.read_to_end(), (Vec::new(), crate::wire::End::Closed));
}

#[test]
fn chunks_of_an_http_1_0_client_are_refused() {
    let site = Site::new(ok);
    let start = format!("PATCH {UPLOAD} HTTP/1.0\r\nHost: {}", site.gateway.host());
    is_refused(&site, &start, "Transfer-Encoding: chunked\r\n", "5\r\nbytes\r\n0\r\n\r\n");
}

#[test]
fn a_form_that_does_not_come_is_408() {
    let setup = crate::site::Setup { server: "workers = 1\nheader_timeout = \"300ms\"", ..SETUP };
    let site = Site::with(&setup, ok);
    let mut client = site.connect();
    client.send(format!(
        "POST /token HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\n\
         grant_type=password",
        site.gateway.host()
    ));
    let (head, _) = client.reply();
    assert_eq!((head.status(), head.get("connection")), (408, Some("close")));
}
