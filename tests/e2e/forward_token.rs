//! A registry that verifies our tokens itself, configured with nothing but what `tidegate export distribution` prints.

use crate::site::{ALICE, BOB, CAROL, Site, denied, directory, settings};
use crate::support::client::docker::Docker;
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::{Gateway, Ports, cli};
use crate::support::http::{Request, get};
use crate::support::image::LOCAL;
use crate::support::port;
use crate::support::registry::Registry;

/// A site with `credentials` for the registry, and these lines in `[token]`.
fn site(credentials: &str, token: &str) -> Site {
    (0..20).find_map(|_| try_site(credentials, token)).expect("no ports stayed free until they were bound")
}

fn try_site(credentials: &str, token: &str) -> Option<Site> {
    let dir = directory();
    let (ports, registry) = (Ports::free(), port::free());
    let mut settings = settings(registry);
    settings.upstream = format!("credentials = \"{credentials}\"");
    token.clone_into(&mut settings.token);
    let render = |ports| settings.render(ports);
    let config = dir.path().join("gateway.toml");
    std::fs::write(&config, render(ports)).unwrap();
    let section = cli(&config, &["export", "distribution", "--config", "{config}", "--target", "2"]).ok().stdout;
    let registry = Registry::try_start(dir.path(), registry, &section)?;
    let gateway = Gateway::try_start(dir.path(), ports, &render)?;
    Some(Site::of(gateway, registry, dir))
}

/// A push, pulls, a mount, a deletion and refusals, as they are in front of a registry that verifies nothing.
fn exercise(site: &Site) {
    // The registry does verify: nobody gets past the gateway.
    get(site.registry.port, "/v2/", None).expect(401);
    let other = site.gateway.token(Some(ALICE), &["repository:team/other:pull"]);
    get(site.registry.port, "/v2/team/app/tags/list", Some(&other)).expect(401);

    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    let app = site.repository("team/app");
    skopeo.push(ALICE, &image, &app).ok();
    let token = site.gateway.token(Some(BOB), &["repository:team/app:pull"]);
    let tags = get(site.gateway.port, "/v2/team/app/tags/list", Some(&token)).expect(200);
    assert_eq!(tags.json()["tags"], serde_json::json!(["v1"]));
    skopeo.pull(Some(BOB), &format!("{app}:v1"), "tag").ok();
    skopeo.pull(Some(BOB), &format!("{app}@{}", image.manifest), "digest").ok();
    skopeo.push(ALICE, &image, &site.repository("public/app")).ok();
    skopeo.pull(None, &site.repository("public/app:v1"), "public").ok();
    site.assert_mounted("team/app", "public/app", 2);
    assert_eq!(site.uploads("public/app"), 1, "only the configuration is uploaded");
    // carol may not read where this skopeo knows the layers to be.
    let (skopeo, other) = (Skopeo::new(site.dir("other-skopeo")), site.image("other-image"));
    skopeo.push(ALICE, &other, &site.repository("team/source")).ok();
    skopeo.push(CAROL, &other, &site.repository("private/app")).ok();
    site.assert_mounted("team/source", "private/app", 0);
    assert_eq!(site.uploads("private/app"), 3);

    skopeo.push(BOB, &site.image("refused"), &app).failed(1).says(&denied("bob may not push to team/app"));
    skopeo
        .pull(None, &format!("{app}:v1"), "none")
        .failed(1)
        .says(&denied("an anonymous caller may not pull from team/app"));
    let credentials = |(user, password)| format!("--creds={user}:{password}");
    let target = format!("docker://{app}:v1");
    skopeo.run(&["delete", &credentials(BOB), "--tls-verify=false", &target]).failed(1).says("DENIED");
    skopeo.run(&["delete", &credentials(ALICE), "--tls-verify=false", &target]).ok();
    let token = site.gateway.token(Some(BOB), &["repository:team/app:pull"]);
    get(site.gateway.port, "/v2/team/app/manifests/v1", Some(&token)).expect(404);
}

#[test]
fn distribution_verifies_what_clients_bring_by_libtrust_ids() {
    let site = site("forward-token", "key_id = \"libtrust\"");
    exercise(&site);

    let docker = Docker::start(site.dir("docker"));
    let name = format!("{}:v1", site.repository("team/docker"));
    docker.load(&site.image("docker-image"));
    docker.login(&site.host(), ALICE).ok();
    docker.push("alice", &name).ok();
    docker.run("none", &["image", "rm", "-f", LOCAL, &name]).ok();
    docker.run("alice", &["pull", "-q", &name]).ok();
}

#[test]
fn distribution_verifies_what_clients_bring_by_their_certificate() {
    exercise(&site("forward-token", "x5c = true"));
}

#[test]
fn distribution_verifies_what_the_gateway_mints() {
    let site = site("mint-token", "key_id = \"libtrust\"");
    exercise(&site);
    // Who comes with a password has no token to pass on, and needs none.
    let request = Request::new(site.gateway.port, "GET", "/v2/public/app/tags/list");
    request.clone().basic(ALICE.0, ALICE.1).send().expect(200);
    request.send().expect(200);
}
