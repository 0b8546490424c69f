//! What upstreams are told instead of, or beside, the identity header; and what becomes of it when they are not content.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::jwt::{access, claims, part, signed, state_key};
use crate::setup::{ALICE, BOB, CAROL, DIGEST, RULES, Site, USERS, challenged, code};
use crate::upstream::{Answer, OK, Seen};

/// A gateway whose upstream is told this.
fn telling(answer: Answer, credentials: &str) -> Site {
    Site::in_front_of(answer, |settings, _| {
        settings.upstream = format!("credentials = {credentials}");
        settings.rest = format!("{USERS}{RULES}");
    })
}

#[track_caller]
fn bearer(seen: &Seen) -> &str {
    seen.header("authorization").unwrap().strip_prefix("Bearer ").unwrap()
}

#[test]
fn an_account_of_the_gateway_takes_the_place_of_the_clients() {
    let site = telling(OK, "{ basic = { username = \"gateway\", password = \"of its own\" } }");
    let account = format!("Basic {}", STANDARD.encode("gateway:of its own"));
    let token = site.token(Some(ALICE), &["repository:alice/app:pull"]);
    let target = "/v2/alice/app/manifests/v1";
    for request in [
        site.get(target).bearer(&token),
        site.get(target).basic(ALICE.0, ALICE.1),
        site.get("/v2/public/app/manifests/v1"),
    ] {
        request.send().expect(200);
        let seen = site.the_forwarded();
        assert_eq!(seen.header("authorization"), Some(account.as_str()));
        assert_eq!(seen.header("x-authentication-service"), None);
    }
}

#[test]
fn nothing_is_told_where_nothing_is_to_be_told() {
    let site = telling(OK, "\"none\"");
    let token = site.token(Some(ALICE), &["repository:alice/app:pull"]);
    let request = site.get("/v2/alice/app/manifests/v1").bearer(&token);
    request.header("X-Authentication-Service", "eA==").header("Proxy-Authorization", "Basic eDp4").send().expect(200);
    let seen = site.the_forwarded();
    for name in ["authorization", "x-authentication-service", "proxy-authorization"] {
        assert_eq!(seen.header(name), None);
    }
}

#[test]
fn the_clients_token_passes_through_as_it_is() {
    let site = telling(OK, "\"forward-token\"");
    let token = site.token(Some(ALICE), &["repository:alice/app:pull,push"]);
    for _ in 0..2 {
        site.get("/v2/alice/app/manifests/v1").bearer(&token).send().expect(200);
        assert_eq!(bearer(&site.the_forwarded()), token);
    }
    // Who came without one gets one, for this request only.
    site.request("PUT", "/v2/alice/app/manifests/v1").basic(ALICE.0, ALICE.1).send().expect(200);
    let seen = site.the_forwarded();
    assert_eq!(access(bearer(&seen)), ["repository:alice/app:pull,push"]);
    assert_eq!(claims(bearer(&seen))["sub"], "alice");
}

#[test]
fn a_minted_token_says_exactly_what_is_done() {
    let site = telling(OK, "\"mint-token\"");
    let token = site.token(Some(ALICE), &["repository:alice/app:*", "repository:shared/lib:pull"]);
    let mount = format!("/v2/alice/app/blobs/uploads/?mount={DIGEST}&from=shared/lib");
    let host = "registry.test:5000";
    for (method, target, scopes) in [
        ("GET", "/v2/alice/app/manifests/v1", vec!["repository:alice/app:pull"]),
        ("PUT", "/v2/alice/app/manifests/v1", vec!["repository:alice/app:pull,push"]),
        ("DELETE", "/v2/alice/app/manifests/v1", vec!["repository:alice/app:delete"]),
        // distribution asks pull and push of any POST, whatever it mounts.
        ("POST", &mount, vec!["repository:alice/app:pull,push", "repository:shared/lib:pull"]),
    ] {
        site.request(method, target).host(host).bearer(&token).send().expect(200);
        let seen = site.the_forwarded();
        let minted = bearer(&seen);
        assert_eq!(access(minted), scopes, "{method} {target}");
        let claims = claims(minted);
        assert_eq!((&claims["sub"], &claims["aud"]), (&json!("alice"), &json!(host)));
        assert_eq!(
            claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
            90,
            "a minute, and what it is early"
        );
        assert_eq!(claims.get("tidegate"), None, "the upstream learns of no groups");
        // What the upstream was given is no good at the gateway.
        site.get("/v2/").bearer(minted).send().expect(401);
        site.nothing_forwarded();
    }
    site.get("/v2/public/app/manifests/v1").send().expect(200);
    assert_eq!(claims(bearer(&site.the_forwarded()))["sub"], "");
    site.get("/v2/_catalog").basic(CAROL.0, CAROL.1).send().expect(200);
    assert_eq!(access(bearer(&site.the_forwarded())), ["registry:catalog:*"]);
    site.get("/v2/alice/app/manifests/v1").basic(BOB.0, BOB.1).send().expect(403);
    site.nothing_forwarded();
}

const CHALLENGE: Answer = Answer {
    status: "401 Unauthorized",
    headers: "WWW-Authenticate: Bearer realm=\"http://evil.test/token\",service=\"evil\"\r\n",
    body: "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"go to evil.test\"}]}",
};

#[test]
fn an_upstreams_challenge_never_reaches_a_client() {
    let basic = "{ basic = { username = \"gateway\", password = \"of its own\" } }";
    for credentials in ["\"identity\"", "\"none\"", "\"forward-token\"", "\"mint-token\"", basic] {
        let site = telling(CHALLENGE, credentials);
        let token = site.token(Some(ALICE), &["repository:alice/app:pull,push"]);
        for request in [
            site.get("/v2/alice/app/manifests/v1").bearer(&token),
            site.get("/v2/alice/app/manifests/v1").basic(ALICE.0, ALICE.1),
            site.request("PUT", "/v2/alice/app/manifests/v1").bearer(&token).body(b"{}"),
            site.get("/v2/public/app/manifests/v1"),
        ] {
            let reply = request.send().expect(502);
            assert_eq!(reply.header("www-authenticate"), None, "{credentials}");
            assert!(!format!("{:?} {}", reply.headers, reply.text()).contains("evil"), "{credentials}");
            assert_eq!(code(&reply), "UNAVAILABLE");
        }
        let log = site.gateway.log();
        assert!(log.contains("\"ERROR\"") && log.contains("hint: ") && !log.contains("evil.test"), "{log}");
    }
}

#[test]
fn a_token_that_the_upstream_has_had_enough_of_is_fetched_anew() {
    let mut site = telling(CHALLENGE, "\"forward-token\"");
    let fresh = site.token(Some(ALICE), &["repository:alice/app:pull"]);
    let mut older = claims(&fresh);
    for name in ["iat", "nbf"] {
        older[name] = json!(older[name].as_u64().unwrap() - 100);
    }
    let older = signed(&state_key(site.dir.path()), &part(&fresh, 0).to_string(), &older.to_string());
    let reply = site.get("/v2/alice/app/manifests/v1").bearer(&older).send().expect(401);
    assert_eq!(challenged(&reply, "error").as_deref(), Some("invalid_token"));
    assert_eq!(challenged(&reply, "realm"), Some(site.realm()));
    assert_eq!(challenged(&reply, "scope").as_deref(), Some("repository:alice/app:pull"));
    assert!(!reply.text().contains("evil"));
    site.get("/v2/alice/app/manifests/v1").bearer(&fresh).send().expect(502);
    // The gateway allowed both, and says so once for each.
    site.gateway.stop();
    let log = site.gateway.log();
    assert_eq!(log.matches("\"event\":\"decision\"").count(), 2, "{log}");
    assert_eq!(log.matches("\"event\":\"login\"").count(), 0, "{log}");
}
