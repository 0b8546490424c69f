//! Bodies stream in both directions, keep their framing, and a side that does not read stops the other one.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::site::{SETUP, Setup, Site, UPLOAD, blob};
use crate::support::pause;
use crate::support::process::resident;
use crate::upstream::{Then, ok};
use crate::wire::{LIMIT, Wire};

const MIB: usize = 1 << 20;

/// A receiver that handlers can share.
fn shared<T>(receiver: Receiver<T>) -> impl Fn() -> T {
    let receiver = Mutex::new(receiver);
    move || receiver.lock().unwrap().recv_timeout(LIMIT).unwrap()
}

#[test]
fn the_first_bytes_of_a_download_arrive_before_the_last_are_sent() {
    let (go, wait) = channel();
    let wait = shared(wait);
    let site = Site::new(move |_, wire| {
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none");
        wait();
        wire.send("two");
        Then::Keep
    });
    let mut client = site.connect();
    client.send(format!("{}\r\n", site.begin("GET", &blob())));
    let head = client.head();
    assert_eq!(head.get("content-length"), Some("6"));
    assert_eq!(client.up_to(3), b"one");
    go.send(()).unwrap();
    assert_eq!(client.up_to(3), b"two");
}

#[test]
fn the_first_chunk_of_a_download_arrives_before_the_last_is_sent() {
    let (go, wait) = channel();
    let wait = shared(wait);
    let site = Site::new(move |_, wire| {
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        wire.send_chunk(b"one");
        wait();
        wire.send_chunk(b"two");
        wire.send("0\r\n\r\n");
        Then::Keep
    });
    let mut client = site.connect();
    client.send(format!("{}\r\n", site.begin("GET", &blob())));
    let head = client.head();
    assert_eq!(head.get("transfer-encoding"), Some("chunked"));
    assert_eq!(client.chunk().as_deref(), Some(&b"one"[..]));
    go.send(()).unwrap();
    let rest = client.body(&head);
    assert_eq!((rest.text().as_str(), rest.whole), ("two", true));
}

#[test]
fn the_first_bytes_of_an_upload_arrive_before_the_last_are_sent() {
    for (framing, first, second) in
        [("Content-Length: 6", "one", "two"), ("Transfer-Encoding: chunked", "3\r\none\r\n", "3\r\ntwo\r\n0\r\n\r\n")]
    {
        let (came, arrived) = channel();
        let site = Site::new(move |head, wire| {
            let whole = if head.get("content-length").is_some() {
                let first = wire.up_to(3);
                came.send(first).unwrap();
                wire.up_to(3)
            } else {
                came.send(wire.chunk().unwrap()).unwrap();
                let rest = wire.body(head);
                assert!(rest.whole && rest.trailers.is_empty());
                rest.bytes
            };
            came.send(whole).unwrap();
            wire.send("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
            Then::Keep
        });
        let mut client = site.connect();
        client.send(format!("{}{framing}\r\n\r\n{first}", site.begin("PATCH", UPLOAD)));
        assert_eq!(arrived.recv_timeout(LIMIT).unwrap(), b"one");
        client.send(second);
        assert_eq!(arrived.recv_timeout(LIMIT).unwrap(), b"two");
        assert_eq!(client.head().status(), 202);
        let head = site.upstream.only();
        let (name, value) = framing.split_once(": ").unwrap();
        assert_eq!(head.get(name), Some(value), "the framing of the client's stays: {head:?}");
        assert_eq!(head.all("content-length").len() + head.all("transfer-encoding").len(), 1);
    }
}

#[test]
fn a_request_without_body_says_so() {
    let site = Site::new(ok);
    let sessions = "/v2/team/app/blobs/uploads/";
    let closing = format!("{UPLOAD}?digest={}", crate::site::DIGEST);
    for (method, target, framing) in [
        ("POST", sessions, ""),
        ("POST", sessions, "Content-Length: 0\r\n"),
        ("PUT", closing.as_str(), ""),
        ("PUT", closing.as_str(), "Content-Length: 0\r\n"),
        ("PATCH", UPLOAD, "Content-Length: 0\r\n"),
    ] {
        assert_eq!(site.ask(method, target, framing).0.status(), 200);
        let head = site.upstream.last();
        assert_eq!((head.method(), head.get("content-length")), (method, Some("0")), "{head:?}");
        assert_eq!(head.get("transfer-encoding"), None);
    }
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(site.ask(method, &blob(), "").0.status(), 200);
        let head = site.upstream.last();
        assert_eq!((head.get("content-length"), head.get("transfer-encoding")), (None, None), "{head:?}");
    }
}

#[test]
fn the_body_of_a_get_stays_behind() {
    let site = Site::new(ok);
    let (head, body) = site.ask_with("GET", &blob(), "", "GET /v2/_catalog HTTP/1.1\r\n\r\n");
    assert_eq!((head.status(), body.text().as_str()), (200, "ok"));
    assert_eq!(head.get("connection"), Some("close"), "what was not read must not be taken for a request");
    let head = site.upstream.only();
    assert_eq!((head.get("content-length"), head.get("transfer-encoding")), (None, None));
}

#[test]
fn bodies_arrive_byte_for_byte() {
    let body: Vec<u8> = crate::support::random(3 * MIB);
    let echoed = body.clone();
    let site = Site::new(move |head, wire| {
        let came = wire.body(head);
        assert!(came.whole && came.bytes == echoed);
        wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", came.bytes.len()));
        wire.send(came.bytes);
        Then::Keep
    });
    let mut client = site.connect();
    let mut writer = client.writer();
    let request = format!("{}Transfer-Encoding: chunked\r\n\r\n", site.begin("PATCH", UPLOAD));
    let pieces = body.clone();
    let sending = std::thread::spawn(move || {
        writer.write_all(request.as_bytes()).unwrap();
        // Sizes that no buffer is made for.
        for piece in pieces.chunks(70_001) {
            write!(writer, "{:X};ext=1\r\n", piece.len()).unwrap();
            writer.write_all(piece).unwrap();
            writer.write_all(b"\r\n").unwrap();
        }
        writer.write_all(b"0\r\n\r\n").unwrap();
    });
    let (head, answer) = client.reply();
    sending.join().unwrap();
    assert_eq!(head.status(), 200);
    assert!(answer.bytes == body);
}

/// Patient with bodies that stand still, since that is what these tests make them do.
const PATIENT: Setup = Setup { server: "workers = 1\nbody_idle_timeout = \"60s\"", ..SETUP };

/// Writes until the other side takes no more, or `stop` bytes have gone.
fn flood(stream: &mut TcpStream, written: &AtomicU64, stop: u64) {
    let piece = vec![7; 64 * 1024];
    while written.load(Ordering::SeqCst) < stop && stream.write_all(&piece).is_ok() {
        written.fetch_add(piece.len() as u64, Ordering::SeqCst);
    }
}

/// Waits until a counter has stood still for a while, and says where.
fn standstill(counter: &AtomicU64) -> u64 {
    let start = Instant::now();
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let now = counter.load(Ordering::SeqCst);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if now > 0 && since.elapsed() > Duration::from_millis(500) {
            return now;
        }
        assert!(start.elapsed() < LIMIT, "it never stood still: {now}");
        pause(Duration::from_millis(10));
    }
}

const FLOOD: u64 = 64 << 20;

#[test]
fn a_client_that_does_not_read_stops_the_upstream() {
    let written = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&written);
    let site = Site::with(&PATIENT, move |_, wire| {
        wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {FLOOD}\r\n\r\n"));
        flood(&mut wire.writer(), &counter, FLOOD);
        Then::Close
    });
    let mut client = site.connect();
    let before = resident(site.gateway.id());
    client.send(format!("{}\r\n", site.begin("GET", &blob())));
    let head = client.head();
    let stood = standstill(&written);
    assert!(stood < FLOOD * 2 / 3, "the upstream was stopped only after {stood} bytes");
    let grown = resident(site.gateway.id()).saturating_sub(before);
    assert!(grown < 4 * MIB, "the gateway has grown by {grown} bytes");
    // Once it reads again, all of it comes.
    let body = client.body(&head);
    assert!(body.whole && body.bytes.len() as u64 == FLOOD);
}

#[test]
fn an_upstream_that_does_not_read_stops_the_client() {
    let (go, wait) = channel();
    let wait = shared(wait);
    let site = Site::with(&PATIENT, move |head, wire| {
        wait();
        let body = wire.body(head);
        assert!(body.whole);
        wire.send(format!("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nx-length: {}\r\n\r\n", body.bytes.len()));
        Then::Keep
    });
    let mut client = site.connect();
    let before = resident(site.gateway.id());
    client.send(format!("{}Content-Length: {FLOOD}\r\n\r\n", site.begin("PATCH", UPLOAD)));
    let written = Arc::new(AtomicU64::new(0));
    let (mut writer, counter) = (client.writer(), Arc::clone(&written));
    let sending = std::thread::spawn(move || flood(&mut writer, &counter, FLOOD));
    let stood = standstill(&written);
    assert!(stood < FLOOD * 2 / 3, "the client was stopped only after {stood} bytes");
    let grown = resident(site.gateway.id()).saturating_sub(before);
    assert!(grown < 4 * MIB, "the gateway has grown by {grown} bytes");
    go.send(()).unwrap();
    let head = Wire::head(&mut client);
    sending.join().unwrap();
    assert_eq!(head.get("x-length"), Some(FLOOD.to_string().as_str()));
}

#[test]
fn many_transfers_at_once_are_not_mixed_up() {
    let setup = Setup { server: "workers = 2", ..SETUP };
    let site = Site::with(&setup, |head, wire| {
        let body = wire.body(head);
        assert!(body.whole);
        wire.send(format!("HTTP/1.1 200 OK\r\nx-echo: {}\r\n", head.get("x-number").unwrap()));
        wire.send("transfer-encoding: chunked\r\n\r\n");
        body.bytes.chunks(10_007).for_each(|piece| wire.send_chunk(piece));
        wire.send("0\r\n\r\n");
        Then::Keep
    });
    std::thread::scope(|scope| {
        for client in 0..12_usize {
            let site = &site;
            scope.spawn(move || {
                let mut wire = site.connect();
                for round in 0..8_usize {
                    let (number, length) = (client * 8 + round, (client * 37_003 + round * 9_001) % 150_000);
                    let body: Vec<u8> = crate::support::random(length);
                    let begin = site.begin("PATCH", UPLOAD);
                    wire.send(format!("{begin}x-number: {number}\r\nContent-Length: {length}\r\n\r\n"));
                    wire.send(&body);
                    let (head, answer) = wire.reply();
                    assert_eq!(head.get("x-echo"), Some(number.to_string().as_str()));
                    assert!(answer.whole && answer.bytes == body);
                }
            });
        }
    });
    assert!(site.upstream.connections() <= 24, "{} connections", site.upstream.connections());
}
