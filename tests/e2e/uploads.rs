//! `chunk_uploads` and `verify_digests` in front of docker-registry: what clients do works as before, and what is false is refused.

use std::io::Write;

use crate::ctr::Ctr;
use crate::oras::Oras;
use crate::site::{ALICE, Site};
use crate::support::client::docker::Docker;
use crate::support::client::skopeo::Skopeo;
use crate::support::http::{Reply, Request, connect, read_reply};
use crate::support::image::MANIFEST;
use crate::support::{digest, random};

/// The usual site with both settings.
fn site() -> Site {
    Site::with(|settings| settings.upstream.push_str("\nchunk_uploads = true\nverify_digests = true"))
}

#[test]
fn clients_push_as_before() {
    let site = site();
    let image = site.image("image");
    Skopeo::new(site.dir("skopeo")).push(ALICE, &image, &site.repository("team/skopeo")).ok();
    let ctr = Ctr::start(&site);
    ctr.import(&image);
    ctr.push(ALICE, &site.repository("team/ctr:v1")).ok();
    for repository in ["team/skopeo", "team/ctr"] {
        assert!(site.registry.has_manifest(repository, &image.manifest), "{repository}");
    }
    let docker = Docker::start(site.dir("docker"));
    docker.login(&site.host(), ALICE).ok();
    docker.load(&image);
    docker.push("alice", &site.repository("team/docker:v1")).ok();
    assert!(site.registry.has_manifest("team/docker", "v1"));
    let oras = Oras::new(&site);
    oras.keep("payload", &random(100_000));
    let manifest = oras.run("basic", Some(ALICE), "push", &site.repository("team/oras:v1"), &["payload"]).ok().stdout;
    assert!(site.registry.has_manifest("team/oras", manifest.trim()));
    let accesses = site.registry.accesses();
    assert!(accesses.iter().any(|access| access.method == "PATCH" && access.status == 202), "{accesses:#?}");
    assert!(accesses.iter().all(|access| !access.target.contains("tidegate")), "{accesses:#?}");
}

/// Asks as alice.
fn ask(site: &Site, method: &str, target: &str, body: &[u8]) -> Reply {
    let request = Request::new(site.gateway.port, method, target).basic(ALICE.0, ALICE.1);
    request.header("Content-Type", MANIFEST).body(body).send()
}

/// The `Location` of an answer, ready for a parameter.
fn location(reply: &Reply) -> String {
    let location = reply.header("location").unwrap();
    format!("{location}{}", if location.contains('?') { '&' } else { '?' })
}

fn begin(site: &Site) -> String {
    location(&ask(site, "POST", "/v2/team/app/blobs/uploads/", b"").expect(202))
}

#[test]
fn only_what_fits_its_digest_is_stored() {
    let site = site();
    let blob = random(300_000);
    let (name, mut falsified) = (digest(&blob), blob.clone());
    falsified[150_000] ^= 1;

    for bad in [&falsified[..], &blob[..299_999], b""] {
        let refused = ask(&site, "PUT", &format!("{}digest={name}", begin(&site)), bad).expect(400);
        assert_eq!(refused.json()["errors"][0]["code"], "DIGEST_INVALID");
    }
    // One that breaks off.
    let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull,push"]);
    let (target, host, length) = (format!("{}digest={name}", begin(&site)), site.host(), blob.len());
    let mut stream = connect(site.gateway.port);
    let head = format!("PUT {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n");
    write!(stream, "{head}Content-Length: {length}\r\n\r\n").unwrap();
    stream.write_all(&blob[..200_000]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(read_reply(&mut stream, false).is_none_or(|reply| reply.status == 400));
    assert!(!site.registry.has_blob("team/app", &name));
    ask(&site, "PUT", &format!("{}digest={name}", begin(&site)), &blob).expect(201);
    assert!(site.registry.has_blob("team/app", &name));

    let manifest = b"{\"schemaVersion\": 2}";
    let target = format!("/v2/team/app/manifests/{name}");
    let refused = ask(&site, "PUT", &target, manifest).expect(400);
    assert!(refused.text().contains(&format!("expected {name}, got {}", digest(manifest))), "{}", refused.text());
    // The registry may have seen its head, but never its end.
    let seen = site.registry.accesses_of("team/app");
    assert!(seen.iter().all(|access| !access.target.contains("/manifests/") || access.status >= 400), "{seen:#?}");
}

#[test]
fn an_upload_in_pieces_is_the_registrys_to_judge() {
    let site = site();
    let blob = random(300_000);
    let name = digest(&blob);
    let pieces = |end: &[u8]| {
        let first = location(&ask(&site, "PATCH", begin(&site).trim_end_matches('&'), &blob[..100_000]).expect(202));
        assert!(first.contains("tidegate-patched="), "{first}");
        let looked = ask(&site, "GET", first.trim_end_matches('&'), b"").expect(204);
        assert_eq!(looked.header("range"), Some("0-99999"));
        let nothing = ask(&site, "PATCH", first.trim_end_matches('&'), b"").expect(202);
        let second = location(
            &ask(&site, "PATCH", location(&nothing).trim_end_matches('&'), &blob[100_000..200_000]).expect(202),
        );
        ask(&site, "PUT", &format!("{second}digest={name}"), end)
    };
    let refused = pieces(&blob[200_001..]).expect(400);
    assert!(!refused.text().contains("the content does not fit"), "the registry says so: {}", refused.text());
    assert!(!site.registry.has_blob("team/app", &name));
    pieces(&blob[200_000..]).expect(201);
    assert!(site.registry.has_blob("team/app", &name));
}
