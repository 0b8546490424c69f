//! Who is asking, as Pulp is told by the identity header or by a token.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::mode::Mode;
use crate::site::{ALICE, BOB, CAROL, Site};
use crate::support::client::skopeo::Skopeo;
use crate::support::http::Request;
use crate::support::pulp::{Access, WRITER};

/// The content of the header for `user`.
pub(crate) fn named(user: &str) -> String {
    format!(r#"{{"identity":{{"user":{{"username":"{user}"}}}}}}"#)
}

#[test]
fn pulp_knows_readers_by_their_names_and_writes_by_the_elevated_one() {
    let site = Site::start(Mode::Header);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    skopeo.push(ALICE, &image, &site.repository("public/app")).ok();
    skopeo.pull(None, &site.repository("public/app:v1"), "nobody").ok();
    skopeo.push(ALICE, &image, &site.repository("team/app")).ok();
    skopeo.pull(Some(BOB), &site.repository("team/app:v1"), "bob").ok();

    let accesses = [site.accesses("public/app"), site.accesses("team/app")].concat();
    let mut seen = [0; 4];
    for access in &accesses {
        assert_eq!(access.authorization, None, "{access:?}");
        let reading = matches!(access.method.as_str(), "GET" | "HEAD") && !access.target.contains("/blobs/uploads/");
        match access.identity.as_deref() {
            identity if !reading => {
                assert_eq!(identity, Some(&*named(WRITER)), "{access:?}");
                seen[0] += 1;
            }
            Some(identity) if identity == named("alice") => seen[1] += 1,
            Some(identity) if identity == named("bob") => seen[2] += 1,
            None if access.target.contains("v2/public/") => seen[3] += 1,
            other => panic!("neither a write nor one of the readers: {other:?}: {access:?}"),
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "writes, alice, bob, nobody: {seen:?}");

    let users = site.api.users();
    for user in ["alice", "bob", WRITER] {
        assert_eq!(users.iter().filter(|name| *name == user).count(), 1, "{users:?}");
    }

    // Under their own names they may read there and nothing more, which is what the elevated one is for.
    let name = site.name("team/app");
    let direct = |method, target: &str| {
        let identity = STANDARD.encode(named("alice"));
        Request::new(site.api.port, method, target).header("X-Authentication-Service", &identity).send()
    };
    direct("GET", &format!("/v2/{name}/manifests/v1")).expect(200);
    direct("POST", &format!("/v2/{name}/blobs/uploads/")).expect(403);
    direct("DELETE", &format!("/v2/{name}/manifests/{}", image.manifest)).expect(403);
    // Whoever asks hears of signatures, which have a route of their own.
    let stranger = Request::new(site.api.port, "GET", "/v2/").send().expect(401);
    assert_eq!(stranger.header("x-registry-supports-signatures"), Some("1"));
}

/// What the token says that came with a request.
fn claims(access: &Access) -> Value {
    let token = access.authorization.as_ref().and_then(|value| value.strip_prefix("Bearer "));
    let payload = token.and_then(|token| token.split('.').nth(1)).unwrap_or_else(|| panic!("no token: {access:?}"));
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// A push and pulls by two people and nobody; then what Pulp was told.
fn tokens(mode: Mode) -> (Site, Vec<(Access, Value)>) {
    let site = Site::start(mode);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    skopeo.push(ALICE, &image, &site.repository("public/app")).ok();
    skopeo.push(ALICE, &image, &site.repository("team/app")).ok();
    skopeo.pull(None, &site.repository("public/app:v1"), "nobody").ok();
    skopeo.pull(Some(BOB), &site.repository("team/app:v1"), "bob").ok();
    // Whoever comes without a token: Pulp wants one all the same.
    let tags = |name: &str| Request::new(site.gateway.port, "GET", &format!("/v2/{}/tags/list", site.name(name)));
    tags("team/app").basic(BOB.0, BOB.1).send().expect(200);
    tags("public/app").send().expect(200);
    tags("team/app").basic(CAROL.0, CAROL.1).send().expect(403);
    tags("team/app").send().expect(401);

    let accesses = [site.accesses("public/app"), site.accesses("team/app")].concat();
    for access in &accesses {
        assert_eq!(access.identity, None, "{access:?}");
        assert_ne!(access.status, 401, "{access:?}");
    }
    let accesses = accesses.into_iter().map(|access| (access.clone(), claims(&access))).collect();
    (site, accesses)
}

/// Asserts that everyone who asked is named, and by whom what was written.
fn assert_subjects(site: &Site, accesses: &[(Access, Value)]) {
    let mut seen = std::collections::BTreeMap::new();
    for (access, claims) in accesses {
        assert_eq!(claims["aud"], site.host(), "{access:?}");
        let subject = claims["sub"].as_str().unwrap();
        if !matches!(access.method.as_str(), "GET" | "HEAD") {
            assert_eq!(subject, "alice", "{access:?}");
        }
        *seen.entry(subject).or_insert(0) += 1;
    }
    let subjects: Vec<&&str> = seen.keys().collect();
    assert_eq!(subjects, [&"", &"alice", &"bob"]);
}

#[test]
fn pulp_gets_the_tokens_that_clients_have() {
    let (site, accesses) = tokens(Mode::Token);
    assert_subjects(&site, &accesses);
}

#[test]
fn pulp_gets_a_token_for_each_request_and_no_more_than_it_needs() {
    let (site, accesses) = tokens(Mode::Minted);
    assert_subjects(&site, &accesses);
    let mut ids = std::collections::BTreeSet::new();
    for (access, claims) in &accesses {
        assert!(ids.insert(claims["jti"].as_str().unwrap()), "a token for two requests: {access:?}");
        assert_eq!(claims.get("tidegate"), None, "groups are nobody else's business");
        if access.target.ends_with("/tags/list") {
            let name = access.target.strip_prefix("/v2/").unwrap().strip_suffix("/tags/list").unwrap();
            assert_eq!(claims["access"], json!([{"type": "repository", "name": name, "actions": ["pull"]}]));
        }
    }
}

#[test]
fn pulp_gets_tokens_for_the_registry_and_the_header_for_the_rest() {
    let (site, accesses) = tokens(Mode::Hybrid);
    assert_subjects(&site, &accesses);
    let target = format!("/pulp/api/v3/tasks/?name={}", site.name("team/app"));
    Request::new(site.gateway.port, "GET", &target).basic(BOB.0, BOB.1).send().expect(200);
    let of_rest: Vec<_> = site.api.accesses().into_iter().filter(|access| access.target == target).collect();
    assert_eq!((of_rest.len(), &of_rest[0].authorization), (1, &None));
    assert_eq!(of_rest[0].identity.as_deref(), Some(&*named("bob")));
    // Neither is good for the other.
    let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull"]);
    Request::new(site.gateway.port, "GET", &target).bearer(&token).send().expect(401);
}
