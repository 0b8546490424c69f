//! podman.

use crate::site::{ALICE, BOB, CAROL, Site, denied};
use crate::support::client::podman::Podman;
use crate::support::client::skopeo::Skopeo;
use crate::support::image::LOCAL;

#[test]
fn logs_in_pushes_pulls_lists_and_mounts() {
    let site = Site::start();
    let podman = Podman::new(site.dir("podman"));
    let (app, copy) = (site.repository("team/app"), site.repository("team/copy"));

    let login = podman.login(&site.host(), ALICE).ok();
    assert!(login.stdout.contains("Login Succeeded!"), "{login}");
    podman.load(&site.image("image"));
    podman.remote(&["push"], &[LOCAL, &format!("{app}:v1")]).ok();
    podman.remote(&["push"], &[LOCAL, &format!("{copy}:v1")]).ok();
    site.assert_mounted("team/app", "team/copy", 2);
    assert_eq!(site.uploads("team/copy"), 1, "only the configuration is uploaded");

    podman.run(&["rmi", "-a", "-f"]).ok();
    podman.remote(&["pull", "-q"], &[&format!("{app}:v1")]).ok();
    let digest = podman.digest(&format!("{app}:v1"));
    podman.run(&["rmi", "-a", "-f"]).ok();
    podman.remote(&["pull", "-q"], &[&format!("{app}@{digest}")]).ok();
    let tags = podman.remote(&["search", "--list-tags"], &[&app]).ok();
    assert!(tags.stdout.lines().any(|line| line.ends_with("v1")), "{tags}");

    podman.run(&["logout", "--authfile", &podman.home.at("auth.json"), &site.host()]).ok();
    podman.remote(&["pull", "-q"], &[&format!("{copy}:v1")]).failed(125);
}

#[test]
fn pulls_anonymously_what_is_public_and_nothing_else() {
    let site = Site::start();
    let podman = Podman::new(site.dir("podman"));
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    for name in ["public/app", "team/app"] {
        skopeo.push(ALICE, &image, &site.repository(name)).ok();
    }
    podman.anonymous_pull(&site.repository("public/app:v1")).ok();
    podman
        .anonymous_pull(&site.repository("team/app:v1"))
        .failed(125)
        .says(&denied("an anonymous caller may not pull from team/app"));
}

#[test]
fn prints_why_a_push_and_a_password_are_refused() {
    let site = Site::start();
    let podman = Podman::new(site.dir("podman"));
    let app = site.repository("team/app");
    podman.load(&site.image("image"));

    podman.login(&site.host(), BOB).ok();
    let refused = podman.remote(&["push"], &[LOCAL, &format!("{app}:v1")]).failed(125);
    refused
        .says("initiating layer upload to /v2/team/app/blobs/uploads/")
        .says(&denied("bob may not push to team/app"));
    site.assert_unchanged("team/app");

    let refused = podman.login(&site.host(), ("bob", "wrong")).failed(125);
    refused.says(&format!("Error: logging into \"{}\": invalid username/password", site.host()));
    let refused =
        podman.run(&["pull", "-q", "--creds", "alice:wrong", "--tls-verify=false", &format!("{app}:v1")]).failed(125);
    refused
        .says("unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or password");
}

#[test]
fn uploads_what_it_may_not_mount() {
    let site = Site::start();
    let podman = Podman::new(site.dir("podman"));
    podman.load(&site.image("image"));
    podman.login(&site.host(), CAROL).ok();
    podman.remote(&["push"], &[LOCAL, &site.repository("private/app:v1")]).ok();
    podman.login(&site.host(), ALICE).ok();
    podman.remote(&["push"], &[LOCAL, &site.repository("team/app:v1")]).ok();
    site.assert_not_mounted_from_private(2);
}
