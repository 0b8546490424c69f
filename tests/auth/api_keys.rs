//! API keys: where they are good, what they are not mixed with, and that no upstream ever sees one.

use std::io::Write as _;

use tidegate::authn::KeyHash;
use tidegate::secret::Secret;

use crate::api::ROUTES;
use crate::setup::{ALICE, Site, code, htpasswd, parameters, the_challenge};
use crate::support::http::{Reply, connect, read_reply};

const CI: &str = "tgk_of-the-ci-5be1f0";
const READER: &str = "tgk_of-a-reader-77c3";
const OLD: &str = "tgk_of-yesterday-9d2a";
const USERS: &str = "/pulp/api/v3/users/";

fn key(name: &str, key: &str, more: &str) -> String {
    format!("[api_keys.{name}]\nhash = \"{}\"\n{more}\n", KeyHash::of(&Secret::new(key)).to_text())
}

/// `ci` of `ops` by its own section, `reader` of `dev` by `[groups]`, `old` until 2020.
fn keys() -> String {
    let groups = "[groups]\ndev = [\"user:reader\"]\n";
    let old = "groups = [\"ops\"]\nexpires = 2020-01-01T00:00:00Z";
    [key("ci", CI, "groups = [\"ops\"]"), key("reader", READER, ""), key("old", OLD, old), groups.into()].concat()
}

fn site() -> Site {
    Site::with(|settings, _| settings.rest.push_str(&[ROUTES, &keys()].concat()))
}

fn audited(site: &mut Site, what: &str) -> Vec<serde_json::Value> {
    site.gateway.stop();
    let lines: Vec<serde_json::Value> =
        site.gateway.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    lines.into_iter().filter(|line| line["kind"] == "audit" && line["event"] == what).collect()
}

#[test]
fn a_key_says_who_comes_and_the_rules_what_they_may() {
    let mut site = site();
    for (method, key, status) in [
        ("GET", CI, 200),
        ("POST", CI, 200),
        ("DELETE", CI, 200),
        ("GET", READER, 200),
        ("OPTIONS", READER, 200),
        ("POST", READER, 403),
        ("DELETE", READER, 403),
    ] {
        let reply = site.request(method, USERS).header("x-aPI-keY", key).send().expect(status);
        if status == 200 {
            let seen = site.the_forwarded();
            let name = if key == CI { "ci" } else { "reader" };
            assert_eq!(seen.identity(), Some(format!("{{\"identity\":{{\"user\":{{\"username\":\"{name}\"}}}}}}")));
            assert_eq!((seen.header("x-api-key"), seen.header("authorization")), (None, None));
        } else {
            assert_eq!((code(&reply).as_str(), reply.header("www-authenticate")), ("DENIED", None));
            assert!(reply.text().contains(&format!("reader may not {method} {USERS}")), "{}", reply.text());
        }
    }
    site.nothing_forwarded();
    let lines = audited(&mut site, "decision");
    let told = |n: usize| (lines[n]["subject"].as_str(), lines[n]["authn"].as_str(), lines[n]["result"].as_str());
    assert_eq!(told(0), (Some("ci"), Some("api-keys"), Some("allowed")));
    assert_eq!(told(5), (Some("reader"), Some("api-keys"), Some("denied")));
    assert_eq!(lines.len(), 7);
}

#[test]
fn what_is_no_key_or_not_any_more_is_401() {
    let mut site = site();
    let long = "x".repeat(8000);
    let hash = KeyHash::of(&Secret::new(CI)).to_text();
    for wrong in ["x", "tgk_", &CI[..CI.len() - 1], &CI.to_uppercase(), &hash, "ci", "é", &long] {
        let reply = site.get(USERS).header("X-Api-Key", wrong).send().expect(401);
        assert_eq!(code(&reply), "UNAUTHORIZED");
        assert!(!parameters("Basic", the_challenge(&reply)).is_empty());
        assert!(!reply.text().contains("expired"), "{wrong}");
    }
    // Also where nobody would have to say who they are.
    site.get("/pulp/api/v3/status/").header("X-Api-Key", "x").send().expect(401);
    let reply = site.get(USERS).header("X-Api-Key", OLD).send().expect(401);
    assert!(reply.text().contains("the API key has expired"), "{}", reply.text());
    site.nothing_forwarded();
    // An empty one is none.
    site.get("/pulp/api/v3/status/").header("X-Api-Key", "").send().expect(200);
    site.get(USERS).header("X-Api-Key", "").basic(ALICE.0, ALICE.1).send().expect(200);

    let lines = audited(&mut site, "login");
    assert_eq!(lines.len(), 10);
    let last = &lines[9];
    assert_eq!((last["claimed"].as_str(), last["subject"].as_str()), (Some("old"), None));
    assert_eq!((last["result"].as_str(), last["why"].as_str()), (Some("denied"), Some("the API key has expired")));
    assert_eq!(lines[0]["why"], "the API key is not known here");
}

#[test]
fn two_kinds_of_credentials_are_refused_whatever_each_is_worth() {
    let site = site();
    let both = |value: &str| {
        let request = site.get(USERS).header("X-Api-Key", CI).header("Authorization", value);
        let reply = request.send().expect(400);
        assert_eq!(reply.header("www-authenticate"), None);
        assert!(reply.text().contains("send one kind of credentials"), "{}", reply.text());
    };
    let token = site.token(Some(ALICE), &["api:read"]);
    let basic = "Basic YWxpY2U6d29uZGVybGFuZC03";
    for value in [basic, "Basic YWxpY2U6d3Jvbmc=", &format!("Bearer {token}"), "Bearer x", "Digest x", "Basic !"] {
        both(value);
    }
    site.get(USERS).header("X-Api-Key", CI).header("X-Api-Key", READER).send().expect(400);
    site.get(USERS).header("X-Api-Key", CI).header("X-Api-Key", CI).send().expect(400);
    site.get(USERS).header("X-Api-Key", "wrong").basic(ALICE.0, ALICE.1).send().expect(400);
    site.nothing_forwarded();
    // Neither user nor password is what clients send who have none.
    site.get(USERS).header("X-Api-Key", CI).header("Authorization", "Basic Og==").send().expect(200);
}

#[test]
fn no_upstream_sees_a_key_in_any_spelling_on_any_route() {
    let site = site();
    let spellings = ["X-Api-Key", "x-api-key", "X_Api_Key", "X-API_Key", "X.Api.Key", "X~Api-Key", "x_api-key"];
    for target in ["/v2/public/x/manifests/v1", "/pulp/content/a", "/pulp/api/v3/status/"] {
        // As a credential, where it is one and good.
        for spelling in spellings {
            site.get(target).header(spelling, CI).send().expect(200);
            let seen = site.the_forwarded();
            assert!(!format!("{seen:?}").contains(CI), "{target} {spelling}: {seen:?}");
        }
        // Nominated by `Connection`, and as a trailer.
        site.get(target).header("Connection", "X-Api-Key").header("X-Api-Key", CI).send().expect(200);
        assert!(!format!("{:?}", site.the_forwarded()).contains(CI), "{target}");
    }
    let head = "POST /pulp/content/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Api-Key\r\n";
    let mut stream = connect(site.gateway.port);
    let body = format!("1\r\na\r\n0\r\nX-Api-Key: {CI}\r\n\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream, false).unwrap().status, 200);
    assert!(!format!("{:?}", site.the_forwarded()).contains(CI));
}

#[test]
fn only_the_very_header_is_a_credential() {
    let site = site();
    for spelling in ["X_Api_Key", "X-Api_Key", "X.Api.Key", "Api-Key", "X-Authentication-Service"] {
        site.get(USERS).header(spelling, CI).send().expect(401);
    }
    site.get(&format!("{USERS}?x-api-key={CI}&api_key={CI}")).send().expect(401);
    site.get(USERS).bearer(CI).send().expect(401);
    site.nothing_forwarded();
}

#[test]
fn a_key_is_also_the_password_of_its_name() {
    let mut site = site();
    let ask = |method: &str, (name, key): (&str, &str)| site.request(method, USERS).basic(name, key).send();
    ask("POST", ("ci", CI)).expect(200);
    let seen = site.the_forwarded();
    assert_eq!(seen.identity(), Some("{\"identity\":{\"user\":{\"username\":\"ci\"}}}".into()));
    assert_eq!(seen.header("authorization"), None);
    let denied = ask("POST", ("reader", READER)).expect(403);
    assert!(denied.text().contains("reader may not POST"), "{}", denied.text());
    let public = |name: &str, key: &str| site.get("/pulp/api/v3/status/").basic(name, key).send().status;
    assert_eq!((public("ci", CI), public("ci", "wrong")), (200, 401));
    site.the_forwarded();

    // Of a name that has a key nothing is said but to who has it.
    let nobody = ask("GET", ("nobody", "x")).expect(401);
    for wrong in
        [("ci", READER), ("reader", CI), ("CI", CI), ("ci", "x"), ("ci", ""), ("alice", CI), ("old", "x"), ("x", OLD)]
    {
        let reply = ask("GET", wrong).expect(401);
        assert_eq!((reply.text(), the_challenge(&reply)), (nobody.text(), the_challenge(&nobody)), "{wrong:?}");
    }
    let expired = ask("GET", ("old", OLD)).expect(401);
    assert!(expired.text().contains("the API key has expired"), "{}", expired.text());
    // On registry routes and at the token endpoint it is no password.
    site.get("/v2/shared/x/manifests/v1").basic("ci", CI).send().expect(401);
    site.get("/v2/").basic("ci", CI).send().expect(401);
    site.get("/token?scope=api:read").basic("ci", CI).send().expect(401);
    site.nothing_forwarded();

    let decisions = audited(&mut site, "decision");
    let told =
        |n: usize| (decisions[n]["subject"].as_str(), decisions[n]["authn"].as_str(), decisions[n]["result"].as_str());
    assert_eq!(told(0), (Some("ci"), Some("api-keys"), Some("allowed")));
    assert_eq!(told(1), (Some("reader"), Some("api-keys"), Some("denied")));
    let logins = audited(&mut site, "login");
    let expired = logins.iter().find(|line| line["why"] == "the API key has expired").unwrap();
    assert_eq!((expired["claimed"].as_str(), expired["result"].as_str()), (Some("old"), Some("denied")));
    assert!(!site.gateway.log().contains(CI) && !site.gateway.log().contains(OLD));
}

#[test]
fn a_user_of_an_htpasswd_file_may_have_the_name_of_a_key() {
    let site = Site::with(|settings, dir| {
        std::fs::write(dir.join("htpasswd"), htpasswd(&[("ci", "a-password-of-ci")])).unwrap();
        settings.rest.push_str(&[ROUTES, &keys(), "[[authn]]\nkind = \"htpasswd\"\nfile = \"htpasswd\"\n"].concat());
    });
    let ask = |password: &str| site.request("GET", USERS).basic("ci", password).send().status;
    // The groups of `[api_keys]` are those of the key.
    assert_eq!((ask(CI), ask("a-password-of-ci"), ask("wrong")), (200, 403, 401));
}

#[test]
fn a_key_says_nothing_elsewhere() {
    let site = site();
    let with_key = |target: &str| site.get(target).header("X-Api-Key", CI);
    // Registry: judged as if it had not come.
    with_key("/v2/").send().expect(401);
    with_key("/v2/shared/x/manifests/v1").send().expect(401);
    with_key("/v2/shared/x/manifests/v1").basic(ALICE.0, ALICE.1).send().expect(200);
    with_key("/v2/public/x/manifests/v1").send().expect(200);
    with_key("/token?scope=api:read").send().expect(401);
    let anonymous = with_key("/token?scope=repository:shared/x:pull").send().expect(200);
    let token = anonymous.json()["token"].as_str().unwrap().to_owned();
    assert_eq!((crate::jwt::claims(&token)["sub"].clone(), crate::jwt::access(&token).len()), ("".into(), 0));
    let reply = with_key("/pulp/content/a").header("X-Api-Key", "more").basic("alice", "wrong").send();
    assert_eq!(reply.status, 200);
}

#[test]
fn the_header_has_another_name_where_the_configuration_says_so() {
    let site = Site::with(|settings, _| {
        settings.rest.push_str(&[ROUTES, &keys(), "[api]\nkey_header = \"X-Our-Key\"\n"].concat());
    });
    site.get(USERS).header("X-Our-Key", CI).send().expect(200);
    assert_eq!(site.the_forwarded().header("x-our-key"), None);
    site.get(USERS).header("X-Api-Key", CI).send().expect(401);
    site.get("/pulp/content/a").header("x_our_key", CI).header("X-Api-Key", "anything").send().expect(200);
    let seen = site.the_forwarded();
    assert_eq!((seen.header("x_our_key"), seen.header("x-api-key")), (None, Some("anything")));
}

#[test]
fn who_is_taken_out_is_out() {
    let mut site = site();
    let other = KeyHash::of(&Secret::new("another key")).to_text();
    let ask = |site: &Site, key: &str| site.get(USERS).header("X-Api-Key", key).send().status;
    assert_eq!((ask(&site, CI), ask(&site, READER)), (200, 200));
    site.restart(|config| config.replace("[api_keys.ci]", "[api_keys.cx]").replace("dev = [\"user:reader\"]", ""));
    let renamed = site.get(USERS).header("X-Api-Key", CI).send().expect(200);
    assert_eq!((renamed.status, ask(&site, READER)), (200, 403));
    site.restart(|config| config.replace(&KeyHash::of(&Secret::new(CI)).to_text(), &other));
    assert_eq!(ask(&site, CI), 401);
}

#[test]
fn each_route_asks_for_what_its_challenge_says_and_takes_all() {
    let site = Site::with(|settings, _| {
        let route = |name: &str, challenge: &str| {
            format!(
                "[[route]]\nprefix = \"/{name}/\"\nupstream = \"registry\"\nauth = \"api\"\nchallenge = \"{challenge}\"\n"
            )
        };
        let rule = "[[access]]\nwho = [\"authenticated\"]\npaths = [\"/**\"]\nmethods = [\"*\"]\n";
        let routes = [route("basic", "basic"), route("bearer", "bearer"), route("key", "api-key"), rule.into()];
        settings.rest.push_str(&[&routes.concat(), &*keys()].concat());
    });
    let (host, realm) = (site.gateway.host(), site.realm());
    let basic = format!("Basic realm=\"{host}\",charset=\"UTF-8\"");
    let bearer = format!("Bearer realm=\"{realm}\",service=\"{host}\"");
    let key = format!("ApiKey realm=\"{host}\",header=\"x-api-key\"");
    let token = site.token(Some(ALICE), &["api:read"]);
    for (prefix, challenge) in [("basic", basic), ("bearer", bearer), ("key", key)] {
        let get = || site.get(&format!("/{prefix}/x"));
        let challenged = |reply: Reply| the_challenge(&reply.expect(401)).to_owned();
        assert_eq!(challenged(get().send()), challenge);
        assert_eq!(challenged(get().basic("alice", "wrong").send()), challenge);
        assert_eq!(challenged(get().header("X-Api-Key", "wrong").send()), challenge);
        let bad = challenged(get().bearer("bad").send());
        let error = ",error=\"invalid_token\",error_description=\"the token is not a signed JWT of three parts\"";
        let expected = if prefix == "bearer" { format!("{challenge}{error}") } else { challenge };
        assert_eq!(bad, expected);
        get().basic(ALICE.0, ALICE.1).send().expect(200);
        get().bearer(&token).send().expect(200);
        get().header("X-Api-Key", READER).send().expect(200);
    }
    // Registry routes stay with theirs.
    assert!(the_challenge(&site.get("/v2/").header("X-Api-Key", CI).send()).starts_with("Bearer "));
}
