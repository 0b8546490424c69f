//! The PROXY protocol on a listener: who is believed, what follows from it, and what becomes of everything else.

use tempfile::TempDir;

use crate::listen::config;
use crate::support::gateway::{Gateway, Ports};
use crate::support::{port, until};
use crate::upstream::{Upstream, ok};
use crate::wire::{End, LIMIT, Wire};

/// A gateway with a listener for proxies. Everybody may pull from `inside/` who comes from some address, and from `far/` who comes from
/// 192.0.2.0/24 or `2001:db8::/32`.
struct Edge {
    gateway: Gateway,
    upstream: Upstream,
    /// Where proxies come.
    port: u16,
    _dir: TempDir,
}

const FAR: &str = "[[access]]\nwho = [\"anyone\"]\nrepositories = [\"far/**\"]\nactions = [\"pull\"]\n\
                   from = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n";

fn edge(server: &str, rest: &str) -> Edge {
    let dir = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(ok);
    let try_start = |port: u16| {
        let listen = format!("{{ address = \"127.0.0.1:{port}\", proxy_protocol = true }}");
        let config = config(upstream.port, &listen, server);
        let render = |ports: Ports| format!("{}{FAR}{rest}", config(ports));
        Some((Gateway::try_start(dir.path(), Ports::free(), &render)?, port))
    };
    let (gateway, port) = (0..20).find_map(|_| try_start(port::free())).expect("no ports stayed free");
    Edge { gateway, upstream, port, _dir: dir }
}

impl Edge {
    /// What a GET of the tags of `name` is answered to whom `header` introduces.
    #[track_caller]
    fn get(&self, header: &[u8], name: &str, headers: &str) -> u16 {
        let mut wire = Wire::connect(self.port);
        wire.send(header);
        wire.send(format!("GET /v2/{name}/tags/list HTTP/1.1\r\nHost: gateway.test\r\n{headers}\r\n"));
        wire.reply().0.status()
    }

    /// Waits until the log tells of a request from this client.
    #[track_caller]
    fn logs_client(&self, client: &str) {
        let line = format!("\"client\":\"{client}\"");
        until(&format!("the log holds {line}"), LIMIT, || self.gateway.log().contains(&line).then_some(()));
    }

    /// Sends `bytes` over a connection that is then only listened to, and yields how it ends.
    #[track_caller]
    fn refused(&self, bytes: &[u8]) -> End {
        // It may be closed before it is known here that it was open, or before all has been sent.
        let mut wire = match Wire::try_connect(self.port) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return End::Reset,
            connected => connected.unwrap(),
        };
        let _ = wire.try_send(bytes);
        let (heard, end) = wire.read_to_end();
        assert_eq!(String::from_utf8_lossy(&heard), "", "nobody is told anything");
        end
    }
}

const TRUSTING: &str = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n";

/// A header of version 2 that tells 192.0.2.7, or by `LOCAL` nothing, with a TLV that nobody reads.
fn binary(command: u8) -> Vec<u8> {
    let addresses = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb, 0x04, 0, 2, 0, 0];
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, 0x11, 0, 17], &addresses].concat()
}

#[test]
fn the_address_that_a_trusted_proxy_tells_is_the_client_s() {
    let edge = edge(TRUSTING, "");
    for header in [LINE.to_vec(), binary(0x21)] {
        assert_eq!(edge.get(&header, "far/a", ""), 200);
        let head = edge.upstream.last();
        assert_eq!(head.get("x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(head.get("forwarded"), Some("for=192.0.2.7;host=\"gateway.test\";proto=http"));
    }
    edge.logs_client("192.0.2.7");
    assert_eq!(edge.get(b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", "far/a", ""), 200);
    edge.logs_client("2001:db8::7");
    assert_eq!(edge.get(b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 443\r\n", "far/a", ""), 401);
}

#[test]
fn a_header_in_pieces_is_one_header() {
    let edge = edge(TRUSTING, "");
    for header in [LINE.to_vec(), binary(0x21)] {
        let mut wire = Wire::connect(edge.port);
        let request = b"GET /v2/far/a/tags/list HTTP/1.1\r\nHost: gateway.test\r\n\r\n";
        for byte in header.iter().chain(request) {
            wire.send([*byte]);
        }
        assert_eq!(wire.reply().0.status(), 200);
        // It stands once, at the beginning: what follows is HTTP.
        wire.send(&header);
        assert_eq!(wire.reply().0.status(), 400);
    }
}

#[test]
fn a_proxy_speaks_for_itself_and_for_clients_without_an_address() {
    let edge = edge(TRUSTING, "");
    assert_eq!(edge.get(&binary(0x20), "inside/a", ""), 200);
    edge.logs_client("127.0.0.1");
    assert_eq!(edge.get(&binary(0x20), "far/a", ""), 401, "whatever a LOCAL header tells beside");
    let unknown = b"PROXY UNKNOWN 192.0.2.7 10.0.0.1 4711 443\r\n";
    assert_eq!(edge.get(unknown, "anywhere/a", ""), 200);
    edge.logs_client("unknown");
    assert_eq!(edge.get(unknown, "inside/a", ""), 401);
    assert_eq!(edge.get(unknown, "far/a", "X-Forwarded-For: 192.0.2.7\r\n"), 401, "nobody unknown is believed");
}

#[test]
fn forwarded_headers_are_judged_by_the_address_that_was_told() {
    let edge = edge(TRUSTING, "");
    let said = "X-Forwarded-For: 192.0.2.7\r\n";
    // A client that the load balancer passes on may write what it likes.
    assert_eq!(edge.get(b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 443\r\n", "far/a", said), 401);
    // A proxy that speaks HTTP between the two is believed.
    assert_eq!(edge.get(b"PROXY TCP4 10.1.1.1 10.0.0.1 4711 443\r\n", "far/a", said), 200);
    assert_eq!(edge.upstream.last().get("x-forwarded-for"), Some("192.0.2.7, 10.1.1.1"));
}

#[test]
fn what_is_no_header_ends_the_connection() {
    let edge = edge(TRUSTING, "");
    for bytes in [
        b"GET /v2/ HTTP/1.1\r\nHost: gateway.test\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\n\n",
        &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
        &binary(0x22),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ] {
        edge.refused(bytes);
    }
    until("the log says why", LIMIT, || edge.gateway.log().contains("PROXY header").then_some(()));
    assert!(edge.upstream.heads().is_empty());
    // Other listeners know no such header.
    let mut wire = Wire::connect(edge.gateway.port);
    wire.send(LINE);
    assert_eq!(wire.reply().0.status(), 400);
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let edge = edge(&format!("{TRUSTING}\nheader_timeout = \"300ms\""), "");
    edge.refused(b"PROXY TCP4 192.0.2.7 ");
    edge.refused(b"");
    until("the log says why", LIMIT, || edge.gateway.log().contains("no PROXY header came within 300ms").then_some(()));
}

#[test]
fn nobody_else_may_tell_an_address() {
    let edge = edge("trusted_proxies = [\"10.0.0.0/8\"]", "");
    edge.refused(LINE);
    edge.refused(b"GET /v2/ HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
    until("the log says why", LIMIT, || {
        edge.gateway.log().contains("only trusted_proxies may send a PROXY header").then_some(())
    });
}

#[test]
fn connections_are_counted_by_the_address_that_was_told() {
    let edge = edge(TRUSTING, "[limits]\nconnections_per_address = 1\n");
    let begin = |address: &str| {
        let mut wire = Wire::connect(edge.port);
        wire.send(format!("PROXY TCP4 {address} 10.0.0.1 4711 443\r\nGET /v2/ HTTP/1.1\r\nHost: gateway.test\r\n\r\n"));
        wire
    };
    let mut first = begin("192.0.2.7");
    assert_eq!(first.reply().0.status(), 401);
    assert_eq!(begin("192.0.2.8").reply().0.status(), 401, "all come by way of one proxy");
    assert_eq!(String::from_utf8_lossy(&begin("192.0.2.7").read_to_end().0), "");
    first.finish();
    first.read_to_end();
    until("the place is free again", LIMIT, || begin("192.0.2.7").try_head().map(|_| ()));
}
