//! The identity header: who the upstream is told is asking.

use serde_json::{Value, json};

use crate::setup::{ALICE, BOB, CAROL, DIGEST, RULES, Site, USERS, add, code, htpasswd};
use crate::upstream;

fn with_identity(section: &str) -> Site {
    Site::with(|settings, _| add(settings, &format!("\n[identity]\n{section}\n")))
}

const ALICE_IS: &str = r#"{"identity":{"user":{"username":"alice"}}}"#;

#[test]
fn the_header_is_the_filters_value_exactly() {
    let site = Site::start();
    let token = site.token(Some(ALICE), &["repository:alice/app:*"]);
    for _ in 0..2 {
        site.get("/v2/alice/app/manifests/v1").bearer(&token).send().expect(200);
        let seen = site.the_forwarded();
        // `printf '{"identity":{"user":{"username":"alice"}}}' | base64`
        let expected = "eyJpZGVudGl0eSI6eyJ1c2VyIjp7InVzZXJuYW1lIjoiYWxpY2UifX19";
        assert_eq!(seen.header("x-authentication-service"), Some(expected));
        assert_eq!(seen.header("authorization"), None);
    }
    site.get("/v2/alice/app/manifests/v1").basic(ALICE.0, ALICE.1).send().expect(200);
    assert_eq!(site.the_forwarded().identity().as_deref(), Some(ALICE_IS));
    let anonymous = site.token(None, &["repository:public/app:pull"]);
    for request in [site.get("/v2/public/app/manifests/v1"), site.get("/v2/public/app/manifests/v1").bearer(&anonymous)]
    {
        request.send().expect(200);
        assert_eq!(site.the_forwarded().identity(), None);
    }
}

#[test]
fn the_document_says_who_and_what() {
    let site = with_identity("filter = '.'\nusername = '.subject'\nanonymous = true");
    let document = |site: &Site| -> Value { serde_json::from_str(&site.the_forwarded().identity().unwrap()).unwrap() };
    let host = site.gateway.host();
    let token = site.token(Some(ALICE), &["repository:alice/app:*"]);
    for (method, target, request) in [
        ("PUT", "/v2/alice/app/manifests/v1".to_owned(), ("v1", "push")),
        ("GET", "/v2/alice/app/manifests/v1".to_owned(), ("v1", "pull")),
        ("DELETE", format!("/v2/alice/app/blobs/{DIGEST}"), (DIGEST, "delete")),
    ] {
        site.request(method, &target).bearer(&token).send().expect(200);
        let (reference, action) = request;
        assert_eq!(
            document(&site),
            json!({
                "subject": "alice", "anonymous": false, "groups": ["dev"], "authn": "users", "claims": {}, "service": host,
                "request": {
                    "kind": "repository", "repository": "alice/app", "reference": reference, "action": action, "method": method,
                },
            })
        );
    }
    site.get("/v2/public/app/tags/list").send().expect(200);
    let seen = document(&site);
    assert_eq!((&seen["subject"], &seen["anonymous"]), (&Value::Null, &json!(true)));
    assert_eq!(seen["request"]["reference"], Value::Null);
    site.get("/v2/_catalog").basic(CAROL.0, CAROL.1).send().expect(200);
    let seen = document(&site);
    assert_eq!((&seen["request"]["kind"], &seen["request"]["action"]), (&json!("catalog"), &json!("catalog")));
}

#[test]
fn a_write_can_be_raised_and_a_read_is_not() {
    let site = with_identity(
        "filter = '{identity: {user: {username: (if (.request.action | IN(\"push\", \"delete\")) then \"registry-writer\" else .subject end)}}}'\n\
         elevated = [\"registry-writer\"]",
    );
    let raised = r#"{"identity":{"user":{"username":"registry-writer"}}}"#;
    let token = site.token(Some(ALICE), &["repository:alice/app:*"]);
    let session = "/v2/alice/app/blobs/uploads/b3f5c9d2";
    // Back and forth, so that what is remembered of one is seen in no other.
    for _ in 0..2 {
        for (method, target, expected) in [
            ("GET", "/v2/alice/app/manifests/v1", ALICE_IS),
            ("PUT", "/v2/alice/app/manifests/v1", raised),
            ("HEAD", "/v2/alice/app/manifests/v1", ALICE_IS),
            ("DELETE", "/v2/alice/app/manifests/v1", raised),
            ("GET", session, raised),
            ("GET", "/v2/alice/app/tags/list", ALICE_IS),
            ("POST", "/v2/alice/app/blobs/uploads/", raised),
        ] {
            site.request(method, target).bearer(&token).send().expect(200);
            assert_eq!(site.the_forwarded().identity().as_deref(), Some(expected), "{method} {target}");
        }
    }
    // Who may not write is not raised, and what is refused reaches nobody.
    site.request("PUT", "/v2/alice/app/manifests/v1").basic(BOB.0, BOB.1).send().expect(403);
    site.nothing_forwarded();
}

#[test]
fn null_and_nothing_are_no_header() {
    let filter = "filter = 'if .request.reference == \"null\" then null elif .request.reference == \"empty\" then empty else {identity: {user: {username: .subject}}} end'";
    let site = with_identity(filter);
    for (reference, expected) in [("null", None), ("empty", None), ("v1", Some(ALICE_IS))] {
        let target = format!("/v2/alice/app/manifests/{reference}");
        // Whatever the client says, where the filter is silent nothing is sent.
        let request = site.get(&target).basic(ALICE.0, ALICE.1).header("X-Authentication-Service", "YWRtaW4=");
        request.send().expect(200);
        assert_eq!(site.the_forwarded().identity().as_deref(), expected, "{reference}");
    }
}

#[test]
fn a_filter_that_fails_refuses_the_request_and_keeps_its_mouth_shut() {
    for filter in [
        "{identity: {user: {username: (.subject - 1)}}}",
        "{identity: {user: {username: .subject.name}}}",
        "{identity: {user: {username: .subject}}}, {identity: {user: {username: .groups[0]}}}",
        "{identity: {user: {username: .groups.name}}}",
    ] {
        let mut site = Site::with(|settings, _| {
            settings.users.push(("mallory-5b1f", "pass-word", &["team-9c2e"]));
            add(settings, &format!("[log]\nlevel = \"trace\"\n[identity]\nfilter = '{filter}'\n"));
            settings.rest = settings.rest.replace("[\"group:dev\"]", "[\"group:dev\", \"group:team-9c2e\"]");
        });
        let user = ("mallory-5b1f", "pass-word");
        let token = site.token(Some(user), &["repository:mallory-5b1f/app:pull"]);
        let reply = site.get("/v2/mallory-5b1f/app/manifests/v1").bearer(&token).send().expect(500);
        assert_eq!(code(&reply), "UNKNOWN");
        assert!(!reply.text().contains("mallory") && !reply.text().contains("team-9c2e"), "{}", reply.text());
        site.nothing_forwarded();
        site.gateway.stop();
        let log = site.gateway.log();
        let error = log.lines().find(|line| line.contains("\"ERROR\"") && line.contains("identity"));
        let error = error.unwrap_or_else(|| panic!("{filter}: nothing said: {log}"));
        assert!(!error.contains("mallory") && !error.contains("team-9c2e"), "{error}");
    }
}

#[test]
fn a_header_over_the_limit_refuses_the_request() {
    let site =
        with_identity("max_header = 64\nfilter = '{identity: {user: {username: .subject}}, x: .request.repository}'");
    site.get("/v2/alice/a-name-that-is-much-too-long-for-the-limit/tags/list")
        .basic(ALICE.0, ALICE.1)
        .send()
        .expect(500);
    site.nothing_forwarded();
}

#[test]
fn a_route_has_a_filter_of_its_own() {
    let site = Site::with(|settings, _| {
        settings.rest = format!(
            "{USERS}{RULES}\n[[route]]\nprefix = \"/v2/shared/\"\nupstream = \"registry\"\nauth = \"registry\"\n\
             identity = '{{identity: {{user: {{username: \"reader\"}}}}}}'\n\
             [[route]]\nprefix = \"/v2/public/\"\nupstream = \"registry\"\nauth = \"registry\"\ncredentials = \"none\"\n"
        );
    });
    let token =
        site.token(Some(ALICE), &["repository:alice/a:pull", "repository:shared/a:pull", "repository:public/a:pull"]);
    let reader = r#"{"identity":{"user":{"username":"reader"}}}"#;
    for (name, expected) in
        [("alice", Some(ALICE_IS)), ("shared", Some(reader)), ("public", None), ("alice", Some(ALICE_IS))]
    {
        site.get(&format!("/v2/{name}/a/manifests/v1")).bearer(&token).send().expect(200);
        let seen = site.the_forwarded();
        assert_eq!(seen.identity().as_deref(), expected, "{name}");
        assert_eq!(seen.header("authorization"), None, "{name}");
    }
}

#[test]
fn nobody_logs_in_as_what_only_the_filter_may_produce() {
    let users = ["admin", "Admin", "ADMIN", "registry-writer", "Registry-Writer"];
    let file: String = htpasswd(&users.map(|name| (name, "right")));
    let site = Site::with(|settings, dir| {
        std::fs::write(dir.join("htpasswd"), format!("{file}frank:{}\n", bcrypt::hash("right", 4).unwrap())).unwrap();
        settings.rest = format!(
            "[identity]\nelevated = [\"registry-writer\"]\n{USERS}[[authn]]\nkind = \"htpasswd\"\nfile = \"htpasswd\"\n\
             [[access]]\nwho = [\"authenticated\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\n"
        );
    });
    for name in users {
        site.gateway.ask_token(Some((name, "right")), &[]).expect(401);
        site.form(&format!("grant_type=password&username={name}&password=right")).expect(401);
        site.get("/v2/x/manifests/v1").basic(name, "right").send().expect(401);
    }
    site.nothing_forwarded();
    site.get("/v2/x/manifests/v1").basic("frank", "right").send().expect(200);
}

#[test]
fn no_identity_of_the_clients_making_comes_through() {
    let site = Site::in_front_of(upstream::OK, |settings, _| {
        settings.rest.push_str("\n[identity]\nstrip = [\"X-House-User\"]\n");
    });
    let token = site.token(Some(ALICE), &["repository:alice/app:*"]);
    let forged = "eyJpZGVudGl0eSI6eyJ1c2VyIjp7InVzZXJuYW1lIjoiYWRtaW4ifX19";
    let names = [
        "X-Authentication-Service",
        "x-authentication-service",
        "X-AUTHENTICATION-SERVICE",
        "X_Authentication_Service",
        "X-Authentication_Service",
        "X_AUTHENTICATION-SERVICE",
        "X-Remote-User",
        "Remote-User",
        "REMOTE_USER",
        "X-Forwarded-User",
        "X_Forwarded_User",
        "X-House-User",
        "X_House_User",
    ];
    for name in names {
        for (method, twice) in [("GET", false), ("GET", true), ("PUT", true)] {
            let request = site.request(method, "/v2/alice/app/manifests/v1").bearer(&token).header(name, forged);
            let request = if twice { request.header(name, forged).header("Connection", name) } else { request };
            request.send();
            for seen in site.forwarded() {
                assert!(!format!("{seen:?}").contains(forged), "{name}: {seen:?}");
                assert_eq!(seen.identity().as_deref(), Some(ALICE_IS), "{name}");
            }
        }
        site.get("/v2/public/app/manifests/v1").header(name, forged).send().expect(200);
        assert!(!format!("{:?}", site.the_forwarded()).contains(forged), "{name}");
    }
}
