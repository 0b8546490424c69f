//! Who is asking, as the upstream is told with `credentials = "identity"`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::site::{ALICE, Site, directory, settings};
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::Gateway;
use crate::support::http::Request;
use crate::support::registry::Registry;
use crate::support::relay::{Relay, Treatment};

const IDENTITY: &str = r#"
[identity]
header = "X-Authentication-Service"
filter = '''
{identity: {user: {username: (if (.request.action | IN("push", "delete")) then "registry-writer" else .subject end)}}}
'''
elevated = ["registry-writer"]
"#;

/// A site whose registry is reached through a relay that sees every request.
fn site() -> (Site, Relay) {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let relay = Relay::start(registry.port, |_| Treatment::Pass);
    let mut settings = settings(relay.port);
    settings.upstream.push_str("\npool = false");
    settings.rest.push_str(IDENTITY);
    let gateway = Gateway::start(dir.path(), &settings);
    (Site::of(gateway, registry, dir), relay)
}

/// The values of all headers `name` in a request head, however it is spelled.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.replace('_', "-").eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

/// The identity header of a request head, decoded.
fn identity(head: &str) -> Option<Value> {
    match values(head, "x-authentication-service")[..] {
        [] => None,
        [value] => Some(serde_json::from_slice(&STANDARD.decode(value).unwrap()).unwrap()),
        ref more => panic!("more than one: {more:?}"),
    }
}

#[test]
fn the_registry_is_told_who_reads_and_that_the_gateway_writes() {
    let (site, relay) = site();
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    for name in ["team/app", "public/app"] {
        skopeo.push(ALICE, &image, &site.repository(name)).ok();
    }
    skopeo.pull(Some(ALICE), &site.repository("team/app:v1"), "out").ok();
    skopeo.pull(None, &site.repository("public/app:v1"), "public").ok();

    // The readiness probe asks for `/v2/` on the gateway's own account.
    let heads: Vec<String> = relay.heads().into_iter().filter(|head| !head.contains(" /v2/ HTTP/1.1")).collect();
    let mut seen = [0; 3];
    for head in &heads {
        assert_eq!(values(head, "authorization"), [""; 0], "credentials end at the gateway: {head}");
        let user = identity(head).map(|identity| identity["identity"]["user"]["username"].clone());
        let method = head.split(' ').next().unwrap();
        match (method, user) {
            ("POST" | "PATCH" | "PUT", user) => {
                assert_eq!(user, Some(json!("registry-writer")), "{head}");
                seen[0] += 1;
            }
            ("GET" | "HEAD", Some(user)) => {
                assert_eq!(user, json!("alice"), "{head}");
                seen[1] += 1;
            }
            ("GET" | "HEAD", None) => {
                assert!(head.contains(" /v2/public/app/"), "only the public repository is read anonymously: {head}");
                seen[2] += 1;
            }
            _ => panic!("neither a read nor a write: {head}"),
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "writes, reads and anonymous reads: {seen:?}");
}

#[test]
fn what_a_client_says_of_itself_never_arrives() {
    let (site, relay) = site();
    let forged = STANDARD.encode(r#"{"identity":{"user":{"username":"admin"}}}"#);
    let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull"]);
    let request = |marker: &str| Request::new(site.gateway.port, "GET", &format!("/v2/team/app/manifests/{marker}"));
    for (marker, name) in
        [("a", "X-Authentication-Service"), ("b", "x-authentication-service"), ("c", "X_Authentication_Service")]
    {
        request(marker).header(name, &forged).header(name, &forged).bearer(&token).send().expect(404);
    }
    request("d")
        .header("X-Authentication-Service", &forged)
        .header("Connection", "X-Authentication-Service")
        .bearer(&token)
        .send()
        .expect(404);
    request("e")
        .header("Remote-User", "admin")
        .header("X-Remote-User", "admin")
        .header("X-Forwarded-User", "admin")
        .bearer(&token)
        .send()
        .expect(404);
    let anonymous = Request::new(site.gateway.port, "GET", "/v2/public/app/manifests/f");
    anonymous.header("X-Authentication-Service", &forged).send().expect(404);

    let heads = relay.heads();
    for marker in ["a", "b", "c", "d", "e"] {
        let head = heads.iter().find(|head| head.contains(&format!("/manifests/{marker} "))).unwrap();
        assert_eq!(identity(head), Some(json!({"identity": {"user": {"username": "alice"}}})), "{head}");
        assert!(!head.contains("admin"), "{head}");
    }
    let head = heads.iter().find(|head| head.contains("/manifests/f ")).unwrap();
    assert_eq!(identity(head), None, "{head}");
}
