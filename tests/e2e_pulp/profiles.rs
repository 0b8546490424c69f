//! The example profiles as they stand, but for ports and passwords, in front of a Pulp that is told what
//! `tidegate export pulp` prints and nothing else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::mode::Mode;
use crate::site::Site;
use crate::support::client::docker::Docker;
use crate::support::client::podman::Podman;
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::{Gateway, Ports, cli};
use crate::support::http::Request;
use crate::support::image::LOCAL;
use crate::support::port;
use crate::support::pulp::{App, Pulp};

/// In the profiles one of the developers, and one of the administrators.
const ALICE: (&str, &str) = ("alice", "alice-secret");
const BOB: (&str, &str) = ("bob", "bob-secret");

/// The profile with the ports that there are and passwords that are known.
fn fill(profile: &str, ports: Ports, api: u16) -> String {
    let mut text = profile.to_owned();
    let local = |port: u16| format!("127.0.0.1:{port}");
    let content = Pulp::shared().content().port;
    for (written, port) in [(5000, ports.main), (5001, ports.admin), (24817, api), (24816, content)] {
        assert!(text.contains(&local(written)), "the profiles name port {written}");
        text = text.replace(&local(written), &local(port));
    }
    let mut lines = Vec::new();
    let mut user = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("[users.").and_then(|rest| rest.strip_suffix(']')) {
            user = name;
        }
        if line.starts_with("password_hash = ") {
            lines.push(format!("password_hash = \"{}\"", bcrypt::hash(format!("{user}-secret"), 4).unwrap()));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}

fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn try_start(profile: &str) -> Option<(Gateway, App)> {
    let pulp = Pulp::shared();
    let (dir, ports, api) = (pulp.new_dir(), Ports::free(), port::free());
    // One profile has an account of its own at Pulp.
    write_secret(&dir.join("registry-writer-password"), "registry-writer-secret");
    let render = |ports| fill(profile, ports, api);
    let config = dir.join("gateway.toml");
    write_secret(&config, &render(ports));
    let settings = cli(&config, &["export", "pulp", "--config", "{config}"]).ok().stdout;
    cli(&config, &["check", "--deny-warnings", "--config", "{config}"]).ok();
    let api = pulp.try_api(api, &settings)?;
    let gateway = Gateway::try_start(&dir, ports, &render)?;
    Some((gateway, api))
}

/// What a profile promises: images of one's own, shared and public ones, nothing past the rules.
fn exercise(name: &str) -> (Site, Gateway, App) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("pulp-{name}.toml"));
    let profile = std::fs::read_to_string(file).unwrap();
    let (gateway, api) = (0..20).find_map(|_| try_start(&profile)).expect("no ports stayed free until they were bound");
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
