//! What the example profiles promise, as `examples/` has them.

use serde_json::json;

use crate::example::{self, ALICE, BOB};
use crate::mode::Mode;
use crate::site::Site;
use crate::support::client::docker::Docker;
use crate::support::client::podman::Podman;
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::Gateway;
use crate::support::http::Request;
use crate::support::image::LOCAL;
use crate::support::pulp::App;

/// What a profile promises: images of one's own, shared and public ones, nothing past the rules.
fn exercise(name: &str) -> (Site, Gateway, App) {
    let (gateway, api) = example::start(name, &|settings| settings);
    let site = Site::start(Mode::Header);
    // The REST API is there for administrators, and for others as Pulp lets them. Where Pulp verifies tokens it has to know
    // their names: this is how it learns them, or how an administrator tells it.
    let rest =
        |user: (&str, &str), method| Request::new(gateway.port, method, "/pulp/api/v3/users/").basic(user.0, user.1);
    Request::new(gateway.port, "GET", "/pulp/api/v3/users/").send().expect(401);
    rest(ALICE, "GET").send().expect(403);
    for (user, _) in [ALICE, BOB] {
        rest(BOB, "POST")
            .header("Content-Type", "application/json")
            .body(json!({"username": user}).to_string().as_bytes())
            .send();
    }

    let number = gateway.port;
    let own = format!("{}/alice/n{number}/app", gateway.host());
    let public = format!("{}/public/n{number}/app", gateway.host());
    let image = site.image("image");
    let skopeo = Skopeo::new(site.dir("skopeo"));
    skopeo.login(&gateway.host(), ALICE).ok();
    skopeo.push(ALICE, &image, &own).ok();
    skopeo.push(ALICE, &image, &public).failed(1).says("alice may not push to");
    let seen = api.accesses_of(&format!("public/n{number}/app"));
    assert!(seen.iter().all(|access| access.method == "HEAD"), "everyone may look there: {seen:#?}");
    skopeo.push(BOB, &image, &public).ok();
    skopeo.pull(Some(BOB), &format!("{own}:v1"), "bob").ok();
    skopeo.pull(None, &format!("{public}:v1"), "nobody").ok();
    skopeo.pull(None, &format!("{own}:v1"), "none").failed(1).says("an anonymous caller may not pull from");

    let podman = Podman::new(site.dir("podman"));
    podman.login(&gateway.host(), ALICE).ok();
    podman.remote(&["pull", "-q"], &[&format!("{own}:v1")]).ok();
    let docker = Docker::start(site.dir("docker"));
    docker.login(&gateway.host(), ALICE).ok();
    docker.load(&site.image("other"));
    docker.push("alice", &format!("{}/shared/n{number}/app:v1", gateway.host())).ok();
    docker.run("none", &["image", "rm", "-f", LOCAL, &format!("{}/shared/n{number}/app:v1", gateway.host())]).ok();
    docker.run("alice", &["pull", "-q", &format!("{}/shared/n{number}/app:v1", gateway.host())]).ok();
    (site, gateway, api)
}

#[test]
fn header() {
    let (_site, _gateway, api) = exercise("header");
    // Only Pulp's own port is without control here.
    Request::new(api.port, "GET", "/v2/").send().expect(401);
}

#[test]
fn token() {
    let (_site, gateway, api) = exercise("token");
    // Past the gateway there is nothing without a token.
    let name = format!("public/n{}/app", gateway.port);
    Request::new(api.port, "GET", &format!("/v2/{name}/tags/list")).send().expect(401);
}

#[test]
fn hybrid() {
    let (_site, gateway, api) = exercise("hybrid");
    let name = format!("public/n{}/app", gateway.port);
    Request::new(api.port, "GET", &format!("/v2/{name}/tags/list")).send().expect(401);
}
