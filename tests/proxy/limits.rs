//! How many may come, and how much they may ask for.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::site::{SETUP, Setup, Site};
use crate::support::gateway::{Gateway, Settings, binary};
use crate::support::process::{command, program};
use crate::support::until;
use crate::upstream::{Upstream, ok};
use crate::wire::{LIMIT, Wire};

/// With these lines of `[limits]`.
fn limited(limits: &'static str) -> Site {
    Site::with(&Setup { rest: limits, ..SETUP }, ok)
}

/// A connection from `127.0.0.x` on which a request was begun and answered, or none if it was closed instead.
fn come(site: &Site, from: u8) -> Option<Wire> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, from), 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, site.gateway.port)).into()).unwrap();
    let mut wire = Wire::new(socket.into());
    wire.try_send(format!("{}\r\n", site.begin("GET", "/v2/"))).ok()?;
    let head = wire.try_head()?;
    wire.body(&head);
    assert_eq!(head.status(), 200);
    Some(wire)
}

#[test]
fn one_address_has_so_many_connections_and_others_are_not_concerned() {
    let site = limited("[limits]\nconnections_per_address = 2\n");
    let held = [come(&site, 1), come(&site, 1)];
    assert!(held.iter().all(Option::is_some));
    for _ in 0..3 {
        assert!(come(&site, 1).is_none());
    }
    assert!(come(&site, 2).is_some());
    let log = site.wait_for_log("limits.connections_per_address is reached");
    assert_eq!(log.matches("limits.connections_per_address is reached").count(), 1, "one line for many: {log}");
    drop(held);
    until("there is room again", LIMIT, || come(&site, 1).map(|_| ()));
}

#[test]
fn there_are_so_many_connections_in_all() {
    let site = limited("[limits]\nconnections = 2\n");
    let held = [come(&site, 1), come(&site, 2)];
    assert!(held.iter().all(Option::is_some) && come(&site, 3).is_none());
    site.wait_for_log("limits.connections is reached");
    drop(held);
    until("there is room again", LIMIT, || come(&site, 3).map(|_| ()));
}

#[test]
fn trusted_proxies_bring_as_many_connections_as_they_like() {
    let setup = Setup {
        server: "workers = 1\ntrusted_proxies = [\"127.0.0.2\"]",
        rest: "[limits]\nconnections_per_address = 1\n",
        ..SETUP
    };
    let site = Site::with(&setup, ok);
    let held = [come(&site, 2), come(&site, 2), come(&site, 2)];
    assert!(held.iter().all(Option::is_some));
}

#[test]
fn as_many_files_are_open_as_the_system_allows_and_too_few_are_told() {
    let upstream = Upstream::start(ok);
    for (connections, is_told) in [(10_000, true), (200, false)] {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            hosts: vec!["127.0.0.1"],
            server: "workers = 1".into(),
            token: String::new(),
            upstream_port: upstream.port,
            upstream: String::new(),
            users: Vec::new(),
            rest: format!("[limits]\nconnections = {connections}\n[log]\nlevel = \"info,tidegate=debug\"\n"),
        };
        let gateway = Gateway::start_by(dir.path(), &settings, || {
            let mut limited = command(&program("sh", "dash"), dir.path());
            limited.args(["-c", "ulimit -Sn 300; ulimit -Hn 600; exec \"$0\" \"$@\""]).arg(binary());
            limited
        });
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.id())).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["600", "600"]);
        let log = gateway.log();
        assert!(log.contains("raised the limit of open files"), "{log}");
        assert_eq!(log.contains("\"needed\":20100") && log.contains("set limits.connections to 250"), is_told, "{log}");
    }
}

#[test]
fn a_target_over_the_bound_is_answered_with_414() {
    let site = limited("[limits]\nurl_bytes = \"1KiB\"\n");
    let target = |length: usize| {
        let start = "/v2/team/app/tags/list?last=";
        format!("{start}{}", "x".repeat(length - start.len()))
    };
    assert_eq!(site.ask("GET", &target(1024), "").0.status(), 200);
    let (head, body) = site.ask("GET", &target(1025), "");
    assert_eq!((head.status(), body.json()["errors"][0]["code"].as_str()), (414, Some("UNSUPPORTED")));
    let token = format!("/token?{}", target(1020));
    assert_eq!(site.ask("GET", &token, "").0.status(), 414);
    assert_eq!(site.upstream.heads().len(), 1);
}
