//! docker: a real dockerd with the docker command.

use crate::site::{ALICE, BOB, CAROL, Site, denied};
use crate::support::client::docker::Docker;
use crate::support::client::skopeo::Skopeo;

#[test]
fn logs_in_pushes_pulls_mounts_and_is_told_why_not() {
    let site = Site::start();
    let docker = Docker::start(site.dir("docker"));
    let (app, copy) = (site.repository("team/app"), site.repository("team/copy"));
    let image = site.image("image");

    let login = docker.login(&site.host(), ALICE).ok();
    assert!(login.stdout.contains("Login Succeeded"), "{login}");
    docker.load(&image);
    let push = docker.push("alice", &format!("{app}:v1")).ok();
    let (_, digest) = push.stdout.rsplit_once("digest: ").expect("push prints the digest");
    let digest = digest.split(' ').next().unwrap();
    assert!(site.registry.has_manifest("team/app", digest), "{push}");
    let push = docker.push("alice", &format!("{copy}:v1")).ok();
    assert_eq!(push.stdout.matches("Mounted from team/app").count(), 2, "{push}");
    site.assert_mounted("team/app", "team/copy", 2);
    assert_eq!(site.uploads("team/copy"), 1, "only the configuration is uploaded");

    docker.forget();
    docker.run("alice", &["pull", "-q", &format!("{app}:v1")]).ok();
    docker.forget();
    docker.run("alice", &["pull", "-q", &format!("{app}@{digest}")]).ok();
    docker.run("alice", &["manifest", "inspect", "--insecure", &format!("{app}:v1")]).ok();

    // What docker prints.
    docker.load(&image);
    let wrong = docker.login(&site.host(), ("bob", "wrong")).failed(1);
    wrong.says(&format!(
        "Error response from daemon: Get \"http://{}/v2/\": unauthorized: incorrect username or password",
        site.host()
    ));
    docker.login(&site.host(), BOB).ok();
    docker.run("bob", &["pull", "-q", &format!("{app}:v1")]).ok();
    let refused = docker.push("bob", &format!("{}:v1", site.repository("team/other"))).failed(1);
    assert_eq!(refused.stderr.trim(), denied("bob may not push to team/other"), "{refused}");
    site.assert_unchanged("team/other");
    let refused = docker.run("bob", &["pull", "-q", &format!("{}:v1", site.repository("private/app"))]).failed(1);
    refused.says(&format!("pull access denied for {}", site.repository("private/app")));
    refused.says(&denied("bob may not pull from private/app"));

    docker.run("alice", &["logout", &site.host()]).ok();
    docker.run("alice", &["pull", "-q", &format!("{app}:v1")]).failed(1).says("pull access denied");
}

#[test]
fn pulls_anonymously_and_uploads_what_it_may_not_mount() {
    let site = Site::start();
    let docker = Docker::start(site.dir("docker"));
    let skopeo = Skopeo::new(site.dir("skopeo"));
    skopeo.push(ALICE, &site.image("public"), &site.repository("public/app")).ok();
    docker.run("nobody", &["pull", "-q", &site.repository("public/app:v1")]).ok();

    // dockerd remembers that the layers are in private/app, whoever has pushed them there.
    docker.load(&site.image("image"));
    docker.login(&site.host(), CAROL).ok();
    docker.push("carol", &site.repository("private/app:v1")).ok();
    docker.login(&site.host(), ALICE).ok();
    let push = docker.push("alice", &site.repository("team/app:v1")).ok();
    assert!(!push.stdout.contains("Mounted from"), "{push}");
    site.assert_not_mounted_from_private(2);
    let log = site.gateway.log();
    assert!(log.contains("\"operation\":\"upload.mount\",\"repository\":\"team/app\""), "dockerd asks to mount: {log}");
}
