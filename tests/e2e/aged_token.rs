//! Tokens that expire between two layers. The shortest life of a token is a minute, so this test takes a little longer.
//!
//! containerd is not among the clients. Its 1.6 was seen to show an expired token twice, to send the manifest without any, and
//! after that 401 to repeat the request with a new token and, in two of five runs under load, never to send its body.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::curl::{challenge, claims};
use crate::site::{ALICE, Site, directory, settings};
use crate::support::client::docker::Docker;
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::Gateway;
use crate::support::http::{Reply, Request};
use crate::support::registry::Registry;
use crate::support::relay::{Gate, Relay, Treatment};
use crate::support::{digest, pause, random};

/// Where each client pushes to, and how it sends a layer.
const CLIENTS: [(&str, &str); 2] = [("team/skopeo", "PATCH "), ("team/docker", "PATCH ")];

/// Puts a whole blob into an upload session that `started` has begun.
fn finish(site: &Site, started: &Reply, blob: &[u8], token: &str) -> Reply {
    let location = started.header("location").unwrap();
    let separator = if location.contains('?') { '&' } else { '?' };
    let target = format!("{location}{separator}digest={}", digest(blob));
    Request::new(site.gateway.port, "PUT", &target).bearer(token).body(blob).send()
}

/// Tokens that the audit lines tell of.
fn issued(site: &Site) -> usize {
    site.gateway.log().matches(r#""event":"token""#).count()
}

#[test]
fn a_push_outlives_its_token() {
    let dir = directory();
    let registry = Registry::start(dir.path());
    // The registry takes in the first layer of each client only when the client's token has expired.
    let (gates, held) = (<[Arc<Gate>; 2]>::default(), <[AtomicBool; 2]>::default());
    let relay_gates = gates.clone();
    let relay = Relay::start(registry.port, move |head| {
        let sends = |(name, method): (&str, &str)| {
            head.starts_with(method) && head.contains(&format!(" /v2/{name}/blobs/uploads/"))
        };
        match CLIENTS.iter().position(|client| sends(*client)) {
            Some(client) if !held[client].swap(true, Ordering::SeqCst) => {
                Treatment::Hold(Arc::clone(&relay_gates[client]))
            }
            _ => Treatment::Pass,
        }
    });
    let mut settings = settings(relay.port);
    settings.token = "ttl = \"60s\"".into();
    settings.server = "body_idle_timeout = \"5m\"".into();
    settings.upstream.push_str("\npool = false");
    let gateway = Gateway::start(dir.path(), &settings);
    let site = Site::of(gateway, registry, dir);

    let scope = ["repository:team/hand:pull,push"];
    let old = site.gateway.token(Some(ALICE), &scope);
    let post =
        |token: &str| Request::new(site.gateway.port, "POST", "/v2/team/hand/blobs/uploads/").bearer(token).send();
    let (first, second) = (random(1000), random(1000));
    finish(&site, &post(&old).expect(202), &first, &old).expect(201);
    let started = post(&old).expect(202);

    let docker = Docker::start(site.dir("docker"));
    let skopeo = Skopeo::new(site.dir("skopeo"));
    docker.load(&site.image("docker-image"));
    docker.login(&site.host(), ALICE).ok();
    let image = site.image("skopeo-image");
    let limit = Duration::from_secs(120);
    std::thread::scope(|scope| {
        let pushes = [
            scope.spawn(|| skopeo.push_within(limit, ALICE, &image, &site.repository("team/skopeo"))),
            scope.spawn(|| docker.push_within(limit, "alice", &site.repository("team/docker:v1"))),
        ];
        for gate in &gates {
            assert!(gate.reached(Duration::from_secs(30)), "a client sends its first layer");
        }
        let before = issued(&site);
        // Later than every token of before: they were asked for before now, and live for 60 seconds.
        pause(Duration::from_secs(61));
        for gate in &gates {
            gate.open();
        }
        for push in pushes {
            push.join().unwrap().ok();
        }
        assert!(issued(&site) >= before + 2, "each client has asked for another token");
    });
    for (repository, _) in CLIENTS {
        assert!(site.registry.has_manifest(repository, "v1"));
        assert_eq!(site.uploads(repository), 3);
    }

    // The same by hand: the old token is refused by name, and what it began goes on with a new one.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(claims(&old)["exp"].as_u64().unwrap() <= now);
    let refused = finish(&site, &started, &second, &old).expect(401);
    assert_eq!(challenge(&refused)["error"], "invalid_token");
    assert_eq!(challenge(&refused)["scope"], scope[0]);
    assert!(!site.registry.has_blob("team/hand", &digest(&second)));
    let new = site.gateway.token(Some(ALICE), &scope);
    finish(&site, &started, &second, &new).expect(201);
    assert!(site.registry.has_blob("team/hand", &digest(&second)));
}
