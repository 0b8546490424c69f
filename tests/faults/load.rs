//! Very many requests, while the configuration changes under them.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::scaled;
use crate::support::process::{descriptors, resident};
use crate::support::site::{ALICE, SETUP, Setup, Site, blob};
use crate::support::until;
use crate::support::upstream::ok;
use crate::support::wire::{LIMIT, basic};

const CLIENTS: usize = 8;
const RELOADS: usize = 10;
/// How many requests a client sends over one connection, and with one token.
const PER_CONNECTION: usize = 500;

const SETTINGS: Setup =
    Setup { server: "workers = 2", upstream: "credentials = \"identity\"\npool_idle_timeout = \"1s\"", ..SETUP };

/// Sends `count` requests, each of which has to succeed.
fn client(site: &Site, count: usize, done: &AtomicUsize) {
    let host = site.gateway.host();
    let mut left = count;
    while left > 0 {
        let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull"]);
        let authorizations = [format!("Bearer {token}"), basic(ALICE)];
        let mut client = site.connect();
        for n in 0..PER_CONNECTION.min(left) {
            let authorization = &authorizations[n % 2];
            client.send(format!("GET {} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\r\n", blob()));
            let (head, body) = client.reply();
            assert_eq!((head.status(), body.text().as_str(), body.whole), (200, "ok", true), "{head:?}");
            done.fetch_add(1, Ordering::SeqCst);
            left -= 1;
            if head.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                break;
            }
        }
    }
}

#[test]
fn no_request_fails_while_the_configuration_is_read_again_and_nothing_is_left_behind() {
    let total = scaled(4_000, 200_000);
    let mut site = Site::with(&SETTINGS, ok);
    let id = site.gateway.id();
    let before = descriptors(id);
    let run = |site: &Site, total: usize, during: &mut dyn FnMut(&AtomicUsize)| {
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| client(site, total / CLIENTS, &done));
            }
            during(&done);
        });
    };
    // What it keeps in any case is there after this.
    run(&site, total / 4, &mut |_| {});
    let memory = resident(id);

    let config = site.gateway.config.clone();
    let text = std::fs::read_to_string(&config).unwrap();
    let signals = site.gateway.signals();
    let start = Instant::now();
    run(&site, total, &mut |done| {
        for n in 1..=RELOADS {
            until("requests go on", Duration::from_secs(600), || {
                (done.load(Ordering::SeqCst) >= n * total / (RELOADS + 1)).then_some(())
            });
            // Another rule each time, whole at once.
            let rule = format!(
                "\n[[access]]\nwho = [\"user:bob\"]\nrepositories = [\"extra-{n}/**\"]\nactions = [\"pull\"]\n"
            );
            let new = config.with_extension("new");
            std::fs::write(&new, format!("{text}{rule}")).unwrap();
            std::fs::rename(&new, &config).unwrap();
            signals(Signal::HUP);
        }
    });
    let took = start.elapsed();
    let grown = resident(id).saturating_sub(memory);
    eprintln!(
        "{total} requests with {RELOADS} signals to read the configuration: {:.0} a second; {} KiB of memory more",
        total as f64 / took.as_secs_f64(),
        grown / 1024
    );
    std::io::stderr().flush().unwrap();
    assert!(grown < 8 << 20, "it has grown by {grown} bytes");
    until("all descriptors are closed again", LIMIT, || (descriptors(id) <= before).then_some(()));
    assert_eq!(site.gateway.stop().code(), Some(0));
}
