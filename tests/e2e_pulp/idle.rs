//! Pulp has few workers, each of which a single client can hold; the gateway holds none for who is idle.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::mode::Mode;
use crate::site::BOB;
use crate::support::gateway::Gateway;
use crate::support::http::{Request, connect, read_reply};
use crate::support::pause;
use crate::support::pulp::{App, HEADER_MODE, Pulp};

/// A Pulp whose two workers no other test uses, and a gateway.
fn start() -> (App, Gateway) {
    let api = Pulp::shared().api(HEADER_MODE);
    let gateway = Mode::in_front_of(&api, &Mode::Header.settings());
    (api, gateway)
}

/// Connections that begin a request and do not finish its head.
fn half_sent(port: u16, number: usize) -> Vec<TcpStream> {
    let begin = |_| {
        let mut stream = connect(port);
        stream.write_all(b"GET /v2/team/app/tags/list HTTP/1.1\r\nHost: 127.0.0.1\r\n").unwrap();
        stream
    };
    (0..number).map(begin).collect()
}

fn ask(gateway: &Gateway) {
    Request::new(gateway.port, "GET", "/pulp/api/v3/tasks/").basic(BOB.0, BOB.1).send().expect(200);
}

#[test]
fn clients_that_are_idle_between_and_within_requests_hold_no_worker() {
    let (api, gateway) = start();
    let idle: Vec<TcpStream> = (0..5)
        .map(|_| {
            let mut stream = connect(gateway.port);
            let head = format!("GET /v2/team/app/tags/list HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.host());
            stream.write_all(head.as_bytes()).unwrap();
            assert_eq!(read_reply(&mut stream, false).unwrap().status, 401);
            stream
        })
        .collect();
    let half = half_sent(gateway.port, 5);
    for _ in 0..3 {
        ask(&gateway);
    }
    drop((idle, half));

    // Pulp keeps no connection, whatever it is asked for, and is blocked by two.
    let mut stream = connect(api.port);
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).unwrap().header("connection"), Some("close"));
    let half = half_sent(api.port, 2);
    pause(Duration::from_millis(500));
    let mut stream = connect(api.port);
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let start = Instant::now();
    assert!(read_reply(&mut stream, false).is_none(), "no worker was left for it");
    assert!(start.elapsed() >= Duration::from_secs(2));
    drop(half);
    ask(&gateway);
}
