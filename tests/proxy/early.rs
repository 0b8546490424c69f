//! Answers that come before the request has been sent: the client reads them whole.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::channel;

use crate::site::{SETUP, Setup, Site, UPLOAD};
use crate::support::pause;
use crate::upstream::{Then, ok};
use crate::wire::{Body, Head, LIMIT, Wire};

const TEN_MIB: usize = 10 << 20;

/// Sends `head` and a body of 10 MiB, `slowly` with pauses, from a thread of its own, and reads the answer when all has been sent.
/// `Err` is what the client's writes met.
fn upload(client: &mut Wire, head: String, chunked: bool, slowly: bool) -> (std::io::Result<()>, (Head, Body)) {
    let mut writer = client.writer();
    let sent = std::thread::spawn(move || send(&mut writer, &head, chunked, slowly)).join().unwrap();
    (sent, client.reply())
}

fn send(writer: &mut TcpStream, head: &str, chunked: bool, slowly: bool) -> std::io::Result<()> {
    writer.write_all(head.as_bytes())?;
    let piece = vec![7; 64 * 1024];
    for sent in (0..TEN_MIB).step_by(piece.len()) {
        if chunked {
            write!(writer, "{:x}\r\n", piece.len())?;
        }
        writer.write_all(&piece)?;
        if chunked {
            writer.write_all(b"\r\n")?;
        }
        if slowly && sent < TEN_MIB / 4 {
            pause(std::time::Duration::from_millis(5));
        }
    }
    if chunked {
        writer.write_all(b"0\r\n\r\n")?;
    }
    Ok(())
}

fn framing(chunked: bool) -> String {
    if chunked { "Transfer-Encoding: chunked\r\n".into() } else { format!("Content-Length: {TEN_MIB}\r\n") }
}

#[test]
fn a_refused_upload_hears_why_while_it_still_sends() {
    let site = Site::new(ok);
    for chunked in [false, true] {
        for slowly in [false, true] {
            let mut client = site.connect();
            let head = format!("PATCH {UPLOAD} HTTP/1.1\r\nHost: {}\r\n{}\r\n", site.gateway.host(), framing(chunked));
            let (sent, (head, body)) = upload(&mut client, head, chunked, slowly);
            sent.expect("the gateway takes all that a client sends into the void");
            assert_eq!((head.status(), head.get("connection")), (401, Some("close")));
            assert!(head.get("www-authenticate").unwrap().contains("repository:team/app:pull,push"));
            assert_eq!(body.json()["errors"][0]["code"], "UNAUTHORIZED");
            assert!(body.whole);
            assert_eq!(client.read_to_end(), (Vec::new(), crate::wire::End::Closed));
        }
    }
    assert!(site.upstream.heads().is_empty());
}

/// How an upstream that refuses an upload ends its connection.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// At once, with the body unread: the kernel resets.
    Reset,
    /// After FIN, having read some more.
    Linger,
    /// Not: it reads the whole body first of all.
    ReadAll,
}

fn early(status: &'static str, way: Way) -> Site {
    let setup = Setup { server: "workers = 1\nbody_idle_timeout = \"2s\"", ..SETUP };
    Site::with(&setup, move |_, wire| {
        let _ = wire.up_to(1);
        // Whatever it does, another request would not be answered over this connection.
        wire.send(format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 5\r\nx-early: 1\r\n\r\nearly"));
        match way {
            Way::Reset => {}
            Way::Linger => {
                wire.finish();
                wire.read_to_end();
            }
            Way::ReadAll => drop(wire.read_to_end()),
        }
        Then::Close
    })
}

fn hears(status: &'static str, way: Way, rounds: usize) {
    let site = early(status, way);
    for round in 0..rounds {
        for (chunked, slowly) in [(false, false), (true, false), (false, true), (true, true)] {
            if slowly && round > 1 {
                continue;
            }
            let mut client = site.connect();
            let head = format!("{}{}\r\n", site.begin("PATCH", UPLOAD), framing(chunked));
            let (sent, (head, body)) = upload(&mut client, head, chunked, slowly);
            let context = format!("{way:?} round {round} chunked {chunked} slowly {slowly}: {head:?}");
            assert!(status.starts_with(&head.status().to_string()), "{context}");
            assert_eq!((body.text().as_str(), body.whole), ("early", true), "{context}");
            // Unless all had been sent before the answer was there: then the connection may go on.
            assert!(head.get("connection") == Some("close") || sent.is_ok(), "{context}: {sent:?}");
        }
    }
}

#[test]
fn an_early_413_of_an_upstream_that_resets_is_heard() {
    hears("413 Payload Too Large", Way::Reset, 20);
}

#[test]
fn an_early_500_of_an_upstream_that_resets_is_heard() {
    hears("500 Internal Server Error", Way::Reset, 20);
}

#[test]
fn an_early_403_of_an_upstream_that_lingers_is_heard() {
    hears("403 Forbidden", Way::Linger, 20);
}

#[test]
fn an_early_413_of_an_upstream_that_reads_on_is_heard() {
    hears("413 Payload Too Large", Way::ReadAll, 3);
}

#[test]
fn an_early_413_of_an_upstream_that_stops_to_read_is_heard() {
    let (done, wait) = channel();
    let wait = std::sync::Mutex::new(wait);
    let setup = Setup { server: "workers = 1\nbody_idle_timeout = \"1s\"", ..SETUP };
    let site = Site::with(&setup, move |_, wire| {
        wire.send("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 5\r\n\r\nearly");
        let _: Result<(), _> = wait.lock().unwrap().recv_timeout(LIMIT);
        Then::Close
    });
    let mut client = site.connect();
    let head = format!("{}{}\r\n", site.begin("PATCH", UPLOAD), framing(false));
    let (_, (head, body)) = upload(&mut client, head, false, false);
    assert_eq!((head.status(), body.text().as_str()), (413, "early"));
    drop(done);
}

#[test]
fn an_early_401_of_an_upstream_is_an_error_of_the_configuration() {
    let site = early("401 Unauthorized", Way::Reset);
    for _ in 0..20 {
        let mut client = site.connect();
        let head = format!("{}{}\r\n", site.begin("PATCH", UPLOAD), framing(false));
        let (_, (head, _)) = upload(&mut client, head, false, false);
        assert_eq!((head.status(), head.get("www-authenticate")), (502, None));
    }
}
