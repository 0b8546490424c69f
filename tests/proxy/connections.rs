//! How connections of clients are kept, timed and ended. Requests that could be read in two ways stand in the corpus of `smuggling`.

use crate::site::{SETUP, Site, blob};
use crate::upstream::{Then, ok};

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
