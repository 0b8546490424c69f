//! How many may come, and how much they may ask for.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::site::{SETUP, Setup, Site};
use crate::support::until;
use crate::upstream::ok;
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
