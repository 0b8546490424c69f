//! What of a request's target reaches an upstream: the canonical form of what was judged, or nothing.

use crate::site::{BOB, DIGEST, SETUP, Setup, Site, UPLOAD};
use crate::upstream::ok;
use crate::wire::basic;

/// The status of a raw request line of alice's.
fn raw(site: &Site, line: &str) -> u16 {
    let mut client = site.connect();
    let authorization = basic(crate::site::ALICE);
    client.send(format!("{line} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\n\r\n", site.gateway.host()));
    client.head().status()
}

#[test]
fn what_could_be_read_in_two_ways_reaches_nobody() {
    let site = Site::new(ok);
    for target in [
        "/v2/team%2fapp/manifests/v1",
        "/v2/team%2Fapp/manifests/v1",
        "/v2/team/app%2fmanifests/v1",
        "/v2/team/app/manifests/%2e%2e/v1",
        "/v2/team/app/manifests/%2e%2e",
        "/v2/team/%2e/app/manifests/v1",
        "/v2/team/../app/manifests/v1",
        "/v2/../v2/team/app/manifests/v1",
        "/v2/team/./app/manifests/v1",
        "/v2//team/app/manifests/v1",
        "//v2/team/app/manifests/v1",
        "/v2/team//app/manifests/v1",
        "/v2/team/app;x=1/manifests/v1",
        "/v2/team/app/manifests/v1;x=1",
        "/v2/team\\app/manifests/v1",
        "/v2/team%5capp/manifests/v1",
        "/v2/team/app/manifests/v1%00",
        "/v2/team%00/app/manifests/v1",
        "/v2/team/app/manifests/v1%0d%0aX-Evil:%201",
        "/v2/team%c0%afapp/manifests/v1",
        "/v2/team/%c0%ae%c0%ae/manifests/v1",
        "/v2/team/app/manifests/%e0%80%af",
        "/v2/team/app/manifests/%ff",
        "/v2/team/app/manifests/%",
        "/v2/team/app/manifests/%2",
        "/v2/team/app/manifests/%zz",
        "/v2/team%252fapp/manifests/v1",
        "/v2/team/app/manifests/v1/",
        "/v2/Team/app/manifests/v1",
        "/v2/team/app/manifests/v1%20",
        "/v2/team/app/blobs/sha256:short",
        "/v2/team/app/blobs/../../secret/app/blobs/x",
        "/V2/team/app/manifests/v1",
    ] {
        let status = raw(&site, &format!("GET {target}"));
        assert!((400..500).contains(&status), "{target}: {status}");
    }
    assert!(site.upstream.heads().is_empty(), "{:?}", site.upstream.heads());
}

#[test]
fn what_is_spelt_otherwise_goes_on_in_its_canonical_form() {
    let site = Site::new(ok);
    let host = site.gateway.host();
    let canonical = "/v2/team/app/manifests/v1";
    for target in [
        "/v2/%74eam/app/manifests/v1".to_owned(),
        "/v2/team/app/manifests/v%31".to_owned(),
        "/%76%32/team/app/manifests/v1".to_owned(),
        "/v2/team/app/manifests/v1?".to_owned(),
        format!("http://{host}/v2/team/app/manifests/v1"),
    ] {
        let status = raw(&site, &format!("GET {target}"));
        assert_eq!((status, site.upstream.last().target()), (200, canonical), "{target}");
        assert_eq!(site.upstream.last().get("host"), Some(host.as_str()));
    }
    // A fragment is no part of a request target; whether it is cut off or refused, nobody else sees it.
    for target in ["/v2/team/app/manifests/v1#/v2/secret/app/manifests/v1", "/v2/team/app/manifests/v1#"] {
        let before = site.upstream.heads().len();
        let status = raw(&site, &format!("GET {target}"));
        if site.upstream.heads().len() > before {
            assert_eq!((status, site.upstream.last().target()), (200, canonical), "{target}");
        } else {
            assert_eq!(status, 400, "{target}");
        }
    }
}

#[test]
fn decisions_are_about_what_is_sent() {
    // Bob reads `team/` only; each of these must not become a way into `secret/`.
    let site = Site::new(ok);
    for target in [
        "/v2/team/../secret/app/manifests/v1",
        "/v2/team/%2e%2e/secret/app/manifests/v1",
        "/v2/secret/app/manifests/v1#/v2/team/app/manifests/v1",
        "/v2/secret/app/manifests/v1?/v2/team/app/manifests/v1",
        "/v2/secret%2fapp/manifests/v1",
        "/v2/secret/app/manifests/v1",
    ] {
        let mut client = site.connect();
        let (host, bob) = (site.gateway.host(), basic(BOB));
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {bob}\r\nX-Forwarded-Uri: /v2/team/app/manifests/v1\r\n\
             X-Original-URL: /v2/team/app/manifests/v1\r\nX-Http-Method-Override: GET\r\nUser-Agent: GoogleHC/1.0\r\n\r\n"
        ));
        let status = client.head().status();
        assert!((400..500).contains(&status), "{target}: {status}");
    }
    assert!(site.upstream.heads().is_empty());
}

#[test]
fn queries_are_rebuilt() {
    let site = Site::new(ok);
    for (target, sent) in [
        ("/v2/team/app/tags/list?n=10&last=v1", "/v2/team/app/tags/list?n=10&last=v1"),
        ("/v2/team/app/manifests/v1?ns=docker.io", "/v2/team/app/manifests/v1?ns=docker.io"),
        ("/v2/_catalog?n=%31", "/v2/_catalog?n=1"),
    ] {
        assert_eq!(raw(&site, &format!("GET {target}")), 200, "{target}");
        assert_eq!(site.upstream.last().target(), sent);
    }
}

const SESSIONS: &str = "/v2/team/app/blobs/uploads/";

#[test]
fn parameters_that_decide_stand_once() {
    let site = Site::new(ok);
    let other = DIGEST.replace("e3b0", "0000");
    for line in [
        format!("POST {SESSIONS}?mount={DIGEST}&mount={DIGEST}&from=team/base"),
        format!("POST {SESSIONS}?mount={DIGEST}&from=team/base&from=secret/base"),
        format!("POST {SESSIONS}?mount={DIGEST}&from=team/base&%66rom=secret/base"),
        format!("POST {SESSIONS}?digest={DIGEST}&digest={other}"),
        format!("PUT {UPLOAD}?digest={DIGEST}&digest={other}"),
        format!("PUT {UPLOAD}?digest={DIGEST}&digest={DIGEST}"),
    ] {
        assert_eq!(raw(&site, &line), 400, "{line}");
    }
    assert!(site.upstream.heads().is_empty());
}

#[test]
fn a_mount_goes_on_as_it_was_judged() {
    let site = Site::new(ok);
    let line = format!("POST {SESSIONS}?from=team%2Fbase&mount={}", DIGEST.replace(':', "%3A"));
    assert_eq!(raw(&site, &line), 200);
    let head = site.upstream.only();
    let (path, query) = head.target().split_once('?').unwrap();
    assert_eq!(path, SESSIONS);
    let mut parts: Vec<String> = query.split('&').map(|part| part.replace("%2F", "/").replace("%3A", ":")).collect();
    parts.sort();
    assert_eq!(parts, ["from=team/base".to_owned(), format!("mount={DIGEST}")]);
}

const PUSHER: Setup =
    Setup { rest: "[[access]]\nwho = [\"user:bob\"]\nrepositories = [\"team/app\"]\nactions = [\"push\"]\n", ..SETUP };

#[test]
fn a_mount_of_what_the_caller_may_not_read_becomes_an_upload() {
    let site = Site::with(&PUSHER, ok);
    for query in [
        format!("mount={DIGEST}&from=secret/base"),
        format!("mount={DIGEST}"),
        format!("mount={DIGEST}&from="),
        format!("mount={DIGEST}&from=../secret"),
    ] {
        let mut client = site.connect();
        client.send(format!(
            "POST {SESSIONS}?{query} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\r\n",
            site.gateway.host(),
            basic(BOB)
        ));
        assert_eq!(client.head().status(), 200, "{query}");
        assert_eq!(site.upstream.last().target(), SESSIONS, "{query}");
        assert_eq!(site.upstream.last().get("content-length"), Some("0"));
    }
}

#[test]
fn without_mounts_every_mount_becomes_an_upload() {
    let site = Site::with(&Setup { upstream: "mounts = false", ..SETUP }, ok);
    assert_eq!(raw(&site, &format!("POST {SESSIONS}?mount={DIGEST}&from=team/base")), 200);
    assert_eq!(site.upstream.only().target(), SESSIONS);
}

#[test]
fn a_mount_in_a_form_is_only_bytes() {
    let site = Site::new(ok);
    let form = format!("mount={DIGEST}&from=secret/base");
    let closing = format!("{UPLOAD}?digest={DIGEST}");
    for kind in
        ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain\r\nContent-Type: x/y"]
    {
        for (method, target) in [("POST", SESSIONS), ("PATCH", UPLOAD), ("PUT", closing.as_str())] {
            let (head, _) = site.ask_with(method, target, &format!("Content-Type: {kind}\r\n"), &form);
            assert_eq!(head.status(), 200, "{method} {kind}");
            let head = site.upstream.last();
            assert_eq!((head.get("content-type"), head.target()), (Some("application/octet-stream"), target));
        }
    }
    // A manifest has a type of its own, and keeps it.
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let headers = format!("Content-Type: {kind}\r\n");
    assert_eq!(site.ask_with("PUT", "/v2/team/app/manifests/v1", &headers, "{}").0.status(), 200);
    assert_eq!(site.upstream.last().get("content-type"), Some(kind));
}

#[test]
fn methods_and_paths_that_nobody_knows_are_refused() {
    let site = Site::new(ok);
    for (line, status) in [
        ("TRACE /v2/team/app/manifests/v1", 405),
        ("TRACE /", 405),
        ("CONNECT registry.example:443", 405),
        ("CONNECT 127.0.0.1:22", 405),
        ("POST /v2/team/app/manifests/v1", 405),
        ("BREW /v2/team/app/manifests/v1", 405),
        ("GET /", 404),
        ("GET /v3/", 404),
        ("GET /v2x/team/app/manifests/v1", 404),
        ("GET /pulp/api/v3/", 404),
        ("GET /metrics", 404),
        ("GET /healthz", 404),
        ("GET /v2/team/app/nothing/v1", 404),
    ] {
        assert_eq!(raw(&site, line), status, "{line}");
    }
    assert!(site.upstream.heads().is_empty());
}

#[test]
fn the_ping_is_answered_by_the_gateway_alone() {
    let site = Site::new(ok);
    assert_eq!(raw(&site, "GET /v2/"), 200);
    assert_eq!(raw(&site, "GET /v2"), 200);
    assert!(site.upstream.heads().is_empty());
}
