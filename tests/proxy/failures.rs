//! Upstreams that are down, slow or speak nonsense, and answers with a shape of their own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::site::{SETUP, Setup, Site, UPLOAD, blob, start};
use crate::upstream::{Then, answer_with, ok};
use crate::wire::{Body, Head, Wire, basic};

/// Asserts an answer that docker can print.
#[track_caller]
fn is_failure((head, body): (Head, Body), status: u16) {
    assert_eq!(head.status(), status, "{head:?} {}", body.text());
    assert_eq!(head.get("content-type"), Some("application/json"));
    let error = &body.json()["errors"][0];
    assert_eq!(error["code"], "UNAVAILABLE");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("registry behind the gateway")), "{error}");
}

#[test]
fn an_upstream_that_is_down_is_502() {
    let site = Site::new(ok);
    site.upstream.stop();
    is_failure(site.get(), 502);
    is_failure(site.ask("POST", "/v2/team/app/blobs/uploads/", ""), 502);
    let (head, _) = site.ask("HEAD", &blob(), "");
    assert_eq!(head.status(), 502);
    site.wait_for_log("cannot connect to upstream registry");
}

#[test]
fn an_upstream_that_does_not_accept_is_504() {
    // It accepts until it is told to stop; then its queue fills up, and the kernel ignores further connections.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(1).unwrap();
    let listener = Arc::new(TcpListener::from(socket));
    let address = listener.local_addr().unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    let (accepting, stop) = (Arc::clone(&listener), Arc::clone(&stopped));
    let thread = std::thread::spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            let mut wire = Wire::new(accepting.accept().unwrap().0);
            if wire.try_head_however_late().is_some() {
                wire.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    let setup = Setup { upstream: "connect_timeout = \"200ms\"", ..SETUP };
    let (gateway, _dir) = start(&setup, address.port());
    stopped.store(true, Ordering::SeqCst);
    drop(TcpStream::connect(address));
    thread.join().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        queued.push(stream);
        assert!(queued.len() < 1000, "the queue is never full");
    }
    let mut client = Wire::connect(gateway.port);
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\r\n",
        blob(),
        gateway.host(),
        basic(crate::site::ALICE)
    );
    client.send(head);
    is_failure(client.reply(), 504);
}

#[test]
fn an_upstream_without_a_first_byte_is_504() {
    let setup = Setup { upstream: "response_timeout = \"200ms\"", ..SETUP };
    let site = Site::with(&setup, |head, wire| {
        wire.body(head);
        wire.read_to_end();
        Then::Close
    });
    is_failure(site.get(), 504);
    is_failure(site.ask_with("PATCH", UPLOAD, "", "bytes"), 504);
    // Its connections do not go on without us.
    site.upstream.wait_for_ends(2);
    assert_eq!(site.upstream.connections(), 2);
}

#[test]
fn an_upstream_that_speaks_no_http_is_502() {
    for answer in [
        "",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nbad header: x\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
        "\x15\x03\x01\x00\x02\x02\x16",
    ] {
        let site = Site::new(move |head, wire| {
            wire.body(head);
            wire.send(answer);
            Then::Close
        });
        is_failure(site.get(), 502);
    }
}

#[test]
fn codings_of_a_response_that_nobody_here_knows_are_502() {
    for coding in ["gzip, chunked", "gzip", "chunked, gzip", "chunked, chunked", "identity"] {
        let site = Site::new(move |head, wire| {
            wire.body(head);
            wire.send(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
            Then::Close
        });
        is_failure(site.get(), 502);
    }
}

#[test]
fn a_response_framed_twice_reaches_the_client_framed_once() {
    let site = Site::new(|head, wire| {
        wire.body(head);
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        Then::Keep
    });
    for _ in 0..2 {
        let (head, body) = site.get();
        if head.status() == 200 {
            assert_eq!((body.text().as_str(), body.whole), ("ok", true), "{head:?}");
        } else {
            is_failure((head, body), 502);
        }
    }
}

#[test]
fn a_head_that_is_too_large_is_502() {
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 2\r\n\r\nok", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 2\r\n\r\nok", "x: 1\r\n".repeat(10_000));
    for answer in [huge, many] {
        let site = Site::new(move |head, wire| {
            wire.body(head);
            let _ = wire.try_send(&answer);
            Then::Close
        });
        is_failure(site.get(), 502);
    }
}

#[test]
fn a_request_with_too_large_a_head_is_431() {
    let site = Site::new(ok);
    for headers in ["x: 1\r\n".repeat(10_000), format!("x: {}\r\n", "x".repeat(1 << 20))] {
        let mut client = site.connect();
        // It may be cut off in the middle; the answer counts.
        let _ = client.try_send(format!("{}{headers}\r\n", site.begin("GET", &blob())));
        let head = client.head();
        assert_eq!((head.status(), head.get("connection")), (431, Some("close")));
    }
    assert!(site.upstream.heads().is_empty());
}

fn numbered(count: usize) -> String {
    (0..count).fold(String::new(), |lines, n| lines + &format!("x-{n}: {n}\r\n"))
}

#[test]
fn as_many_headers_as_are_allowed_pass() {
    let site = Site::new(|head, wire| {
        let many = numbered(80);
        answer_with(head, wire, "200 OK", &many, "ok")
    });
    let many = numbered(90);
    let (head, _) = site.ask("GET", &blob(), &many);
    assert_eq!((head.status(), head.get("x-79")), (200, Some("79")));
    assert_eq!(site.upstream.only().get("x-89"), Some("89"));
}

#[test]
fn interim_answers_of_an_upstream_end_here() {
    let site = Site::new(|head, wire| {
        for interim in ["100 Continue", "102 Processing", "103 Early Hints\r\nLink: </x>; rel=preload"] {
            wire.send(format!("HTTP/1.1 {interim}\r\n\r\n"));
        }
        ok(head, wire)
    });
    for _ in 0..2 {
        let (head, body) = site.get();
        assert_eq!((head.status(), body.text().as_str(), head.get("link")), (200, "ok", None));
        assert_eq!(site.ask_with("PATCH", UPLOAD, "", "bytes").0.status(), 200);
    }
}

#[test]
fn answers_without_a_body_keep_the_connection_in_step() {
    let site = Site::new(|head, wire| {
        wire.body(head);
        let answer = match head.get("x-want").unwrap() {
            "204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "304" => "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n",
            "304 with length" => "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n",
            "HEAD" => "HTTP/1.1 200 OK\r\ncontent-length: 1234567890123\r\ndocker-content-digest: x\r\n\r\n",
            "HEAD chunked" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HEAD without length" => "HTTP/1.1 200 OK\r\n\r\n",
            "HEAD 404" => "HTTP/1.1 404 Not Found\r\ncontent-length: 157\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        };
        wire.send(answer);
        Then::Keep
    });
    let mut client = site.connect();
    for (method, want, status, length) in [
        ("DELETE", "204", 204, None),
        ("GET", "304", 304, None),
        ("GET", "304 with length", 304, None),
        ("HEAD", "HEAD", 200, Some("1234567890123")),
        ("HEAD", "HEAD chunked", 200, None),
        ("HEAD", "HEAD without length", 200, None),
        ("HEAD", "HEAD 404", 404, Some("157")),
        ("GET", "empty", 200, Some("0")),
    ] {
        client.send(format!("{}x-want: {want}\r\n\r\n", site.begin(method, &blob())));
        let head = client.head();
        assert_eq!((head.status(), head.get("content-length")), (status, length), "{want}: {head:?}");
    }
    // All of this went over one connection, on either side.
    assert!(site.upstream.heads().iter().all(|head| head.connection == 0));
}

#[test]
fn errors_of_the_upstream_pass_as_they_are() {
    let site = Site::new(|head, wire| {
        let status = head.get("x-want").unwrap();
        answer_with(head, wire, status, "retry-after: 7\r\ncontent-type: text/weird\r\n", "theirs")
    });
    for status in ["400 Bad", "403 Forbidden", "404 Not Found", "429 Too Many", "500 Broken", "503 Busy", "599 Odd"] {
        let (head, body) = site.ask("GET", &blob(), &format!("x-want: {status}\r\n"));
        assert!(status.starts_with(&head.status().to_string()));
        assert_eq!((head.get("retry-after"), head.get("content-type")), (Some("7"), Some("text/weird")));
        assert_eq!(body.text(), "theirs");
    }
}

#[test]
fn a_client_s_keep_alive_survives_failures_of_the_upstream() {
    let site = Site::new(ok);
    site.upstream.stop();
    let mut client = site.connect();
    for _ in 0..3 {
        client.send(format!("{}\r\n", site.begin("GET", &blob())));
        is_failure(client.reply(), 502);
    }
}

#[test]
fn an_upstream_that_was_started_anew_is_found_again() {
    let site = Site::new(ok);
    let mut clients: Vec<Wire> = (0..4).map(|_| site.connect()).collect();
    for client in &mut clients {
        client.send(format!("{}\r\n", site.begin("GET", &blob())));
        assert_eq!(client.reply().1.text(), "ok");
    }
    site.upstream.stop();
    site.upstream.close_all();
    is_failure(site.get(), 502);
    // Another one takes its place, on the same port.
    let _again = crate::upstream::Upstream::start_on(site.upstream.port, ok);
    for client in &mut clients {
        client.send(format!("{}Content-Length: 5\r\n\r\nbytes", site.begin("PATCH", UPLOAD)));
        assert_eq!(client.reply().1.text(), "ok");
    }
}
