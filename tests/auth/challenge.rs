//! Challenges: when, and in which words.

use crate::setup::{ALICE, BOB, CAROL, DIGEST, Site, challenged, code, parameters, the_challenge};
use crate::support::http::Reply;

/// No parameter is empty or repeated.
#[track_caller]
fn tidy(reply: &Reply) {
    let parameters = parameters("Bearer", the_challenge(reply));
    let mut names: Vec<&str> = parameters.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), parameters.len(), "{parameters:?}");
    assert!(parameters.iter().all(|(_, value)| !value.is_empty()), "{parameters:?}");
}

#[test]
fn the_ping_without_credentials_is_always_challenged() {
    // Also where anonymous callers may pull everything.
    let rules = "[[access]]\nwho = [\"anyone\"]\nrepositories = [\"**\"]\nactions = [\"pull\"]\n";
    let site = Site::with_rules(rules);
    let expected = format!("Bearer realm=\"{}\",service=\"{}\"", site.realm(), site.gateway.host());
    for (method, target) in
        [("GET", "/v2/"), ("GET", "/v2"), ("HEAD", "/v2/"), ("GET", "/v2/?x=y"), ("GET", "/%76%32/")]
    {
        let reply = site.request(method, target).send().expect(401);
        assert_eq!(the_challenge(&reply), expected, "{method} {target}");
        assert_eq!(reply.header("docker-distribution-api-version"), Some("registry/2.0"));
        assert_eq!(reply.header("x-registry-supports-signatures"), None);
        if method == "GET" {
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert_eq!(code(&reply), "UNAUTHORIZED");
        } else {
            assert!(reply.body.is_empty());
        }
    }
    site.get("/v2/").header("Authorization", "").send().expect(401);
    site.get("/v2/").header("Authorization", "Basic Og==").send().expect(401);
    // An anonymous token is credentials all the same, or a client would go round in circles.
    let reply = site.get("/v2/").bearer(&site.token(None, &[])).send().expect(200);
    assert_eq!(reply.text(), "{}");
    assert_eq!(reply.header("docker-distribution-api-version"), Some("registry/2.0"));
    // What may be pulled by anyone is pulled without any.
    site.get("/v2/x/manifests/latest").send().expect(200);
    assert_eq!(site.the_forwarded().target, "/v2/x/manifests/latest");
}

#[test]
fn a_challenge_names_what_is_needed() {
    let site = Site::start();
    let start = format!("Bearer realm=\"{}\",service=\"{}\",scope=", site.realm(), site.gateway.host());
    let blob = format!("/v2/team/app/blobs/{DIGEST}");
    let mount = format!("/v2/team/app/blobs/uploads/?mount={DIGEST}&from=other/lib");
    let signatures = format!("/extensions/v2/team/app/signatures/{DIGEST}");
    let (pull, push) = ("repository:team/app:pull", "repository:team/app:pull,push");
    let delete = "repository:team/app:delete";
    for (method, target, scope) in [
        ("GET", "/v2/team/app/manifests/latest", pull),
        ("HEAD", "/v2/team/app/manifests/latest", pull),
        ("GET", &blob, pull),
        ("GET", "/v2/team/app/tags/list?n=5", pull),
        ("GET", &format!("/v2/team/app/referrers/{DIGEST}"), pull),
        ("PUT", "/v2/team/app/manifests/latest", push),
        ("POST", "/v2/team/app/blobs/uploads/", push),
        ("PATCH", "/v2/team/app/blobs/uploads/5f3a?_state=x", push),
        ("GET", "/v2/team/app/blobs/uploads/5f3a", push),
        ("DELETE", "/v2/team/app/blobs/uploads/5f3a", push),
        ("POST", &mount, "repository:team/app:pull,push repository:other/lib:pull"),
        ("DELETE", "/v2/team/app/manifests/latest", delete),
        ("DELETE", &blob, delete),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
    ] {
        let reply = site.request(method, target).send().expect(401);
        assert_eq!(the_challenge(&reply), format!("{start}\"{scope}\""), "{method} {target}");
        if method == "HEAD" {
            assert!(reply.body.is_empty());
        } else {
            assert_eq!(code(&reply), "UNAUTHORIZED", "{method} {target}");
        }
    }
    // There is no route to the extensions here.
    site.get(&signatures).send().expect(404);
    site.nothing_forwarded();
}

#[test]
fn a_challenge_is_the_same_each_time_and_each_request_its_own() {
    let site = Site::with(|settings, _| {
        settings.hosts = vec!["127.0.0.1", "registry.test"];
        settings.upstream = "signatures = true".into();
    });
    let other = format!("registry.test:{}", site.gateway.port);
    let target = "/v2/team/app/manifests/latest";
    let tell = |reply: &Reply| {
        let mut headers = reply.headers.clone();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        (headers, reply.text())
    };
    for (method, target) in [("GET", target), ("HEAD", target), ("GET", "/v2/"), ("HEAD", "/v2/")] {
        let ask = || site.request(method, target);
        let first = tell(&ask().send().expect(401));
        for _ in 0..2 {
            assert_eq!(tell(&ask().send().expect(401)), first, "{method} {target}");
        }
        let elsewhere = ask().host(&other).send().expect(401);
        let realm = challenged(&elsewhere, "realm").unwrap();
        assert_eq!(realm, format!("http://{other}/token"), "{method} {target}");
        // Whoever says who they are is heard.
        let bad = ask().bearer("x").send().expect(401);
        assert!(challenged(&bad, "error").is_some(), "{method} {target}");
        assert_eq!(tell(&ask().send().expect(401)), first, "{method} {target}");
    }
    site.get("/v2/team/app/manifests/latest?x=y").send().expect(401);
    site.request("PUT", target).body(b"{}").send().expect(401);
    site.get("/v2/alice/app/manifests/latest").send().expect(401);
    site.get("/v2/alice/app/manifests/latest").basic(ALICE.0, ALICE.1).send().expect(200);
}

#[test]
fn a_token_that_lacks_the_scope_says_who_may_not_do_what() {
    let site = Site::start();
    let token = site.token(Some(ALICE), &["repository:alice/app:pull"]);
    let reply = site.request("PUT", "/v2/alice/app/manifests/v1").bearer(&token).body(b"{}").send().expect(401);
    tidy(&reply);
    assert_eq!(challenged(&reply, "error").as_deref(), Some("insufficient_scope"));
    assert_eq!(challenged(&reply, "scope").as_deref(), Some("repository:alice/app:pull,push"));
    let why = "requested access to the resource is denied: the token does not allow to push to alice/app";
    assert_eq!(challenged(&reply, "error_description").as_deref(), Some(why));
    assert_eq!(code(&reply), "DENIED");
    assert_eq!(reply.json()["errors"][0]["message"], why);

    let reply = site.request("HEAD", "/v2/bob/app/manifests/v1").bearer(&token).send().expect(401);
    assert_eq!(challenged(&reply, "error").as_deref(), Some("insufficient_scope"));
    assert!(reply.body.is_empty());

    let anonymous = site.token(None, &["repository:alice/app:pull"]);
    let reply = site.get("/v2/alice/app/manifests/v1").bearer(&anonymous).send().expect(401);
    tidy(&reply);
    assert_eq!(challenged(&reply, "error").as_deref(), Some("insufficient_scope"));
    let why = "requested access to the resource is denied: an anonymous caller may not pull from alice/app";
    assert_eq!(reply.json()["errors"][0]["message"], why);
    site.nothing_forwarded();
}

#[test]
fn a_token_that_is_no_good_is_invalid() {
    let site = Site::start();
    let good = site.token(Some(ALICE), &["repository:alice/app:pull"]);
    let bent = format!("{}{}", &good[..good.len() - 4], if good.ends_with("AAAA") { "BBBB" } else { "AAAA" });
    for broken in
        ["x", "a.b.c", &bent, &good[..good.len() - 10], &format!("{good}."), &format!("{good}="), "%%%", "a b"]
    {
        for target in ["/v2/", "/v2/alice/app/manifests/v1", "/v2/public/app/manifests/v1"] {
            let reply = site.get(target).bearer(broken).send().expect(401);
            tidy(&reply);
            assert_eq!(challenged(&reply, "error").as_deref(), Some("invalid_token"), "{broken} {target}");
            assert!(challenged(&reply, "error_description").is_some());
            assert_eq!(code(&reply), "UNAUTHORIZED");
        }
        assert_eq!(site.request("HEAD", "/v2/").bearer(broken).send().expect(401).body, b"");
    }
    site.nothing_forwarded();
    site.get("/v2/alice/app/manifests/v1").bearer(&good).send().expect(200);
    site.get("/v2/alice/app/manifests/v1").header("authorization", &format!("bearer {good}")).send().expect(200);
}

#[test]
fn two_authorization_headers_are_none_that_counts() {
    let site = Site::start();
    let good = site.token(Some(ALICE), &["repository:alice/app:pull"]);
    site.get("/v2/alice/app/manifests/v1").bearer(&good).basic(ALICE.0, ALICE.1).send().expect(401);
    site.get("/v2/alice/app/manifests/v1").bearer(&good).bearer(&good).send().expect(401);
    site.get("/v2/alice/app/manifests/v1").header("Authorization", &format!("Digest {good}")).send().expect(401);
    site.nothing_forwarded();
}

#[test]
fn basic_credentials_are_taken_straight_away() {
    let site = Site::start();
    assert_eq!(site.get("/v2/").basic(ALICE.0, ALICE.1).send().expect(200).text(), "{}");
    site.request("HEAD", "/v2/").basic(ALICE.0, ALICE.1).send().expect(200);
    for (name, password) in [("alice", "wrong"), ("nobody", "wrong"), ("alice", "")] {
        let reply = site.get("/v2/").basic(name, password).send().expect(401);
        tidy(&reply);
        assert_eq!(challenged(&reply, "realm"), Some(site.realm()));
        assert_eq!(code(&reply), "UNAUTHORIZED");
        // Wrong is wrong, also where nobody needs to be anybody.
        site.get("/v2/public/x/manifests/v1").basic(name, password).send().expect(401);
    }
    site.nothing_forwarded();
    site.request("PUT", "/v2/alice/app/manifests/v1").basic(ALICE.0, ALICE.1).body(b"{}").send().expect(200);
    assert_eq!(site.the_forwarded().header("authorization"), None);
    site.get("/v2/_catalog").basic(CAROL.0, CAROL.1).send().expect(200);
    assert_eq!(site.the_forwarded().target, "/v2/_catalog");

    // Known, and not permitted.
    for (method, target, what) in [
        ("GET", "/v2/alice/app/manifests/v1", "bob may not pull from alice/app"),
        ("PUT", "/v2/shared/app/manifests/v1", "bob may not push to shared/app"),
        ("DELETE", "/v2/shared/app/manifests/v1", "bob may not delete from shared/app"),
        ("GET", "/v2/_catalog", "bob may not list the catalog"),
    ] {
        let reply = site.request(method, target).basic(BOB.0, BOB.1).send().expect(403);
        assert_eq!(reply.header("www-authenticate"), None);
        assert_eq!(code(&reply), "DENIED");
        let message = format!("requested access to the resource is denied: {what}");
        assert_eq!(reply.json()["errors"][0]["message"], message);
    }
    let reply = site.request("HEAD", "/v2/alice/app/manifests/v1").basic(BOB.0, BOB.1).send().expect(403);
    assert!(reply.body.is_empty());
    site.nothing_forwarded();
}

#[test]
fn a_registry_with_signatures_says_so_on_every_ping() {
    let site = Site::with(|settings, _| settings.upstream = "signatures = true".into());
    let header = |reply: &Reply| reply.header("x-registry-supports-signatures").map(str::to_owned);
    assert_eq!(header(&site.get("/v2/").send().expect(401)).as_deref(), Some("1"));
    assert_eq!(header(&site.get("/v2/").basic(ALICE.0, ALICE.1).send().expect(200)).as_deref(), Some("1"));
    assert_eq!(header(&site.get("/v2/").basic(ALICE.0, "wrong").send().expect(401)).as_deref(), Some("1"));
    assert_eq!(header(&site.get("/v2/").bearer("x").send().expect(401)).as_deref(), Some("1"));
}

#[test]
fn answers_of_our_own_look_like_a_registrys() {
    let site = Site::start();
    for (method, target, status) in [
        ("GET", "/nowhere", 404),
        ("GET", "/v2/x/unknown", 404),
        ("GET", "/v2/UPPER/manifests/v1", 400),
        ("PUT", "/v2/x/manifests/-bad", 400),
        ("GET", "/v2/x/manifests/-bad", 404),
        ("PUT", "/v2/x/tags/list", 405),
        ("POST", "/v2/", 405),
        ("TRACE", "/v2/", 405),
        ("GET", "/v2/a/../b/manifests/v1", 400),
    ] {
        let reply = site.request(method, target).send();
        assert_eq!(reply.status, status, "{method} {target}");
        assert_eq!(reply.header("docker-distribution-api-version"), Some("registry/2.0"), "{method} {target}");
        assert!(!code(&reply).is_empty());
        assert_eq!(reply.header("allow").is_some(), status == 405, "{method} {target}");
    }
    site.nothing_forwarded();
}
