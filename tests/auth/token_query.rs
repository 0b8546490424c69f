//! The token endpoint by GET.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::jwt::{access, claims, part};
use crate::setup::{ALICE, BOB, Site, add, code, escaped, parameters, the_challenge};
use crate::support::http::{Reply, Request};

/// What is granted to alice of these `scope` parameters, given as they stand in the query.
#[track_caller]
fn granted(site: &Site, scopes: &str) -> Vec<String> {
    access(&token(&site.get(&format!("/token?{scopes}")).basic(ALICE.0, ALICE.1).send().expect(200)))
}

#[track_caller]
fn token(reply: &Reply) -> String {
    reply.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn the_answer_is_as_clients_need_it() {
    let site = Site::start();
    let host = site.gateway.host();
    let target = format!("/token?service={host}&scope=repository:alice/app:pull,push&account=alice&client_id=docker");
    let before = OffsetDateTime::now_utc().unix_timestamp();
    let reply = site.get(&target).basic(ALICE.0, ALICE.1).send().expect(200);
    let after = OffsetDateTime::now_utc().unix_timestamp();
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("docker-distribution-api-version"), Some("registry/2.0"));
    assert_eq!(reply.header("www-authenticate"), None);

    let answer = reply.json();
    let mut names: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["access_token", "expires_in", "issued_at", "token"]);
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(answer["expires_in"].as_u64(), Some(300));
    let issued_at = answer["issued_at"].as_str().unwrap();
    assert!(issued_at.len() == 20 && issued_at.ends_with('Z'), "{issued_at}");
    let issued_at = OffsetDateTime::parse(issued_at, &Rfc3339).unwrap().unix_timestamp();
    assert!((before..=after).contains(&issued_at));

    let text = token(&reply);
    let header = part(&text, 0);
    assert_eq!(header, json!({"typ": "JWT", "alg": "ES256", "kid": header["kid"]}));
    let claims = claims(&text);
    assert_eq!(claims["iss"], site.realm());
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["aud"], host, "one string");
    assert_eq!(claims["exp"].as_i64(), Some(issued_at + 300));
    assert!(claims["nbf"].as_i64().unwrap() < issued_at && claims["iat"].as_i64().unwrap() < issued_at);
    assert!(!claims["jti"].as_str().unwrap().is_empty());
    assert_eq!(claims["access"], json!([{"type": "repository", "name": "alice/app", "actions": ["pull", "push"]}]));
    site.nothing_forwarded();
}

#[test]
fn scopes_come_in_every_shape() {
    let site = Site::start();
    for (scopes, expected) in [
        ("", vec![]),
        ("scope=", vec![]),
        ("scope", vec![]),
        ("scope=+&scope=%20", vec![]),
        ("scope=repository:alice/a:pull", vec!["repository:alice/a:pull"]),
        ("scope=repository%3Aalice%2Fa%3Apull%2Cpush", vec!["repository:alice/a:pull,push"]),
        ("scope=repository:alice/a:push,pull", vec!["repository:alice/a:pull,push"]),
        ("scope=repository:alice/a:pull&scope=repository:alice/a:pull,push", vec!["repository:alice/a:pull,push"]),
        ("scope=repository:alice/a:pull+repository:alice/a:push", vec!["repository:alice/a:pull,push"]),
        (
            "scope=repository:alice/a:pull%20repository:shared/b:pull&scope=repository:alice/c:push",
            vec!["repository:alice/a:pull", "repository:alice/c:push", "repository:shared/b:pull"],
        ),
        ("scope=repository:alice/a:*", vec!["repository:alice/a:pull,push,delete"]),
        ("scope=repository(plugin):alice/a:pull", vec!["repository:alice/a:pull"]),
        // Granted in part, and what cannot be granted breaks nothing.
        ("scope=repository:shared/b:pull,push,delete", vec!["repository:shared/b:pull"]),
        ("scope=repository:bob/b:pull,push", vec![]),
        ("scope=registry:catalog:*", vec![]),
        ("scope=repository:127.0.0.1:5000/alice/a:pull+repository:alice/a:pull", vec!["repository:alice/a:pull"]),
        ("scope=plugin:alice/a:pull+repository:alice/a:pull", vec!["repository:alice/a:pull"]),
        ("scope=repository:alice/a:fly,pull", vec!["repository:alice/a:pull"]),
        ("scope=:::+repository+repository:+repository::pull+repository:alice/../a:pull", vec![]),
        ("scope=repository:ALICE/a:pull+repository:alice/*:pull", vec![]),
    ] {
        assert_eq!(granted(&site, scopes), expected, "{scopes}");
    }
    let access = claims(&site.token(Some(ALICE), &[]))["access"].clone();
    assert_eq!(access, json!([]), "a list, never null");
}

#[test]
fn the_catalog_is_granted_as_a_whole() {
    let site = Site::start();
    let token = site.token(Some(crate::setup::CAROL), &["registry:catalog:*", "repository:shared/x:pull"]);
    assert_eq!(access(&token), ["registry:catalog:*", "repository:shared/x:pull"]);
    let token = site.token(Some(crate::setup::CAROL), &["registry:catalog:pull"]);
    assert_eq!(access(&token), [""; 0]);
}

#[test]
fn scopes_over_the_limit_grant_nothing_more() {
    let site = Site::with(|settings, _| settings.rest.push_str("\n[limits]\nscopes = 3\n"));
    let scopes: Vec<String> = (0..6).map(|n| format!("repository:alice/r{n}:pull")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let reply = site.gateway.ask_token(Some(ALICE), &scopes).expect(200);
    assert_eq!(access(&token(&reply)), &scopes[..3]);
}

#[test]
fn more_than_a_token_holds_is_the_clients_mistake() {
    let site = Site::with(|settings, _| settings.rest.push_str("\n[limits]\nscopes = 1000\n"));
    let scopes: Vec<String> = (0..300).map(|n| format!("repository:alice/{n}:*")).collect();
    let target = format!("/token?scope={}", scopes.join("+"));
    assert!(target.len() < 8192, "the query itself is within the limit");
    let reply = site.get(&target).basic(ALICE.0, ALICE.1).send().expect(400);
    assert_eq!(code(&reply), "UNSUPPORTED");
    assert_eq!(reply.json()["error"], "invalid_scope");
    assert!(reply.text().contains("scope"), "{}", reply.text());
    assert!(reply.body.len() < 65_536);
}

#[test]
fn an_answer_stays_below_what_clients_cut() {
    let site = Site::start();
    let scopes: Vec<String> = (0..64).map(|n| format!("repository:alice/some/longer/name/{n}:*")).collect();
    let reply = site.get(&format!("/token?scope={}", scopes.join("+"))).basic(ALICE.0, ALICE.1).send().expect(200);
    assert_eq!(access(&token(&reply)).len(), 64);
    assert!(reply.body.len() < 65_536, "{}", reply.body.len());
}

#[test]
fn wrong_credentials_are_never_anonymous() {
    let site = Site::start();
    let target = "/token?scope=repository:public/x:pull";
    let request = || site.get(target);
    let attempts: [(&str, Request); 10] = [
        ("wrong password", request().basic("alice", "wrong")),
        ("empty password", request().basic("alice", "")),
        ("unknown user", request().basic("nobody", "wrong")),
        ("no user", request().basic("", "secret")),
        ("longer password", request().basic("alice", "wonderland-7 ")),
        ("another case", request().basic("Alice", ALICE.1)),
        ("no Base64", request().header("Authorization", "Basic !!!")),
        ("no colon", request().header("Authorization", "Basic YWxpY2U=")),
        ("another scheme", request().header("Authorization", "Negotiate YWxpY2U=")),
        ("two headers", request().basic(ALICE.0, ALICE.1).basic(ALICE.0, ALICE.1)),
    ];
    for (what, attempt) in attempts {
        let reply = attempt.send();
        assert_eq!(reply.status, 401, "{what}");
        let parameters = parameters("Basic", the_challenge(&reply));
        assert!(parameters.iter().any(|(name, value)| *name == "realm" && !value.is_empty()), "{what}: {parameters:?}");
        assert_eq!(code(&reply), "UNAUTHORIZED", "{what}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
        assert!(reply.json().get("token").is_none() && reply.json().get("access_token").is_none(), "{what}");
    }
}

#[test]
fn no_credentials_are_an_anonymous_token() {
    let site = Site::start();
    for (what, credentials) in [("none", None), ("empty Basic", Some("Basic Og==")), ("empty", Some(""))] {
        let request = site.get("/token?scope=repository:public/x:pull,push+repository:shared/x:pull&account=alice");
        let request = match credentials {
            Some(value) => request.header("Authorization", value),
            None => request,
        };
        let token = token(&request.send().expect(200));
        assert_eq!(claims(&token)["sub"], "", "{what}");
        assert_eq!(access(&token), ["repository:public/x:pull"], "{what}");
    }
}

#[test]
fn the_account_parameter_chooses_nobody() {
    let site = Site::start();
    let target = "/token?account=alice&client_id=alice&scope=repository:alice/x:pull";
    let reply = site.get(target).basic(BOB.0, BOB.1).send().expect(200);
    assert_eq!(claims(&token(&reply))["sub"], "bob");
    assert_eq!(access(&token(&reply)), [""; 0]);
}

#[test]
fn a_refresh_token_is_never_given() {
    let site = Site::start();
    for parameters in ["offline_token=true", "access_type=offline&offline_token=1"] {
        let reply = site.get(&format!("/token?{parameters}")).basic(ALICE.0, ALICE.1).send().expect(200);
        assert_eq!(reply.json().get("refresh_token"), None);
    }
}

#[test]
fn the_service_is_one_of_ours() {
    let site = Site::with(|settings, _| settings.token = "service = [\"registry.test\", \"other.test:443\"]".into());
    let ask = |query: &str| site.get(&format!("/token?{query}")).basic(ALICE.0, ALICE.1).send();
    let audience = |query: &str| claims(&token(&ask(query).expect(200)))["aud"].clone();
    assert_eq!(audience(""), "registry.test");
    assert_eq!(audience("service="), "registry.test");
    assert_eq!(audience("service=registry.test"), "registry.test");
    assert_eq!(audience("service=other.test%3A443"), "other.test:443");
    for foreign in ["evil.test", "REGISTRY.test", "registry.test%20", "other.test"] {
        let reply = ask(&format!("service={foreign}")).expect(400);
        assert_eq!(reply.json()["error"], "invalid_target", "{foreign}");
        assert_eq!(code(&reply), "UNSUPPORTED", "{foreign}");
    }
    ask("service=registry.test&service=registry.test").expect(400);
    // A token for one service is accepted, and so is one for the other.
    for service in ["registry.test", "other.test:443"] {
        let token = token(&ask(&format!("service={service}")).expect(200));
        site.get("/v2/").bearer(&token).send().expect(200);
    }
}

#[test]
fn what_cannot_be_decoded_is_400() {
    let site = Site::start();
    let long = format!("scope={}", "a".repeat(9000));
    let many = "a=b&".repeat(300);
    for query in ["scope=%zz", "scope=%ff", "service=%", "%00=a", &long, &many] {
        let reply = site.get(&format!("/token?{query}")).basic(ALICE.0, ALICE.1).send().expect(400);
        assert_eq!(reply.json()["error"], "invalid_request", "{query:.20}");
    }
}

#[test]
fn other_methods_are_405() {
    let site = Site::start();
    for method in ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let reply = site.request(method, "/token").basic(ALICE.0, ALICE.1).send().expect(405);
        assert_eq!(reply.header("allow"), Some("GET, POST"), "{method}");
    }
    site.nothing_forwarded();
}

#[test]
fn passwords_are_taken_as_they_are() {
    let password = "sp ace:co\u{fc}lon+%41&=\u{1f511}";
    let hash = bcrypt::hash(password, 4).unwrap();
    let site = Site::with(|settings, _| {
        add(settings, &format!("[users.\"a.b+c@example.org\"]\npassword_hash = '{hash}'\n"));
    });
    let reply = site.get("/token").basic("a.b+c@example.org", password).send().expect(200);
    assert_eq!(claims(&token(&reply))["sub"], "a.b+c@example.org");
    let form = format!("grant_type=password&username=a.b%2Bc%40example.org&password={}", escaped(password));
    let reply = site.form(&form).expect(200);
    assert_eq!(claims(&token(&reply))["sub"], "a.b+c@example.org");
}

#[test]
fn a_lifetime_is_never_under_a_minute() {
    let site = Site::with(|settings, _| settings.token = "ttl = \"60s\"".into());
    let answer: Value = site.gateway.ask_token(Some(ALICE), &[]).expect(200).json();
    assert_eq!(answer["expires_in"], 60);
}
