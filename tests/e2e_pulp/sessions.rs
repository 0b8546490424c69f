//! Upload sessions as clients could use them, and what else comes back from Pulp's side of the registry.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mode::Mode;
use crate::site::{ALICE, BOB, Site};
use crate::support::client::skopeo::Skopeo;
use crate::support::http::{Reply, Request, connect, read_reply};
use crate::support::image::MANIFEST;
use crate::support::pulp::Pulp;
use crate::support::{digest, random};

impl Site {
    fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.gateway.port, method, target).basic(ALICE.0, ALICE.1)
    }

    /// Begins an upload; its Location.
    fn begin(&self, name: &str) -> String {
        let answer = self.request("POST", &format!("/v2/{}/blobs/uploads/", self.name(name))).send().expect(202);
        location(&answer)
    }

    /// What the blob holds, as a reader gets it.
    fn blob(&self, name: &str, digest: &str) -> Option<Vec<u8>> {
        let answer = self.request("GET", &format!("/v2/{}/blobs/{digest}", self.name(name))).send();
        if answer.status == 404 {
            return None;
        }
        Some(self.request("GET", &location(&answer.expect(302))).send().expect(200).body)
    }
}

fn location(answer: &Reply) -> String {
    let location = answer.header("location").unwrap();
    assert!(location.starts_with('/'), "{location}");
    location.to_owned()
}

/// An upload's Location with the digest added.
fn finish(location: &str, digest: &str) -> String {
    format!("{location}{}digest={digest}", if location.contains('?') { '&' } else { '?' })
}

#[test]
fn chunks_become_a_blob_with_and_without_the_range_of_the_last() {
    let site = Site::start(Mode::Header);
    for with_range in [true, false] {
        let (first, last) = (random(1000), random(500));
        let whole = [first.clone(), last.clone()].concat();
        let digest = digest(&whole);
        let target = site.begin("team/app");
        let patch = site.request("PATCH", &target).header("Content-Range", "0-999").body(&first).send().expect(202);
        assert_eq!(patch.header("range"), Some("0-999"));
        let put = site.request("PUT", &finish(&location(&patch), &digest));
        let put = if with_range { put.header("Content-Range", "1000-1499") } else { put };
        put.body(&last).send().expect(201);
        assert_eq!(site.blob("team/app", &digest), Some(whole));
    }
}

#[test]
fn a_session_can_be_asked_about_and_given_up() {
    let site = Site::start(Mode::Header);
    let target = site.begin("team/app");
    let chunk = random(10);
    let patch = site.request("PATCH", &target).header("Content-Range", "0-9").body(&chunk).send().expect(202);
    let target = location(&patch);
    assert_eq!(site.request("GET", &target).send().expect(204).header("range"), Some("0-9"));
    Request::new(site.gateway.port, "DELETE", &target).basic(BOB.0, BOB.1).send().expect(403);
    site.request("DELETE", &target).send().expect(204);
    site.request("PUT", &finish(&target, &digest(&chunk))).send().expect(404);
}

#[test]
fn an_early_refusal_of_pulp_reaches_a_client_that_is_still_sending() {
    let site = Site::start(Mode::Header);
    let chunk = random(10);
    let target = site.begin("team/app");
    site.request("DELETE", &target).send().expect(204);
    // Pulp answers without reading what comes.
    let body = random(8 << 20);
    let answer = site.request("PATCH", &target).body(&body).send();
    assert_eq!(answer.status, 404, "{}", answer.text());
    let answer = site.request("PUT", &finish(&target, &digest(&body))).body(&body).send();
    assert_eq!(answer.status, 404, "{}", answer.text());
    site.request("PATCH", &site.begin("team/app")).body(&chunk).send().expect(202);
}

#[test]
fn a_client_is_told_to_go_on_once_it_may() {
    let site = Site::start(Mode::Header);
    let body = random(100);
    let digest = digest(&body);
    let target = finish(&site.begin("team/app"), &digest);
    let interim = |stream: &mut TcpStream| {
        let mut interim = [0; 25];
        stream.read_exact(&mut interim).unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    };
    // Pulp says so before it knows who asks; the gateway only to whom it lets through.
    let head = |user: (&str, &str)| {
        let credentials = STANDARD.encode(format!("{}:{}", user.0, user.1));
        format!(
            "PUT {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {credentials}\r\nContent-Length: 100\r\n\
             Expect: 100-continue\r\nConnection: close\r\n\r\n",
            site.host()
        )
    };
    let mut stream = connect(site.api.port);
    let stranger = format!("PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n");
    stream.write_all(stranger.as_bytes()).unwrap();
    interim(&mut stream);
    stream.shutdown(Shutdown::Both).unwrap();
    let mut stream = connect(site.gateway.port);
    stream.write_all(head(BOB).as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream, false).unwrap().status, 403);
    let mut stream = connect(site.gateway.port);
    stream.write_all(head(ALICE).as_bytes()).unwrap();
    interim(&mut stream);
    stream.write_all(&body).unwrap();
    assert_eq!(read_reply(&mut stream, false).unwrap().status, 201);
    assert_eq!(site.blob("team/app", &digest), Some(body));
}

#[test]
fn a_locked_repository_asks_for_patience() {
    let site = Site::start(Mode::Header);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    skopeo.push(ALICE, &image, &site.repository("team/app")).ok();
    let name = site.name("team/app");
    let found = site.api.rest("GET", &format!("repositories/container/container/?name={name}"), None).expect(200);
    let repository = found.json()["results"][0]["prn"].as_str().unwrap().to_owned();

    // The tasks that the push has made wait again, for a worker that there is none like.
    let tasks = |set: &str| {
        Pulp::shared().sql(&format!(
            "update core_task set {set} where reserved_resources_record @> array['{repository}'] and pulp_created < now() \
             returning pulp_id"
        ))
    };
    let locked = tasks("state = 'waiting', unblocked_at = null, versions = 'core=>999'");
    assert!(!locked.is_empty());
    let manifest = std::fs::read(image.oci.join("blobs/sha256").join(&image.manifest["sha256:".len()..])).unwrap();
    let put = || {
        let request = site.request("PUT", &format!("/v2/{name}/manifests/v2"));
        request.header("Content-Type", MANIFEST).body(&manifest).send()
    };
    let answer = put();
    tasks("state = 'completed', versions = ''");
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("2"), "Pulp says nothing of it");
    put().expect(201);
}
