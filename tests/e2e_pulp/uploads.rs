//! Uploads that break off or are not what they are said to be. Pulp stores them; the gateway sees to it that it does not.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mode::Mode;
use crate::site::{ALICE, Site};
use crate::support::http::{Reply, Request, connect, read_reply};
use crate::support::image::MANIFEST;
use crate::support::pulp::WRITER;
use crate::support::{digest, random, until};

/// Where requests go: through the gateway, or past it.
#[derive(Clone, Copy)]
struct Way<'a> {
    site: &'a Site,
    past: bool,
}

impl Way<'_> {
    fn port(self) -> u16 {
        if self.past { self.site.api.port } else { self.site.gateway.port }
    }

    fn authorization(self) -> (&'static str, String) {
        let identity = format!(r#"{{"identity":{{"user":{{"username":"{WRITER}"}}}}}}"#);
        if self.past {
            return ("X-Authentication-Service", STANDARD.encode(identity));
        }
        ("Authorization", format!("Basic {}", STANDARD.encode(format!("{}:{}", ALICE.0, ALICE.1))))
    }

    fn ask(self, method: &str, target: &str, range: &str, body: &[u8]) -> Reply {
        let (name, value) = self.authorization();
        let request = Request::new(self.port(), method, target).header(name, &value).header("Content-Type", MANIFEST);
        let request = if range.is_empty() { request } else { request.header("Content-Range", range) };
        request.body(body).send()
    }

    /// Sends a head and the beginning of a body.
    fn open(self, method: &str, target: &str, framing: &str, beginning: &[u8]) -> TcpStream {
        let (name, value) = self.authorization();
        let mut stream = connect(self.port());
        let host = self.site.host();
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{name}: {value}\r\n{framing}\r\n\r\n").unwrap();
        stream.write_all(beginning).unwrap();
        stream
    }

    fn uploads(self) -> String {
        format!("/v2/{}/blobs/uploads/", self.site.name("team/app"))
    }

    /// The `Location` of a new upload.
    fn begin(self) -> String {
        location(&self.ask("POST", &self.uploads(), "", b"").expect(202))
    }

    /// Whether the repository has the blob.
    fn has(self, name: &str) -> bool {
        let target = format!("/v2/{}/blobs/{name}", self.site.name("team/app"));
        // Pulp has it where it sends to the content app for it.
        self.ask("HEAD", &target, "", b"").status == 302
    }
}

fn location(reply: &Reply) -> String {
    reply.header("location").unwrap().to_owned()
}

fn closing(location: &str, name: &str) -> String {
    format!("{location}{}digest={name}", if location.contains('?') { '&' } else { '?' })
}

#[track_caller]
fn is_unfit(reply: Reply) {
    let reply = reply.expect(400);
    assert_eq!(reply.json()["errors"][0]["code"], "DIGEST_INVALID", "{}", reply.text());
}

#[test]
fn what_is_falsified_or_cut_short_is_not_stored() {
    let site = Site::start(Mode::Header);
    let (way, past) = (Way { site: &site, past: false }, Way { site: &site, past: true });
    let blob = random(300_000);
    let mut falsified = blob.clone();
    falsified[7] ^= 1;
    let name = digest(&blob);
    for bad in [&falsified[..], &blob[..299_999], b""] {
        is_unfit(way.ask("PUT", &closing(&way.begin(), &name), "", bad));
        is_unfit(way.ask("POST", &closing(&way.uploads(), &name), "", bad));
    }
    let length = format!("Content-Length: {}", blob.len());
    let mut stream = way.open("PUT", &closing(&way.begin(), &name), &length, &blob[..200_000]);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_reply(&mut stream, false).unwrap().status, 400);
    // What Pulp makes of a broken body it has made of it when it says so.
    let broken = |access: &&crate::support::pulp::Access| access.method == "PUT" && access.status >= 400;
    until("Pulp has given up", std::time::Duration::from_secs(20), || {
        site.accesses("team/app").iter().find(broken).map(drop)
    });
    assert!(!way.has(&name));

    let good = random(300_000);
    way.ask("PUT", &closing(&way.begin(), &digest(&good)), "", &good).expect(201);
    assert!(way.has(&digest(&good)));
    let good = random(300_000);
    way.ask("POST", &closing(&way.uploads(), &digest(&good)), "", &good).expect(201);
    assert!(way.has(&digest(&good)));

    // Else this would show nothing: Pulp takes each of them, but for what broke off in chunks.
    let mut stream = past.open("PUT", &closing(&past.begin(), &name), "Transfer-Encoding: chunked", b"5\r\nhello\r\n");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_reply(&mut stream, false).unwrap().status, 500);
    assert!(!past.has(&name));
    past.ask("PUT", &closing(&past.begin(), &name), "", &falsified).expect(201);
    assert!(past.has(&name));
    let name = digest(&random(10));
    past.ask("POST", &closing(&past.uploads(), &name), "", &falsified).expect(201);
    assert!(past.has(&name));
    let name = digest(&random(10));
    let mut stream = past.open("PUT", &closing(&past.begin(), &name), &length, &blob[..200_000]);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_reply(&mut stream, false).unwrap().status, 201);
    assert!(past.has(&name));
}

#[test]
fn an_upload_in_pieces_is_for_pulp_to_judge() {
    let site = Site::start(Mode::Header);
    let way = Way { site: &site, past: false };
    let blob = random(300_000);
    let name = digest(&blob);
    let ranges = ["0-99999", "100000-199999", "200000-299999"];
    let pieces = |last: &[u8], range: &str| {
        let mut at = way.begin();
        for (piece, range) in blob.chunks(100_000).zip(ranges).take(2) {
            at = location(&way.ask("PATCH", &at, range, piece).expect(202));
            assert!(at.contains("tidegate-patched="), "{at}");
            let looked = way.ask("GET", &at, "", b"").expect(204);
            assert_eq!(looked.header("range").map(|range| range.rsplit('-').next().unwrap()), range.rsplit('-').next());
            at = location(&looked);
            at = location(&way.ask("PATCH", &at, "", b"").expect(202));
        }
        way.ask("PUT", &closing(&at, &name), range, last)
    };
    let false_end = [&blob[200_000..299_999], b"x"].concat();
    assert_eq!(pieces(&false_end, ranges[2]).status, 500, "how Pulp says that a digest did not match");
    assert!(!way.has(&name));
    pieces(&blob[200_000..], "").expect(201);
    assert!(way.has(&name));

    // As docker and podman do it: all in one PATCH without a range, and a PUT without a body.
    let blob = random(300_000);
    let name = digest(&blob);
    let at = way.begin();
    let patched = location(&way.ask("PATCH", &at, "", &blob).expect(202));
    let refused = way.ask("PUT", &closing(&at, &name), "", b"");
    assert!(refused.text().contains("the Location that the last PATCH was answered with"), "{}", refused.text());
    is_unfit(refused);
    assert_eq!(way.ask("PUT", &closing(&patched, &digest(b"false")), "", b"").status, 500);
    way.ask("PUT", &closing(&patched, &name), "", b"").expect(201);
    assert!(way.has(&name));

    // And a blob that is empty.
    let patched = way.ask("PATCH", &way.begin(), "", b"").expect(202);
    way.ask("PUT", &closing(&location(&patched), &digest(b"")), "", b"").expect(201);
    assert!(site.accesses("team/app").iter().all(|access| !access.target.contains("tidegate")));
}

/// A PATCH that is held open while another one comes, and then brings nothing, sets the session back: Pulp then takes the PUT for the
/// whole of the blob. The answers to the first PATCH and to the PUT, and the digest of the false blob.
fn set_back(way: Way<'_>) -> (Reply, Reply, String) {
    let at = way.begin();
    let mut empty = way.open("PATCH", &at, "Transfer-Encoding: chunked", b"");
    // Pulp tells nobody when it has begun with it: see who calls.
    crate::support::pause(std::time::Duration::from_millis(500));
    let patched = location(&way.ask("PATCH", &at, "", b"x").expect(202));
    empty.write_all(b"0\r\n\r\n").unwrap();
    let emptied = read_reply(&mut empty, false).unwrap();
    let name = digest(&random(10));
    (emptied, way.ask("PUT", &closing(&patched, &name), "", b"false"), name)
}

#[test]
fn a_session_cannot_be_set_back_to_pass_for_a_new_one() {
    let site = Site::start(Mode::Header);
    let (way, past) = (Way { site: &site, past: false }, Way { site: &site, past: true });
    let (emptied, refused, name) = set_back(way);
    assert_eq!((emptied.status, refused.status), (400, 500), "Pulp judges, and it does not fit");
    assert!(!way.has(&name));
    // Else this would show nothing. A PATCH that Pulp has not begun with before the other one sets nothing back.
    let mut rounds = (0..10).map(|_| set_back(past)).filter(|(emptied, ..)| emptied.status == 202);
    let (_, stored, name) = rounds.next().expect("Pulp sets sessions back");
    stored.expect(201);
    assert!(past.has(&name));
}

#[test]
fn manifests_pass_in_chunks_and_by_digest_only_if_they_fit() {
    let site = Site::start(Mode::Header);
    let way = Way { site: &site, past: false };
    let config = br#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    way.ask("PUT", &closing(&way.begin(), &digest(config)), "", config).expect(201);
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": config.len()},
    });
    let manifest = manifest.to_string();
    let target = |reference: &str| format!("/v2/{}/manifests/{reference}", site.name("team/app"));
    is_unfit(way.ask("PUT", &target(&digest(manifest.as_bytes())), "", format!("{manifest} ").as_bytes()));
    assert!(
        site.accesses("team/app").iter().all(|access| !access.target.contains("/manifests/") || access.status >= 400)
    );
    for reference in [digest(manifest.as_bytes()), "v1".to_owned()] {
        way.ask("PUT", &target(&reference), "", manifest.as_bytes()).expect(201);
        assert_eq!(way.ask("GET", &target(&reference), "", b"").expect(200).text(), manifest);
    }
}
