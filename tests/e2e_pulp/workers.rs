//! The two workers of Pulp's API app, and clients that would hold both of them.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::identity::named;
use crate::mode::Mode;
use crate::site::{ALICE, BOB};
use crate::support::gateway::Gateway;
use crate::support::http::{Request, connect, read_reply};
use crate::support::pulp::{App, HEADER_MODE, Pulp, WRITER};
use crate::support::{digest, pause, random};

/// What the third waits at most; Pulp's time-out of a worker is 30 s.
const SOON: Duration = Duration::from_secs(5);

const HEADER: &str = "X-Authentication-Service";

fn gateway(api: &App, lines: &str) -> Gateway {
    let mut settings = Mode::Header.settings();
    settings.upstream.push_str(lines);
    Mode::in_front_of(api, &settings)
}

/// Begins an upload session and a request for it that promises more than it sends.
fn slow_upload(gateway: &Gateway, whole: &[u8], sent: usize) -> TcpStream {
    let post =
        Request::new(gateway.port, "POST", "/v2/team/slow/blobs/uploads/").basic(ALICE.0, ALICE.1).send().expect(202);
    let location = post.header("location").unwrap();
    let mut stream = connect(gateway.port);
    let authorization = STANDARD.encode(format!("{}:{}", ALICE.0, ALICE.1));
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {authorization}\r\nContent-Length: {}\r\n\r\n",
        gateway.host(),
        whole.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&whole[..sent]).unwrap();
    stream
}

/// The same straight to Pulp, as its superuser.
fn slow_upload_past(api: &App, whole: &[u8], sent: usize) -> TcpStream {
    let identity = STANDARD.encode(named(WRITER));
    let post =
        Request::new(api.port, "POST", "/v2/team/slow/blobs/uploads/").header(HEADER, &identity).send().expect(202);
    let location = post.header("location").unwrap();
    let mut stream = connect(api.port);
    let length = whole.len();
    let head =
        format!("PATCH {location} HTTP/1.1\r\nHost: x\r\n{HEADER}: {identity}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&whole[..sent]).unwrap();
    stream
}

/// Sends the rest of [`slow_upload`], and closes the upload.
fn finish(gateway: &Gateway, stream: &mut TcpStream, whole: &[u8], sent: usize) {
    stream.write_all(&whole[sent..]).unwrap();
    let patched = read_reply(stream, false).unwrap().expect(202);
    let location = patched.header("location").unwrap();
    let separator = if location.contains('?') { '&' } else { '?' };
    let target = format!("{location}{separator}digest={}", digest(whole));
    Request::new(gateway.port, "PUT", &target).basic(ALICE.0, ALICE.1).body(b"").send().expect(201);
}

fn third(gateway: &Gateway, limit: Duration) -> Option<Duration> {
    let start = Instant::now();
    let port = gateway.port;
    let asked = std::thread::spawn(move || {
        Request::new(port, "GET", "/v2/team/other/tags/list").basic(BOB.0, BOB.1).try_send().map(|reply| reply.status)
    });
    while start.elapsed() < limit {
        if asked.is_finished() {
            // Pulp knows no such repository, which it has to look up.
            assert_eq!(asked.join().unwrap(), Some(404));
            return Some(start.elapsed());
        }
        pause(Duration::from_millis(10));
    }
    None
}

#[test]
fn two_slow_clients_and_a_third_is_served() {
    let pulp = Pulp::shared();
    let api = pulp.api(HEADER_MODE);
    let blob = random(300_000);

    // As it is without any guard: both workers wait for a body.
    let bare = gateway(&api, "");
    let held = [slow_upload(&bare, &blob, 1000), slow_upload(&bare, &blob, 1000)];
    // Until Pulp has begun with both, a third may be quicker.
    assert!((0..50).any(|_| third(&bare, SOON).is_none()), "two slow clients hold both workers");
    drop(held);

    let guarded = gateway(&api, "\nspool = true\nmax_concurrent = 2");
    assert!(third(&guarded, Duration::from_secs(60)).is_some());
    let idle: Vec<_> = (0..4).map(|_| connect(guarded.port)).collect();
    let mut slow = [slow_upload(&guarded, &blob, 1000), slow_upload(&guarded, &blob, 1000)];
    for _ in 0..5 {
        assert!(third(&guarded, SOON).is_some(), "a third is served");
    }
    for stream in &mut slow {
        finish(&guarded, stream, &blob, 1000);
    }
    drop(idle);
}

/// A worker has its time for a request, and a client that is slower than that takes the worker with it.
#[test]
fn an_upload_that_is_slower_than_pulp_allows_gets_through() {
    let api = Pulp::shared().hasty_api(HEADER_MODE, 3);
    let blob = random(300_000);
    let gateway = gateway(&api, "\nspool = true");
    let mut slow = slow_upload(&gateway, &blob, 1000);
    let mut past = slow_upload_past(&api, &blob, 1000);
    let answer = read_reply(&mut past, false);
    assert!(answer.is_none_or(|answer| answer.status >= 400), "Pulp ends the worker");
    assert!(api.log().contains("WORKER TIMEOUT"));
    finish(&gateway, &mut slow, &blob, 1000);
}
