//! Many connections over which nothing comes.

use std::io::Write as _;

use crate::support::process::{allow_descriptors, descriptors, resident};
use crate::support::site::{SETUP, Setup, Site, blob};
use crate::support::until;
use crate::support::upstream::ok;
use crate::support::wire::{LIMIT, Wire};
use crate::{UNBOUNDED, scaled};

/// Nobody is asked to leave for being idle.
const PATIENT: Setup = Setup {
    server: "workers = 2\nheader_timeout = \"1h\"\nidle_timeout = \"1h\"",
    upstream: "credentials = \"identity\"\npool_idle_timeout = \"1s\"",
    rest: UNBOUNDED,
    ..SETUP
};

#[test]
fn idle_connections_cost_little_and_are_served_when_they_wake() {
    let count = scaled(500, 10_000);
    allow_descriptors(count as u64 + 500);
    let site = Site::with(&PATIENT, ok);
    let id = site.gateway.id();
    let before = descriptors(id);
    for _ in 0..100 {
        assert_eq!(site.get().0.status(), 200);
    }
    let memory = resident(id);

    // One half has asked before, the other half never has.
    let request = format!("{}\r\n", site.begin("GET", &blob()));
    let mut idle: Vec<Wire> = Vec::with_capacity(count);
    for n in 0..count {
        let mut client = site.connect();
        if n % 2 == 0 {
            client.send(&request);
            assert_eq!(client.reply().0.status(), 200);
        }
        idle.push(client);
    }
    until("all are accepted", LIMIT, || (descriptors(id) >= before + count).then_some(()));
    let each = resident(id).saturating_sub(memory) / count;
    eprintln!("{count} idle connections: {each} bytes of memory each");
    std::io::stderr().flush().unwrap();
    assert!(each < 64 * 1024, "{each} bytes each");

    assert_eq!(site.get().0.status(), 200, "somebody new is served");
    for client in idle.iter_mut().step_by(count / 50) {
        client.send(&request);
        assert_eq!(client.reply().0.status(), 200, "and so is who wakes");
    }
    drop(idle);
    until("all descriptors are closed again", LIMIT, || (descriptors(id) <= before).then_some(()));
}
