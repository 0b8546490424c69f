//! Sockets that are not an address and a port of the gateway's own.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use tempfile::TempDir;

use crate::support::gateway::{Gateway, Ports};
use crate::support::until;
use crate::upstream::{Upstream, ok};
use crate::wire::{LIMIT, Wire};

/// A gateway with these items of `listen` beside the usual one, and lines of `[server]`; everybody may pull from `anywhere/`, and from
/// `inside/` who comes from an address.
pub(crate) fn config(upstream: u16, listen: &str, server: &str) -> impl Fn(Ports) -> String {
    let (listen, server) = (listen.to_owned(), server.to_owned());
    move |Ports { main, admin }| {
        format!(
            "[server]\nlisten = [\"127.0.0.1:{main}\", {listen}]\npublic_url = \"http://gateway.test\"\nworkers = 2\n{server}\n\
             [admin]\nlisten = \"127.0.0.1:{admin}\"\n\
             [[upstream]]\nname = \"registry\"\nurl = \"http://127.0.0.1:{upstream}\"\n\
             [[route]]\nprefix = \"/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n\
             [[access]]\nwho = [\"anyone\"]\nrepositories = [\"anywhere/**\"]\nactions = [\"pull\"]\n\
             [[access]]\nwho = [\"anyone\"]\nrepositories = [\"inside/**\"]\nactions = [\"pull\"]\nfrom = [\"0.0.0.0/0\", \"::/0\"]\n"
        )
    }
}

fn start(dir: &TempDir, listen: &str, server: &str) -> (Gateway, Upstream) {
    let upstream = Upstream::start(ok);
    let render = config(upstream.port, listen, server);
    let gateway = (0..20).find_map(|_| Gateway::try_start(dir.path(), Ports::free(), &render));
    (gateway.expect("no ports stayed free until the gateway bound them"), upstream)
}

/// What a GET of the tags of `name` is answered over a unix socket.
#[track_caller]
fn get(path: &Path, name: &str, headers: &str) -> u16 {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let request =
        format!("GET /v2/{name}/tags/list HTTP/1.1\r\nHost: gateway.test\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

#[test]
fn a_unix_peer_is_served_and_has_no_address() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("gateway.sock");
    let (mut gateway, upstream) = start(&dir, "{ address = \"unix:gateway.sock\", mode = \"0600\" }", "");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // More often than there are workers: whichever accepts, it serves.
    for _ in 0..8 {
        assert_eq!(get(&socket, "anywhere/a", ""), 200);
    }
    let head = upstream.last();
    assert_eq!((head.get("x-forwarded-for"), head.get("x-real-ip")), (None, None));
    assert_eq!(head.get("forwarded"), Some("for=unknown;host=\"gateway.test\";proto=http"));
    // No rule with `from` is for somebody without an address, whatever they say of themselves.
    assert_eq!(get(&socket, "inside/a", ""), 401);
    assert_eq!(get(&socket, "inside/a", "X-Forwarded-For: 192.0.2.7\r\n"), 401);
    until("the log tells of it", LIMIT, || gateway.log().contains("\"client\":\"unix\"").then_some(()));

    assert_eq!(gateway.stop().code(), Some(0));
    assert!(!socket.exists(), "the file is taken away at the end");
}

#[test]
fn a_proxy_on_a_unix_socket_may_be_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("gateway.sock");
    let (_gateway, upstream) = start(&dir, "\"unix:gateway.sock\"", "trusted_proxies = [\"unix\"]");
    assert_eq!(get(&socket, "inside/a", "X-Forwarded-For: 192.0.2.7\r\n"), 200);
    assert_eq!(upstream.last().get("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(get(&socket, "inside/a", ""), 401);
}

#[test]
fn what_a_killed_predecessor_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("gateway.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let (_gateway, _upstream) = start(&dir, "\"unix:gateway.sock\"", "");
    assert_eq!(get(&socket, "anywhere/a", ""), 200);
}

#[test]
fn sockets_of_systemd_are_served_and_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = Upstream::start(ok);
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let render = config(upstream.port, "\"systemd:web\"", "");
    let activate = || {
        let handle = || socket.try_clone().unwrap().into();
        let gateway = (0..20).find_map(|_| Gateway::try_activate(dir.path(), handle(), Ports::free(), &render));
        gateway.expect("no ports stayed free until the gateway bound them")
    };
    let request = "GET /v2/inside/a/tags/list HTTP/1.1\r\nHost: gateway.test\r\n\r\n";
    let ask = |wire: &mut Wire| {
        wire.send(request);
        wire.reply().0.status()
    };
    let mut gateway = activate();
    assert_eq!(ask(&mut Wire::connect(port)), 200);
    assert_eq!(gateway.stop().code(), Some(0));

    // Who comes between two processes waits for the second one.
    let mut waiting = Wire::connect(port);
    waiting.send(request);
    let _gateway = activate();
    assert_eq!(waiting.reply().0.status(), 200);
}

#[test]
fn without_activation_the_gateway_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, config(1, "\"systemd:web\"", "")(Ports::free())).unwrap();
    let finished = crate::support::gateway::cli(&file, &["serve", "--config", "{config}"]);
    assert_eq!(finished.status.code(), Some(1), "{finished}");
    assert!(finished.stderr.contains("systemd:web was not passed on"), "{finished}");
}
