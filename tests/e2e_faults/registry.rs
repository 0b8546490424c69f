//! A registry that is killed, started again, stopped, and let go on.

use std::io::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;

use crate::site::{ask, begin, closing, directory, ready, settings, upload};
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::Gateway;
use crate::support::http::{connect, read_reply};
use crate::support::image::Image;
use crate::support::people::ALICE;
use crate::support::process::descriptors;
use crate::support::registry::Registry;
use crate::support::{digest, random, until};

const SOON: Duration = Duration::from_secs(20);

/// Begins an upload that promises `blob` and brings half of it.
fn half_upload(gateway: &Gateway, blob: &[u8]) -> std::net::TcpStream {
    let target = closing(&begin(gateway), blob);
    let mut stream = connect(gateway.port);
    let credentials = STANDARD.encode(format!("{}:{}", ALICE.0, ALICE.1));
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {credentials}\r\nContent-Length: {}\r\n\r\n",
        gateway.host(),
        blob.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&blob[..blob.len() / 2]).unwrap();
    stream
}

#[test]
fn a_registry_that_is_killed_is_missed_told_of_and_found_again() {
    let dir = directory();
    let mut registry = Registry::start(dir.path());
    let gateway = Gateway::start(dir.path(), &settings(registry.port));
    let before = descriptors(gateway.id());
    let blob = random(1 << 20);
    upload(&gateway, &blob).expect(201);
    let other = random(1 << 20);
    let mut stream = half_upload(&gateway, &other);

    registry.signal(Signal::KILL);
    // Who is within a request hears of it, as do those who come after.
    let cut = read_reply(&mut stream, false).unwrap();
    assert_eq!((cut.status, cut.json()["errors"][0]["code"].as_str()), (502, Some("UNAVAILABLE")));
    let target = format!("/v2/team/app/blobs/{}", digest(&blob));
    for _ in 0..20 {
        ask(&gateway, "GET", &target).send().expect(502);
    }
    let told = until("the gateway is not ready", SOON, || Some(ready(&gateway)).filter(|reply| reply.status == 503));
    assert!(told.text().contains("upstream registry"), "{}", told.text());

    registry = Registry::try_start(dir.path(), registry.port, "").expect("the port is still free");
    until("the gateway is ready again", SOON, || Some(ready(&gateway)).filter(|reply| reply.status == 200));
    assert_eq!(ask(&gateway, "GET", &target).send().expect(200).body, blob);
    assert!(!registry.stores(&digest(&other)), "what broke off is not stored");
    upload(&gateway, &other).expect(201);
    assert!(registry.has_blob("team/app", &digest(&other)));
    drop(stream);
    until("descriptors are closed", SOON, || (descriptors(gateway.id()) <= before).then_some(()));
}

#[test]
fn a_push_that_a_killed_registry_broke_off_ends_well_by_hand() {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let gateway = Gateway::start(dir.path(), &settings(registry.port));
    let new = |name: &str| {
        let dir = dir.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    };
    let image = Image::make(&new("image"), 3, 4 * 1024);
    let skopeo = Skopeo::new(new("skopeo"));
    let repository = format!("{}/team/app", gateway.host());
    let port = registry.port;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut registry = registry;
            until("the push has begun", SOON, || gateway.log().contains("blobs/uploads/").then_some(()));
            registry.signal(Signal::KILL);
        });
        let pushed = skopeo.push(ALICE, &image, &repository);
        assert!(!pushed.status.success(), "there was no registry any more: {pushed}");
    });
    let registry = Registry::try_start(dir.path(), port, "").expect("the port is still free");
    skopeo.push(ALICE, &image, &repository).ok();
    skopeo.pull(Some(ALICE), &format!("{repository}:v1"), "out").ok();
    assert!(registry.has_manifest("team/app", "v1"));
}

#[test]
fn a_registry_that_stands_still_is_waited_for_and_given_up() {
    let dir = directory();
    let mut registry = Registry::start(dir.path());
    let gateway = Gateway::start(dir.path(), &settings(registry.port));
    let before = descriptors(gateway.id());
    let blob = random(100_000);
    upload(&gateway, &blob).expect(201);
    let target = format!("/v2/team/app/blobs/{}", digest(&blob));

    registry.signal(Signal::STOP);
    // The kernel still takes connections for it.
    let start = Instant::now();
    let answer = ask(&gateway, "GET", &target).send().expect(504);
    assert_eq!(answer.json()["errors"][0]["code"], "UNAVAILABLE");
    assert!(start.elapsed() >= Duration::from_secs(2), "it had its time");
    let all: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..20).map(|_| scope.spawn(|| ask(&gateway, "GET", &target).send().status)).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    assert_eq!(all, [504; 20]);
    assert!(start.elapsed() < SOON, "they wait side by side");
    until("the gateway is not ready", SOON, || Some(ready(&gateway)).filter(|reply| reply.status == 503));

    // One that stands still for less than its time is waited for.
    registry.signal(Signal::CONT);
    until("the gateway is ready again", SOON, || Some(ready(&gateway)).filter(|reply| reply.status == 200));
    registry.signal(Signal::STOP);
    let asking = std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&gateway, "GET", &target).send());
        until("the request is decided", SOON, || {
            (gateway.log().matches("\"action\":\"blob.get\"").count() >= 22).then_some(())
        });
        registry.signal(Signal::CONT);
        asking.join().unwrap()
    });
    assert_eq!(asking.expect(200).body, blob);
    until("descriptors are closed", SOON, || (descriptors(gateway.id()) <= before).then_some(()));
}
