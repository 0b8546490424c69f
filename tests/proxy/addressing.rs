//! What the upstream is told of the way a request came, and what of the upstream's own addresses reaches clients.

use crate::site::{DIGEST, SETUP, Setup, Site, UPLOAD, blob};
use crate::upstream::{answer_with, ok};
use crate::wire::{Head, basic};

/// Everything by which a client could lie about itself or the address it used.
const LIES: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n\
    X-Forwarded-Port: 666\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Server: evil\r\nX-Forwarded-Uri: /evil\r\n\
    X-Forwarded-Scheme: https\r\nX-Forwarded-Ssl: on\r\nX-Real-Ip: 6.6.6.6\r\nX-Request-Id: evil\r\n\
    X_Forwarded_For: 6.6.6.6\r\nX_Forwarded_Proto: https\r\nX_Forwarded-Host: evil.example\r\nX_Real_IP: 6.6.6.6\r\n\
    X-Original-Url: /evil\r\nX-Rewrite-Url: /evil\r\nX-Client-Ip: 6.6.6.6\r\nTrue-Client-Ip: 6.6.6.6\r\n\
    X-Cluster-Client-Ip: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\nX-Http-Method-Override: DELETE\r\n\
    Front-End-Https: on\r\nX-Url-Scheme: https\r\nX-Forwarded-Protocol: https\r\nClient-Ip: 6.6.6.6\r\nContent_Length: 666\r\nX_Request_Id: evil\r\n\
    Forwarded: for=6.6.6.6;proto=https;host=evil.example\r\nForwarded: for=7.7.7.7\r\n";

/// Asserts that nothing of the lies has arrived.
fn is_true(head: &Head, host: &str, scheme: &str) {
    assert_eq!(head.get("host"), Some(host));
    assert_eq!(head.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.get("x-forwarded-proto"), Some(scheme));
    assert_eq!(head.get("x-forwarded-host"), Some(host));
    assert_eq!(head.get("forwarded").map(str::to_owned), Some(format!("for=127.0.0.1;host=\"{host}\";proto={scheme}")));
    for (name, value) in &head.headers {
        for lie in ["6.6.6.6", "7.7.7.7", "evil", "666", "DELETE"] {
            assert!(!value.contains(lie), "{name}: {value}");
        }
    }
    for name in ["x-forwarded-ssl", "x-forwarded-scheme", "front-end-https", "x-url-scheme", "x-forwarded-protocol"] {
        assert!(!head.has_like(name), "{name}: {head:?}");
    }
    let id = head.get("x-request-id").unwrap();
    assert!(id.len() >= 16 && id != "evil", "{id}");
}

#[test]
fn what_a_client_says_of_its_way_is_replaced() {
    let site = Site::new(ok);
    assert_eq!(site.ask("GET", &blob(), LIES).0.status(), 200);
    is_true(&site.upstream.only(), &site.gateway.host(), "http");
}

#[test]
fn the_host_goes_upstream_as_it_came() {
    let site = Site::new(ok);
    for host in ["Registry.Example.ORG", "registry.example.org:80", "localhost", "[::1]:5000", "10.0.0.1"] {
        let mut client = site.connect();
        let authorization = basic(crate::site::ALICE);
        client.send(format!("GET {} HTTP/1.1\r\nhOsT: {host}\r\nAuthorization: {authorization}\r\n\r\n", blob()));
        assert_eq!(client.head().status(), 200, "{host}");
        let head = site.upstream.last();
        assert_eq!((head.get("host"), head.get("x-forwarded-host")), (Some(host), Some(host)));
    }
}

const TRUSTING: Setup = Setup { server: "workers = 1\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]", ..SETUP };

#[test]
fn a_trusted_proxy_is_believed() {
    let site = Site::with(&TRUSTING, ok);
    let headers = "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-For: 10.1.2.3\r\n\
        X-Forwarded-Host: registry.example.org\r\nX-Request-Id: from-the-proxy-1\r\nX-Forwarded-Port: 443\r\n\
        Forwarded: for=9.9.9.9\r\n";
    assert_eq!(site.ask("GET", &blob(), headers).0.status(), 200);
    let head = site.upstream.only();
    assert_eq!(head.get("x-forwarded-for"), Some("6.6.6.6, 192.0.2.7, 10.1.2.3, 127.0.0.1"));
    assert_eq!(head.get("x-forwarded-host"), Some("registry.example.org"));
    assert_eq!(head.get("x-request-id"), Some("from-the-proxy-1"));
    assert_eq!(head.get("x-forwarded-proto"), Some("http"), "the scheme is that of the public URL");
    assert_eq!(head.get("x-forwarded-port"), None);
    let forwarded = head.get("forwarded").unwrap();
    assert!(forwarded.starts_with("for=192.0.2.7;host=\"registry.example.org\""), "{forwarded}");
    assert_eq!(head.get("host"), Some(site.gateway.host().as_str()), "Host stays the one of the connection");
    let log = site.wait_for_log("\"kind\":\"request\"");
    assert!(log.contains("\"client\":\"192.0.2.7\""), "the nearest address that is no proxy's: {log}");
    assert!(log.contains("\"request_id\":\"from-the-proxy-1\""));
}

#[test]
fn a_trusted_proxy_cannot_say_everything() {
    let site = Site::with(&TRUSTING, ok);
    let long = "x".repeat(300);
    for id in ["with blank", "semi;colon\"", long.as_str(), ""] {
        assert_eq!(site.ask("GET", &blob(), &format!("X-Request-Id: {id}\r\n")).0.status(), 200);
        let head = site.upstream.last();
        assert_ne!(head.get("x-request-id"), Some(id));
        assert!(head.get("x-request-id").is_some());
    }
    let nonsense = "X-Forwarded-For: unknown, , x\"y\r\nX-Forwarded-Host: a b, c\r\n";
    assert_eq!(site.ask("GET", &blob(), nonsense).0.status(), 200);
    let head = site.upstream.last();
    let forwarded = head.get("forwarded").unwrap();
    assert!(forwarded.starts_with("for=127.0.0.1;host=\"127.0.0.1:"), "{forwarded}");
}

const NAMES: Setup = Setup {
    public_url: r#""https://registry.example.org", "http://127.0.0.1:{main}", "http://registry.cluster.local:5000""#,
    token: "service = [\"registry.example.org\", \"registry.cluster.local:5000\"]",
    ..SETUP
};

#[test]
fn the_name_that_the_client_uses_chooses_realm_and_scheme() {
    let site = Site::with(&NAMES, ok);
    let own = site.gateway.host();
    let (public, inner) = ("registry.example.org", "registry.cluster.local:5000");
    for (host, realm, service, scheme) in [
        (public, "https://registry.example.org/token", public, "https"),
        ("REGISTRY.example.org:443", "https://registry.example.org/token", public, "https"),
        (inner, "http://registry.cluster.local:5000/token", inner, "http"),
        (own.as_str(), &format!("http://{own}/token"), public, "http"),
        ("elsewhere.example", "https://registry.example.org/token", public, "https"),
    ] {
        let mut client = site.connect();
        client.send(format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let (head, _) = client.reply();
        assert_eq!(head.status(), 401);
        let challenge = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
        assert_eq!(head.get("www-authenticate"), Some(challenge.as_str()), "{host}");
        client.send(format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\n\r\n",
            blob(),
            basic(crate::site::ALICE)
        ));
        assert_eq!(client.reply().0.status(), 200);
        let head = site.upstream.last();
        assert_eq!((head.get("x-forwarded-proto"), head.get("host")), (Some(scheme), Some(host)));
    }
}

#[test]
fn a_client_cannot_choose_the_realm_by_other_headers() {
    let site = Site::with(&NAMES, ok);
    let mut client = site.connect();
    client.send(format!("GET /v2/ HTTP/1.1\r\nHost: {}\r\n{LIES}\r\n", site.gateway.host()));
    let (head, _) = client.reply();
    let realm = format!("realm=\"http://{}/token\"", site.gateway.host());
    assert!(head.get("www-authenticate").unwrap().contains(&realm), "{head:?}");
}

/// What a client sees of a Location that the upstream sent; `{upstream}` and `{host}` stand for authorities.
fn location(site: &Site, sent: &str) -> String {
    let sent = sent
        .replace("{upstream}", &format!("127.0.0.1:{}", site.upstream.port))
        .replace("{host}", &site.gateway.host());
    let (head, _) = site.ask("GET", &blob(), &format!("x-want: {sent}\r\n"));
    assert_eq!(head.status(), 307);
    head.get("location").unwrap().to_owned()
}

#[test]
fn locations_become_public() {
    let setup = Setup { upstream: "content_origins = [\"http://content.example:24816\"]", ..SETUP };
    let site = Site::with(&setup, |head, wire| {
        let location = format!("Location: {}\r\n", head.get("x-want").unwrap());
        answer_with(head, wire, "307 Temporary Redirect", &location, "")
    });
    let path = "/v2/team/app/blobs/uploads/1?_state=a%3D%3D&x=1";
    for ours in [
        "http://{upstream}",
        "http://{host}",
        "https://{host}",
        "HTTP://{upstream}",
        "http://content.example:24816",
        "",
    ] {
        assert_eq!(location(&site, &format!("{ours}{path}")), path, "{ours}");
    }
    for theirs in [
        "https://bucket.s3.example/blob?X-Amz-Signature=abc%2Fdef",
        "http://content.example/x",
        "http://127.0.0.1:1/x",
        "uploads/1",
        "?_state=1",
    ] {
        assert_eq!(location(&site, theirs), theirs);
    }
    // Nothing of ours becomes a way to somebody else.
    for trick in ["http://{upstream}//evil.example/", "http://{upstream}@evil.example/"] {
        let seen = location(&site, trick);
        assert!(seen.starts_with("http://"), "{trick} became {seen}");
    }
}

#[test]
fn links_become_public() {
    let site = Site::new(|head, wire| {
        let own = head.get("host").unwrap().to_owned();
        let links = format!(
            "Link: <http://{own}/v2/team/app/tags/list?n=1&last=a>; rel=\"next\", <https://else.example/>; rel=x\r\n\
             Link: </v2/team/app/tags/list?n=1&last=b>; rel=\"next\"\r\n"
        );
        answer_with(head, wire, "200 OK", &links, "{}")
    });
    let (head, _) = site.ask("GET", "/v2/team/app/tags/list?n=1", "");
    let expected = [
        "</v2/team/app/tags/list?n=1&last=a>; rel=\"next\", <https://else.example/>; rel=x",
        "</v2/team/app/tags/list?n=1&last=b>; rel=\"next\"",
    ];
    assert_eq!(head.all("link"), expected);
}

#[test]
fn the_location_of_a_stored_blob_keeps_its_digest() {
    let site = Site::new(|head, wire| {
        let headers = format!(
            "Location: http://{}/v2/team/app/blobs/{DIGEST}\r\nDocker-Content-Digest: {DIGEST}\r\nRange: 0-4\r\n\
             OCI-Subject: {DIGEST}\r\nDocker-Upload-UUID: 5b2c3d\r\n",
            head.get("host").unwrap()
        );
        answer_with(head, wire, "201 Created", &headers, "")
    });
    let (head, _) = site.ask("PUT", &format!("{UPLOAD}?digest={DIGEST}"), "");
    assert_eq!(head.status(), 201);
    assert_eq!(head.get("location"), Some(blob().as_str()));
    for name in ["docker-content-digest", "oci-subject"] {
        assert_eq!(head.get(name), Some(DIGEST));
    }
    assert_eq!((head.get("range"), head.get("docker-upload-uuid")), (Some("0-4"), Some("5b2c3d")));
}
