//! The design's table of operations: what each needs, held against tokens with every subset of the actions.

use crate::setup::{ALICE, BOB, CAROL, DIGEST, Site, challenged};
use crate::support::http::Request;

/// Method and target of every kind of request about a repository, and the action of the table's row.
fn table(name: &str) -> Vec<(&'static str, String, &'static str)> {
    let blob = format!("/v2/{name}/blobs/{DIGEST}");
    let manifest = |reference: &str| format!("/v2/{name}/manifests/{reference}");
    let session = format!("/v2/{name}/blobs/uploads/b3f5c9d2-0000-4000-8000-000000000001?_state=abc");
    let signatures = format!("/extensions/v2/{name}/signatures/{DIGEST}");
    let mut rows = Vec::new();
    for method in ["GET", "HEAD"] {
        for target in [manifest("v1"), manifest("latest"), manifest(DIGEST), blob.clone(), signatures.clone()] {
            rows.push((method, target, "pull"));
        }
        rows.push((method, format!("/v2/{name}/tags/list?n=2&last=a"), "pull"));
        rows.push((method, format!("/v2/{name}/referrers/{DIGEST}"), "pull"));
        rows.push((method, session.clone(), "push"));
    }
    for reference in ["v1", "latest", DIGEST] {
        rows.push(("PUT", manifest(reference), "push"));
        rows.push(("DELETE", manifest(reference), "delete"));
    }
    rows.push(("PUT", format!("{}?tag=v1&tag=v2", manifest(DIGEST)), "push"));
    rows.push(("DELETE", blob, "delete"));
    rows.push(("POST", format!("/v2/{name}/blobs/uploads/"), "push"));
    rows.push(("POST", format!("/v2/{name}/blobs/uploads/?digest={DIGEST}"), "push"));
    rows.push(("PATCH", session.clone(), "push"));
    rows.push(("PUT", format!("{session}&digest={DIGEST}"), "push"));
    rows.push(("DELETE", session, "push"));
    rows.push(("PUT", signatures, "push"));
    rows
}

fn needs(row: &str) -> &'static [&'static str] {
    match row {
        "pull" => &["pull"],
        "push" => &["pull", "push"],
        _ => &["delete"],
    }
}

fn with_extensions() -> Site {
    Site::with(|settings, _| {
        settings
            .rest
            .push_str("\n[[route]]\nprefix = \"/extensions/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n");
    })
}

fn sent(request: Request, method: &str) -> Request {
    if matches!(method, "PUT" | "PATCH" | "POST") { request.body(b"{}") } else { request }
}

#[test]
fn a_token_lets_through_what_it_grants_and_nothing_else() {
    let site = with_extensions();
    let rows = table("alice/app");
    for subset in 0..8_u8 {
        let actions = ["pull", "push", "delete"].into_iter().enumerate().filter(|(n, _)| subset & (1 << n) != 0);
        let actions: Vec<&str> = actions.map(|(_, action)| action).collect();
        let scope = format!("repository:alice/app:{}", actions.join(","));
        let token = site.token(Some(ALICE), &[&scope]);
        for (method, target, row) in &rows {
            let allowed = needs(row).iter().all(|need| actions.contains(need));
            // Twice: what is remembered is decided alike.
            for _ in 0..2 {
                let reply = sent(site.request(method, target).bearer(&token), method).send();
                assert_eq!(reply.status, if allowed { 200 } else { 401 }, "{method} {target} with {actions:?}");
                if allowed {
                    assert_eq!(site.the_forwarded().method, *method);
                } else {
                    assert_eq!(challenged(&reply, "error").as_deref(), Some("insufficient_scope"));
                    let scope = format!("repository:alice/app:{}", needs(row).join(","));
                    assert_eq!(challenged(&reply, "scope"), Some(scope), "{method} {target}");
                    site.nothing_forwarded();
                }
            }
        }
    }
}

#[test]
fn a_token_is_good_for_its_own_repository_only() {
    let site = with_extensions();
    let token = site.token(Some(ALICE), &["repository:alice/app:*", "repository:alice/app2:pull"]);
    for name in ["alice/ap", "alice/app/sub", "alice/app3", "alice", "app", "alice/app2"] {
        for (method, target, row) in table(name) {
            if name == "alice/app2" && row == "pull" {
                continue;
            }
            sent(site.request(method, &target).bearer(&token), method).send().expect(401);
        }
    }
    site.get("/v2/_catalog").bearer(&token).send().expect(401);
    site.nothing_forwarded();
}

#[test]
fn rules_decide_for_basic_credentials_as_for_tokens() {
    let site = with_extensions();
    for (name, user, allowed) in [
        ("alice/app", ALICE, &["pull", "push", "delete"][..]),
        ("shared/app", ALICE, &["pull"]),
        ("alice/app", BOB, &[]),
        ("bob/app", BOB, &[]),
        ("public/app", BOB, &["pull"]),
    ] {
        for (method, target, row) in table(name) {
            let reply = sent(site.request(method, &target).basic(user.0, user.1), method).send();
            assert_eq!(reply.status, if allowed.contains(&row) { 200 } else { 403 }, "{method} {target} {}", user.0);
        }
    }
}

#[test]
fn anonymous_callers_pull_what_is_public_with_and_without_a_token() {
    let site = with_extensions();
    let token = site.token(None, &["repository:public/app:*", "repository:shared/app:pull"]);
    for (method, target, row) in table("public/app") {
        let status = if row == "pull" { 200 } else { 401 };
        let bare = sent(site.request(method, &target), method).send().expect(status);
        let reply = sent(site.request(method, &target).bearer(&token), method).send().expect(status);
        if status == 401 {
            assert_eq!(challenged(&bare, "error"), None);
            assert_eq!(challenged(&reply, "error").as_deref(), Some("insufficient_scope"));
        }
    }
    site.forwarded();
    site.get("/v2/shared/app/manifests/v1").bearer(&token).send().expect(401);
    site.get("/v2/shared/app/manifests/v1").send().expect(401);
    site.nothing_forwarded();
}

#[test]
fn the_catalog_is_apart() {
    let site = Site::start();
    let token = site.token(Some(CAROL), &["registry:catalog:*"]);
    for method in ["GET", "HEAD"] {
        site.request(method, "/v2/_catalog?n=10").bearer(&token).send().expect(200);
        assert_eq!(site.the_forwarded().target, "/v2/_catalog?n=10");
    }
    site.request("POST", "/v2/_catalog").bearer(&token).send().expect(405);
    site.get("/v2/shared/x/tags/list").bearer(&token).send().expect(401);
    for user in [ALICE, BOB] {
        let token = site.token(Some(user), &["registry:catalog:*", "repository:catalog:*", "registry:catalog:pull"]);
        site.get("/v2/_catalog").bearer(&token).send().expect(401);
        site.get("/v2/_catalog").basic(user.0, user.1).send().expect(403);
    }
    site.get("/v2/_catalog").send().expect(401);
    site.nothing_forwarded();
}

/// What a mount from `from` with this token becomes upstream.
#[track_caller]
fn mounted(site: &Site, token: &str, query: &str) -> String {
    site.request("POST", &format!("/v2/alice/app/blobs/uploads/?{query}")).bearer(token).send().expect(200);
    site.the_forwarded().target
}

#[test]
fn a_mount_needs_pull_on_its_source() {
    let site = Site::start();
    let plain = "/v2/alice/app/blobs/uploads/";
    let from = |source: &str| format!("mount={DIGEST}&from={source}");
    let push = "repository:alice/app:pull,push";
    let both = site.token(Some(ALICE), &[push, "repository:shared/lib:pull", "repository:alice/lib:push"]);
    assert_eq!(mounted(&site, &both, &from("shared/lib")), format!("{plain}?{}", from("shared/lib")));
    assert_eq!(mounted(&site, &both, &from("alice/app")), format!("{plain}?{}", from("alice/app")), "its own");
    // The token does not grant pull on the source, though the rules would.
    assert_eq!(mounted(&site, &both, &from("alice/lib")), plain);
    assert_eq!(mounted(&site, &both, &from("shared/other")), plain);
    // Neither does.
    assert_eq!(mounted(&site, &both, &from("bob/secret")), plain);
    // Without a source, or with one that is none, it is an upload.
    assert_eq!(mounted(&site, &both, &format!("mount={DIGEST}")), plain);
    assert_eq!(mounted(&site, &both, &from("")), plain);
    assert_eq!(mounted(&site, &both, &from("UPPER")), plain);
    assert_eq!(mounted(&site, &both, "from=shared/lib"), plain);

    // What is repeated is refused.
    for query in [
        format!("{}&from=shared/lib", from("bob/secret")),
        format!("{}&mount={DIGEST}", from("shared/lib")),
        format!("digest={DIGEST}&digest={DIGEST}"),
    ] {
        let target = format!("{plain}?{query}");
        site.request("POST", &target).bearer(&both).send().expect(400);
    }
    // Push on the target is needed, whatever may be read of the source.
    let pull = site.token(Some(ALICE), &["repository:alice/app:pull", "repository:shared/lib:pull"]);
    let reply = site.request("POST", &format!("{plain}?{}", from("shared/lib"))).bearer(&pull).send().expect(401);
    let scope = "repository:alice/app:pull,push repository:shared/lib:pull";
    assert_eq!(challenged(&reply, "scope").as_deref(), Some(scope));
    site.nothing_forwarded();

    // A form in the body says nothing.
    let request = site.request("POST", plain).bearer(&both).header("Content-Type", "application/x-www-form-urlencoded");
    request.body(format!("mount={DIGEST}&from=bob/secret").as_bytes()).send().expect(200);
    let seen = site.the_forwarded();
    assert_eq!(seen.header("content-type"), Some("application/octet-stream"));
    assert_eq!(seen.target, plain);
}

#[test]
fn mounts_can_be_turned_off_and_are_judged_by_the_rules_at_use() {
    let site = Site::with(|settings, _| settings.upstream = "mounts = false".into());
    let token = site.token(Some(ALICE), &["repository:alice/app:pull,push", "repository:shared/lib:pull"]);
    assert_eq!(mounted(&site, &token, &format!("mount={DIGEST}&from=shared/lib")), "/v2/alice/app/blobs/uploads/");
    let site = Site::start();
    let mount = |source: &str| format!("/v2/alice/app/blobs/uploads/?mount={DIGEST}&from={source}");
    site.request("POST", &mount("bob/secret")).basic(ALICE.0, ALICE.1).send().expect(200);
    assert_eq!(site.the_forwarded().target, "/v2/alice/app/blobs/uploads/");
    site.request("POST", &mount("shared/lib")).basic(ALICE.0, ALICE.1).send().expect(200);
    assert_eq!(site.the_forwarded().target, mount("shared/lib"));
}
