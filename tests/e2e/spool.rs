//! Bodies that are kept until they are whole, and a disk that has no room for them.

use crate::site::{ALICE, Site, directory, settings};
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::Gateway;
use crate::support::http::{Reply, Request};
use crate::support::registry::Registry;
use crate::support::{digest, random};

const KIB: usize = 1024;

/// A site whose gateway keeps bodies on a disk of 512 KiB.
fn site() -> Site {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let mut settings = settings(registry.port);
    settings.upstream.push_str("\nspool = { memory = \"4KiB\", directory = \"disk/spool\" }\nmax_concurrent = 2");
    let gateway = Gateway::start_with_disk(dir.path(), &settings, "disk", 512 * KIB);
    Site::of(gateway, registry, dir)
}

fn upload(site: &Site, blob: &[u8]) -> Reply {
    let port = site.gateway.port;
    let begun = Request::new(port, "POST", "/v2/team/app/blobs/uploads/").basic(ALICE.0, ALICE.1).send().expect(202);
    let location = begun.header("location").unwrap();
    let separator = if location.contains('?') { '&' } else { '?' };
    let target = format!("{location}{separator}digest={}", digest(blob));
    Request::new(port, "PUT", &target).basic(ALICE.0, ALICE.1).body(blob).send()
}

#[test]
fn a_full_disk_is_507_and_the_registry_hears_nothing() {
    let site = site();
    let (small, large) = (random(300 * KIB), random(600 * KIB));
    upload(&site, &small).expect(201);
    assert!(site.registry.has_blob("team/app", &digest(&small)));

    let reply = upload(&site, &large).expect(507);
    assert_eq!(reply.json()["errors"][0]["code"], "UNAVAILABLE");
    assert_eq!(reply.json()["errors"][0]["message"], "the gateway has no room to keep the request body");
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(site.uploads("team/app"), 1);
    let puts = site.registry.accesses_of("team/app").into_iter().filter(|access| access.method == "PUT");
    assert_eq!(puts.count(), 1, "the registry has heard nothing of the second");
    let log = site.gateway.log();
    assert!(log.contains("there is no room for a request body in") && log.contains("\"level\":\"ERROR\""), "{log}");

    // What was written of it is gone.
    let again = random(300 * KIB);
    upload(&site, &again).expect(201);
    assert!(site.registry.has_blob("team/app", &digest(&again)));
}

#[test]
fn a_client_pushes_through_it() {
    let site = site();
    let image = site.image("image");
    let skopeo = Skopeo::new(site.dir("skopeo"));
    skopeo.push(ALICE, &image, &site.repository("team/app")).ok();
    assert!(site.registry.has_manifest("team/app", "v1"));
    assert_eq!(site.uploads("team/app"), 3);
}
