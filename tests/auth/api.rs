//! Routes with `auth = "api"` and `auth = "public"`.

use crate::jwt::{claims, part, signed, state_key};
use crate::setup::{ALICE, BOB, CAROL, Site, code, parameters, the_challenge};

/// Routes to an API and to what is public beside it: `ops` may do everything there, `dev` may read.
pub(crate) const ROUTES: &str = r#"
[[route]]
prefix = "/pulp/api/v3/"
upstream = "registry"
auth = "api"

[[route]]
prefix = "/pulp/"
upstream = "registry"
auth = "public"

[[access]]
who = ["group:ops"]
paths = ["/pulp/api/v3/**"]
methods = ["*"]

[[access]]
who = ["group:dev"]
paths = ["/pulp/api/v3/**"]
methods = ["read"]

[[access]]
who = ["anyone"]
paths = ["/pulp/api/v3/status/"]
methods = ["GET"]
"#;

fn site() -> Site {
    Site::with(|settings, _| settings.rest.push_str(ROUTES))
}

#[test]
fn who_is_unknown_is_asked_for_a_password_and_who_is_known_and_may_not_is_refused() {
    let site = site();
    for request in [
        site.get("/pulp/api/v3/users/"),
        site.get("/pulp/api/v3/users/").basic("alice", "wrong"),
        site.get("/pulp/api/v3/users/").basic("nobody", "wrong"),
        site.request("POST", "/pulp/api/v3/status/").body(b"{}"),
    ] {
        let reply = request.send().expect(401);
        assert!(parameters("Basic", the_challenge(&reply)).iter().any(|(name, _)| *name == "realm"));
        assert_eq!(code(&reply), "UNAUTHORIZED");
    }
    let reply = site.get("/pulp/api/v3/users/").basic(BOB.0, BOB.1).send().expect(403);
    assert_eq!(code(&reply), "DENIED");
    assert_eq!(reply.header("www-authenticate"), None);
    assert!(reply.text().contains("bob may not GET /pulp/api/v3/users/"), "{}", reply.text());
    site.request("POST", "/pulp/api/v3/users/").basic(ALICE.0, ALICE.1).body(b"{}").send().expect(403);
    site.request("DELETE", "/pulp/api/v3/users/1/").basic(ALICE.0, ALICE.1).send().expect(403);
    site.nothing_forwarded();
}

#[test]
fn rules_with_paths_and_methods_decide() {
    let site = site();
    for (method, user, status) in [
        ("GET", ALICE, 200),
        ("HEAD", ALICE, 200),
        ("OPTIONS", ALICE, 200),
        ("PUT", ALICE, 403),
        ("PUT", CAROL, 200),
        ("DELETE", CAROL, 200),
        ("GET", BOB, 403),
    ] {
        let reply = site.request(method, "/pulp/api/v3/repos/?x=1&y=%2F").basic(user.0, user.1).send();
        assert_eq!(reply.status, status, "{method} {}", user.0);
        if status == 200 {
            let seen = site.the_forwarded();
            assert_eq!((seen.method.as_str(), seen.header("authorization")), (method, None));
            let identity = format!("{{\"identity\":{{\"user\":{{\"username\":\"{}\"}}}}}}", user.0);
            assert_eq!(seen.identity(), Some(identity));
        }
    }
    site.get("/pulp/api/v3/status/").send().expect(200);
    assert_eq!(site.the_forwarded().header("x-authentication-service"), None);
    // The rules judge the path that is forwarded.
    for target in [
        "/pulp/api/v3/status/../users/",
        "/pulp/api/v3/status/%2e%2e/users/",
        "/pulp/api/v3//users/",
        "/pulp/api/v3/status%2f..%2fusers/",
    ] {
        site.get(target).send().expect(400);
    }
    site.get("/pulp/api/v3/st%61tus/").send().expect(200);
    assert_eq!(site.the_forwarded().target, "/pulp/api/v3/status/");
}

#[test]
fn tokens_of_one_kind_are_good_for_nothing_on_the_others_routes() {
    let site = site();
    let registry = site.token(Some(CAROL), &["repository:shared/x:pull"]);
    let reply = site.get("/pulp/api/v3/users/").bearer(&registry).send().expect(401);
    assert!(!parameters("Basic", the_challenge(&reply)).is_empty());
    // The same token, but for an API.
    let mut other = claims(&registry);
    other["tidegate"]["kind"] = "api".into();
    other["tidegate"]["scope"] = "api:read".into();
    let api = signed(&state_key(site.dir.path()), &part(&registry, 0).to_string(), &other.to_string());
    site.get("/v2/shared/x/manifests/v1").bearer(&api).send().expect(401);
    site.get("/v2/").bearer(&api).send().expect(401);
    site.nothing_forwarded();
    site.get("/pulp/api/v3/users/").bearer(&api).send().expect(200);
    site.get("/v2/shared/x/manifests/v1").bearer(&registry).send().expect(200);
}

#[test]
fn public_routes_ask_and_tell_nothing() {
    let site = site();
    for request in [
        site.get("/pulp/content/a"),
        site.get("/pulp/content/a").basic(ALICE.0, ALICE.1),
        site.get("/pulp/content/a").basic("alice", "wrong"),
        site.get("/pulp/content/a").bearer("broken"),
    ] {
        request.header("X-Authentication-Service", "eA==").send().expect(200);
        let seen = site.the_forwarded();
        assert_eq!((seen.header("authorization"), seen.header("x-authentication-service")), (None, None));
    }
}
