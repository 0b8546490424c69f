//! Names and redirects: what Pulp writes into its answers leads clients back to the gateway.

use serde_json::Value;

use crate::mode::Mode;
use crate::site::{ALICE, BOB, Site, settled};
use crate::support::client::docker::Docker;
use crate::support::client::podman::Podman;
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::{Gateway, Ports, Settings};
use crate::support::http::{Reply, Request};
use crate::support::image::Image;
use crate::support::pulp::{HEADER_MODE, Pulp};

fn ask(gateway: &Gateway, target: &str) -> Request {
    Request::new(gateway.port, "GET", target).basic(ALICE.0, ALICE.1)
}

/// Whoever uses the REST API is an administrator of Pulp: its roles are not what is tested here.
fn as_admin() -> Settings {
    let mut settings = Mode::Header.settings();
    settings.rest = settings.rest.replace(
        "credentials = \"identity\"\n",
        "credentials = \"identity\"\nidentity = \"{identity: {user: {username: \\\"registry-writer\\\"}}}\"\n",
    );
    settings
}

fn next(reply: &Reply) -> String {
    match &reply.json()["next"] {
        Value::String(next) => next.clone(),
        other => panic!("no next page: {other}"),
    }
}

#[test]
fn pages_follow_each_other_under_the_name_that_the_client_used() {
    let site = Site::start(Mode::Header);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    let app = site.repository("team/app");
    skopeo.push(ALICE, &image, &app).ok();
    for tag in ["v2", "v3"] {
        let from = format!("docker://{app}:v1");
        let to = format!("docker://{app}:{tag}");
        let credentials = format!("{}:{}", ALICE.0, ALICE.1);
        skopeo
            .run(&[
                "copy",
                "--src-creds",
                &credentials,
                "--dest-creds",
                &credentials,
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
                &from,
                &to,
            ])
            .ok();
    }
    let mut target = format!("/v2/{}/tags/list?n=1", site.name("team/app"));
    let mut tags = Vec::new();
    loop {
        let page = ask(site.gateway, &target).send().expect(200);
        tags.extend(page.json()["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()));
        let Some(link) = page.header("link") else { break };
        target = link.strip_prefix('<').unwrap().split_once(">; rel=\"next\"").unwrap().0.to_owned();
        assert!(target.starts_with("/v2/"), "{link}");
    }
    assert_eq!(tags, ["v1", "v2", "v3"]);
}

#[test]
fn links_of_the_rest_api_hold_the_public_name_and_scheme() {
    let api = Pulp::shared().api(HEADER_MODE);
    let settings = Settings { upstream_port: api.port, ..as_admin() };
    let dir = Pulp::shared().new_dir();
    let render = |ports: Ports| {
        let local = format!("\"http://127.0.0.1:{}\"", ports.main);
        settings.render(ports).replace(&format!("[{local}]"), &format!("[{local}, \"https://registry.example\"]"))
    };
    let gateway = (0..20).find_map(|_| Gateway::try_start(&dir, Ports::free(), &render)).unwrap();

    let users = "/pulp/api/v3/users/?limit=1";
    let local = next(&ask(&gateway, users).send().expect(200));
    assert!(local.starts_with(&format!("http://{}/pulp/api/v3/users/?", gateway.host())), "{local}");
    let public = next(&ask(&gateway, users).host("registry.example").send().expect(200));
    assert!(public.starts_with("https://registry.example/pulp/api/v3/users/?"), "{public}");
    // Pulp believes what comes from loopback, and clients do not get to say it.
    let direct =
        Request::new(api.port, "GET", users).header("X-Forwarded-Proto", "https").basic("admin", "admin-secret");
    assert!(next(&direct.send().expect(200)).starts_with("https://"));
    let forged = ask(&gateway, users)
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "evil.example")
        .header("X_Forwarded_Proto", "https")
        .header("Forwarded", "host=evil.example;proto=https");
    assert_eq!(next(&forged.send().expect(200)), local);
    let (before, _) = local.split_once("/pulp/").unwrap();
    ask(&gateway, local.strip_prefix(before).unwrap()).send().expect(200);

    let document = ask(&gateway, "/pulp/api/v3/docs/api.json").host("registry.example").send().expect(200).json();
    assert_eq!(document["servers"][0]["url"], "https://registry.example/");
}

/// Pulls by each client from a Pulp with this `CONTENT_ORIGIN`.
fn pull_with(origin: &str) {
    let pulp = Pulp::shared();
    let content = pulp.content();
    let origin = origin.replace("{content}", &content.port.to_string());
    let api = pulp.api(&format!("{HEADER_MODE}CONTENT_ORIGIN = {origin}\n"));
    let gateway = Mode::in_front_of(&api, &Mode::Header.settings());
    let dir = pulp.new_dir();
    let new = |name: &str| {
        let dir = dir.join(name);
        std::fs::create_dir(&dir).unwrap();
        dir
    };
    let image = Image::make(&new("image"), 2, 64);
    let name = format!("team/origin{}/app", gateway.port);
    let repository = format!("{}/{name}", gateway.host());
    let skopeo = Skopeo::new(new("skopeo"));
    skopeo.push(ALICE, &image, &repository).ok();

    let blob = format!("/v2/{name}/blobs/{}", image.layers[0]);
    let direct = Request::new(api.port, "GET", &blob).send().expect(302);
    assert_eq!(direct.header("location").unwrap().starts_with('/'), origin == "None");
    for method in ["GET", "HEAD"] {
        let redirect = Request::new(gateway.port, method, &blob).basic(BOB.0, BOB.1).send().expect(302);
        let location = redirect.header("location").unwrap();
        assert!(location.starts_with("/pulp/container/"), "{location}");
    }

    let taken = |client: &str| {
        let blobs = |line: &&str| {
            line.contains("\"kind\":\"request\"") && line.contains(&format!("/pulp/container/{name}/blobs/"))
        };
        let taken = || {
            let log = gateway.log();
            log.lines().filter(blobs).filter(|line| line.contains(client)).map(str::to_owned).collect()
        };
        let lines: Vec<String> = settled(3, taken);
        assert!(lines.len() >= 3, "{client} takes what it pulls through the gateway: {lines:#?}");
    };
    skopeo.pull(Some(BOB), &format!("{repository}:v1"), "out").ok();
    taken("skopeo/");
    let podman = Podman::new(new("podman"));
    podman.login(&gateway.host(), BOB).ok();
    podman.remote(&["pull", "-q"], &[&format!("{repository}:v1")]).ok();
    taken("containers/");
    let docker = Docker::start(new("docker"));
    docker.login(&gateway.host(), BOB).ok();
    docker.run("bob", &["pull", "-q", &format!("{repository}:v1")]).ok();
    taken("docker/");
    // Two of the three send their credentials along; the content app gets none of them.
    let accesses = content.accesses();
    let ours: Vec<_> = accesses.iter().filter(|access| access.target.contains(&name)).collect();
    assert!(ours.len() >= 9 && ours.iter().all(|access| access.authorization.is_none()), "{ours:#?}");
}

#[test]
fn relative_redirects_lead_all_clients_to_the_content_app() {
    pull_with("None");
}

#[test]
fn redirects_to_the_content_app_itself_lead_through_the_gateway() {
    pull_with("\"http://127.0.0.1:{content}\"");
}
