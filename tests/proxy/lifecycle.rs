//! Beginning, ending, and being asked how one is.

use std::process::ExitStatus;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use crate::site::{SETUP, Setup, Site, UPLOAD, blob, start};
use crate::support::gateway::Gateway;
use crate::support::http::Request;
use crate::support::until;
use crate::upstream::{Then, ok};
use crate::wire::{LIMIT, Wire};

/// Status and text of an admin page; none when nobody answers.
fn admin(port: u16, page: &str) -> Option<(u16, String)> {
    Request::new(port, "GET", page).try_send().map(|reply| (reply.status, reply.text()))
}

/// Ends a gateway with one SIGTERM, and waits for its end in a thread: a second signal would cut what the test looks at.
fn end(mut gateway: Gateway) -> JoinHandle<ExitStatus> {
    std::thread::spawn(move || gateway.stop())
}

#[test]
fn a_drain_lets_transfers_finish_and_ends_with_0() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let site = Site::new(move |head, wire| {
        wire.body(head);
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none");
        wait.lock().unwrap().recv_timeout(LIMIT).unwrap();
        wire.send("two");
        Then::Keep
    });
    let mut idle = site.connect();
    let mut client = site.connect();
    client.send(format!("{}\r\n", site.begin("GET", &blob())));
    let head = client.head();
    assert_eq!(client.up_to(3), b"one");

    let (port, admin_port) = (site.gateway.port, site.gateway.admin);
    let Site { gateway, upstream: _upstream, dir: _dir } = site;
    let ended = end(gateway);
    until("the gateway says that it drains", LIMIT, || {
        admin(admin_port, "/readyz").filter(|(status, text)| *status == 503 && text.contains("draining"))
    });
    assert_eq!(admin(admin_port, "/healthz").unwrap().0, 200);
    assert_eq!(idle.read_to_end().0, b"", "idle connections end at once");
    // Nobody new is let in.
    until("the listener is closed", LIMIT, || std::net::TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()));

    go.send(()).unwrap();
    assert_eq!(client.up_to(3), b"two");
    assert_eq!(head.get("content-length"), Some("6"));
    drop(client);
    assert_eq!(ended.join().unwrap().code(), Some(0));
}

#[test]
fn a_drain_lets_uploads_finish() {
    let (came, begun) = channel();
    let site = Site::new(move |head, wire| {
        came.send(()).unwrap();
        ok(head, wire)
    });
    let mut client = site.connect();
    client.send(format!("{}Content-Length: 6\r\n\r\none", site.begin("PATCH", UPLOAD)));
    begun.recv_timeout(LIMIT).unwrap();
    let admin_port = site.gateway.admin;
    let Site { gateway, upstream: _upstream, dir: _dir } = site;
    let ended = end(gateway);
    until("the gateway drains", LIMIT, || admin(admin_port, "/readyz").filter(|(status, _)| *status == 503));
    client.send("two");
    let (head, body) = client.reply();
    assert_eq!((head.status(), body.text().as_str(), head.get("connection")), (200, "ok", Some("close")));
    drop(client);
    assert_eq!(ended.join().unwrap().code(), Some(0));
}

#[test]
fn a_drain_does_not_wait_for_ever() {
    let setup = Setup { server: "workers = 1\ndrain_timeout = \"300ms\"", ..SETUP };
    let mut site = Site::with(&setup, |_, wire| {
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none");
        wire.read_to_end();
        Then::Close
    });
    let mut client = site.connect();
    client.send(format!("{}\r\n", site.begin("GET", &blob())));
    client.head();
    assert_eq!(client.up_to(3), b"one");
    let status = site.gateway.stop();
    // Cut, and not ended as if it were whole.
    assert_eq!(client.read_to_end(), (Vec::new(), crate::wire::End::Reset));
    assert!(status.code().is_some(), "it ended by itself: {status}");
    site.upstream.wait_for_ends(1);
}

#[test]
fn readiness_follows_the_upstream() {
    let site = Site::new(ok);
    assert_eq!(admin(site.gateway.admin, "/readyz").unwrap().0, 200);
    site.upstream.fail_probes();
    let (_, text) = until("the gateway notices", LIMIT, || {
        admin(site.gateway.admin, "/readyz").filter(|(status, _)| *status == 503)
    });
    assert!(text.contains("upstream registry") && text.contains("500"), "{text}");
    assert_eq!(admin(site.gateway.admin, "/healthz").unwrap().0, 200);
    // Requests are tried all the same.
    assert_eq!(site.get().0.status(), 200);
    site.upstream.stop();
    until("the gateway notices", LIMIT, || {
        admin(site.gateway.admin, "/readyz").filter(|(_, text)| text.contains("cannot connect"))
    });
}

#[test]
fn a_probe_carries_nothing_of_any_client() {
    let (seen, probes) = channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let mut wire = Wire::new(stream);
            let Some(head) = wire.try_head_however_late() else { return };
            let _ = wire.try_send("HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            if seen.send(head).is_err() {
                return;
            }
        }
    });
    // An upstream that wants credentials is alive.
    let (_gateway, _dir) = start(&SETUP, port);
    let head = probes.recv_timeout(LIMIT).unwrap();
    assert_eq!(head.start, "GET /v2/ HTTP/1.1");
    for name in ["authorization", "x-authentication-service", "cookie"] {
        assert_eq!(head.get(name), None);
    }
}

#[test]
fn without_a_route_it_is_a_token_server() {
    let (gateway, _dir) = start(&Setup { upstream: "", ..SETUP }, 0);
    let token = gateway.ask_token(Some(crate::site::ALICE), &["repository:team/app:pull"]).expect(200);
    assert!(token.json()["token"].as_str().unwrap().split('.').count() == 3);
    let get = |path: &str| Request::new(gateway.port, "GET", path).send().status;
    assert_eq!(get("/.well-known/jwks.json"), 200);
    for path in ["/v2/", &blob(), "/"] {
        assert_eq!(get(path), 404, "{path}");
    }
}

#[test]
fn a_listener_for_tokens_serves_nothing_else() {
    let upstream = crate::upstream::Upstream::start(ok);
    let setup = Setup { token: "listen = \"127.0.0.1:{spare}\"", ..SETUP };
    let (gateway, _dir) = start(&setup, upstream.port);
    let config = std::fs::read_to_string(&gateway.config).unwrap();
    let token = config.split_once("[token]\nlisten = \"127.0.0.1:").unwrap().1;
    let port = token.split_once('"').unwrap().0.parse().unwrap();
    let get = |path: &str| Request::new(port, "GET", path).basic("alice", "alice-secret").send().status;
    assert_eq!(get(&format!("/token?service={}", gateway.host())), 200);
    assert_eq!(get("/.well-known/jwks.json"), 200);
    for path in ["/v2/", &blob(), "/healthz"] {
        assert_eq!(get(path), 404, "{path}");
    }
    assert!(upstream.heads().is_empty());
}
