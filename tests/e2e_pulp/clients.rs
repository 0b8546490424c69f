//! docker, podman and skopeo: the same in all modes.

use std::time::Duration;

use crate::mode::Mode;
use crate::site::{ALICE, BOB, CAROL, Site};
use crate::support::client::denied;
use crate::support::client::docker::Docker;
use crate::support::client::podman::Podman;
use crate::support::client::skopeo::Skopeo;
use crate::support::image::LOCAL;
use crate::support::pulp::Pulp;
use crate::support::{digest, until};

fn docker(mode: Mode) {
    let site = Site::start(mode);
    let docker = Docker::start(site.dir("docker"));
    let (app, copy) = (site.repository("team/app"), site.repository("team/copy"));

    let login = docker.login(&site.host(), ALICE).ok();
    assert!(login.stdout.contains("Login Succeeded"), "{login}");
    docker.login(&site.host(), ("bob", "wrong")).failed(1).says("incorrect username or password");
    docker.load(&site.image("image"));
    docker.push("alice", &format!("{app}:v1")).ok();
    let push = docker.push("alice", &format!("{copy}:v1")).ok();
    assert_eq!(push.stdout.matches("Mounted from").count(), 2, "{push}");
    site.assert_mounted("team/app", "team/copy", 2);
    docker.push("alice", &site.repository("public/app:v1")).ok();

    docker.forget();
    docker.run("alice", &["pull", "-q", &format!("{app}:v1")]).ok();
    docker.forget();
    docker.run("nobody", &["pull", "-q", &site.repository("public/app:v1")]).ok();
    let before = site.accesses("team/app");
    docker.run("nobody", &["pull", "-q", &format!("{app}:v1")]).failed(1).says("pull access denied");
    assert_eq!(site.accesses("team/app"), before, "nothing of the refused pull reaches Pulp");

    docker.load(&site.image("other"));
    docker.login(&site.host(), BOB).ok();
    let other = site.name("team/other");
    let refused = docker.push("bob", &format!("{}:v1", site.repository("team/other"))).failed(1);
    assert_eq!(refused.stderr.trim(), denied(&format!("bob may not push to {other}")), "{refused}");
    site.assert_unchanged("team/other");
    docker.push("bob", &site.repository("private/app:v1")).failed(1).says("denied");
    docker.run("bob", &["pull", "-q", &site.repository("private/app:v1")]).failed(1).says("pull access denied");
    site.assert_unseen("private/app");
}

fn podman(mode: Mode) {
    let site = Site::start(mode);
    let podman = Podman::new(site.dir("podman"));
    let (app, copy) = (site.repository("team/app"), site.repository("team/copy"));

    podman.login(&site.host(), BOB).ok();
    podman.load(&site.image("image"));
    let refused = podman.remote(&["push"], &[LOCAL, &format!("{app}:v1")]).failed(125);
    refused.says(&denied(&format!("bob may not push to {}", site.name("team/app"))));
    site.assert_unchanged("team/app");
    let private = site.repository("private/app:v1");
    podman.remote(&["push"], &[LOCAL, &private]).failed(125).says("denied");
    podman.remote(&["pull", "-q"], &[&private]).failed(125).says("bob may not pull from");
    site.assert_unseen("private/app");

    let login = podman.login(&site.host(), ALICE).ok();
    assert!(login.stdout.contains("Login Succeeded!"), "{login}");
    for target in [&app, &copy, &site.repository("public/app")] {
        podman.remote(&["push"], &[LOCAL, &format!("{target}:v1")]).ok();
    }
    site.assert_mounted("team/app", "team/copy", 2);

    podman.run(&["rmi", "-a", "-f"]).ok();
    podman.remote(&["pull", "-q"], &[&format!("{app}:v1")]).ok();
    podman.run(&["rmi", "-a", "-f"]).ok();
    podman.anonymous_pull(&site.repository("public/app:v1")).ok();
    let refused = podman.anonymous_pull(&format!("{app}:v1")).failed(125);
    refused.says(&denied(&format!("an anonymous caller may not pull from {}", site.name("team/app"))));
    let tags = podman.remote(&["search", "--list-tags"], &[&app]).ok();
    assert!(tags.stdout.lines().any(|line| line.ends_with("v1")), "{tags}");
}

fn skopeo(mode: Mode) {
    let site = Site::start(mode);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    let (app, copy) = (site.repository("team/app"), site.repository("team/copy"));

    skopeo.login(&site.host(), ALICE).ok();
    skopeo.login(&site.host(), ("alice", "wrong")).failed(1).says("invalid username/password");
    for target in [&app, &copy, &site.repository("public/app")] {
        skopeo.push(ALICE, &image, target).ok();
    }
    site.assert_mounted("team/app", "team/copy", 2);
    for (user, reference, out) in [
        (Some(BOB), format!("{app}:v1"), "tag"),
        (Some(ALICE), format!("{app}@{}", image.manifest), "digest"),
        (None, site.repository("public/app:v1"), "public"),
    ] {
        skopeo.pull(user, &reference, out).ok();
        for layer in &image.layers {
            assert_eq!(digest(&skopeo.pulled(out, layer)), *layer);
        }
    }

    skopeo.push(BOB, &image, &site.repository("team/other")).failed(1).says("bob may not push to");
    site.assert_unchanged("team/other");
    let refused = skopeo.pull(Some(CAROL), &format!("{app}:v1"), "none").failed(1);
    refused.says(&denied(&format!("carol may not pull from {}", site.name("team/app"))));
    let private = site.repository("private/app");
    skopeo.push(BOB, &image, &private).failed(1).says("denied");
    skopeo.pull(None, &format!("{private}:v1"), "none").failed(1).says("an anonymous caller may not pull from");
    site.assert_unseen("private/app");
    let target = format!("docker://{app}:v1");
    let credentials = |(user, password)| format!("--creds={user}:{password}");
    skopeo.run(&["delete", &credentials(BOB), "--tls-verify=false", &target]).failed(1).says("DENIED");
    // Pulp only takes a note of it, for its worker.
    Pulp::shared().worker();
    skopeo.run(&["delete", &credentials(ALICE), "--tls-verify=false", &target]).ok();
    until("the manifest is deleted", Duration::from_secs(30), || {
        let tags = skopeo.run(&["list-tags", &credentials(BOB), "--tls-verify=false", &format!("docker://{app}")]);
        (!tags.stdout.contains("\"v1\"")).then_some(())
    });
    skopeo.pull(Some(ALICE), &format!("{app}:v1"), "none").failed(1).says("manifest unknown");
}

/// Each client in each mode, as a test of its own.
macro_rules! in_modes {
    ($($name:ident: $mode:expr),*) => {$(
        mod $name {
            use super::Mode;

            #[test]
            fn docker() {
                super::docker($mode);
            }

            #[test]
            fn podman() {
                super::podman($mode);
            }

            #[test]
            fn skopeo() {
                super::skopeo($mode);
            }
        }
    )*};
}

in_modes!(header: Mode::Header, token: Mode::Token, minted: Mode::Minted, hybrid: Mode::Hybrid);
