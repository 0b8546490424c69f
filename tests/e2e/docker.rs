//! docker: a real dockerd with the docker command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::client::Home;
use crate::site::{ALICE, BOB, CAROL, Site, denied};
use crate::skopeo::Skopeo;
use crate::support::image::{Image, LOCAL};
use crate::support::process::{Finished, Server, command, program, run, run_within};

/// A dockerd of its own and the clients that talk to it. Fields are dropped in their order.
pub(crate) struct Docker {
    _daemon: Server,
    home: Home,
    client: PathBuf,
}

impl Docker {
    pub(crate) fn start(site: &Site) -> Self {
        let home = Home::new(site.dir("docker"));
        let client = program("docker", "docker.io");
        let config = format!(r#"{{"deprecated-key-path":"{}"}}"#, home.at("key.json"));
        std::fs::write(home.path.join("daemon.json"), config).unwrap();
        // In a mount namespace of its own: no mount stays should it be killed, and what it makes in /run and /opt is gone
        // with it.
        let mut start = command(Path::new("unshare"), &home.path);
        let script = r#"mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /opt && exec "$0" "$@""#;
        start.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(program("dockerd", "docker.io"));
        for (option, file) in
            [("--config-file", "daemon.json"), ("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "d.pid")]
        {
            start.arg(option).arg(home.path.join(file));
        }
        start.arg(format!("--host=unix://{}", home.at("d.sock")));
        start.args(["--storage-driver=vfs", "--bridge=none", "--log-level=warn"]);
        start.args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]);
        let probe = || docker(&client, &home, "none").args(["version"]).output().unwrap().status.success();
        let daemon = Server::start("dockerd", &mut start, &home.path.join("log"), probe);
        let Ok(daemon) = daemon else { panic!("dockerd found its socket in use") };
        Self { _daemon: daemon, home, client }
    }

    /// Runs `docker args…` with the credentials that `account` has logged in with.
    pub(crate) fn run(&self, account: &str, args: &[&str]) -> Finished {
        run(docker(&self.client, &self.home, account).args(args), "")
    }

    pub(crate) fn login(&self, host: &str, (user, password): (&str, &str)) -> Finished {
        run(docker(&self.client, &self.home, user).args(["login", "-u", user, "--password-stdin", host]), password)
    }

    pub(crate) fn load(&self, image: &Image) {
        self.run("none", &["load", "-q", "-i", image.docker_tar.to_str().unwrap()]).ok();
    }

    /// Tags the loaded image as `reference` and pushes that.
    pub(crate) fn push(&self, account: &str, reference: &str) -> Finished {
        self.run("none", &["tag", LOCAL, reference]).ok();
        self.run(account, &["push", reference])
    }

    /// Like [`Docker::push`], with a deadline.
    pub(crate) fn push_within(&self, limit: Duration, account: &str, reference: &str) -> Finished {
        self.run("none", &["tag", LOCAL, reference]).ok();
        run_within(docker(&self.client, &self.home, account).args(["push", reference]), "", limit)
    }

    /// Removes all images, so that a pull has to fetch the layers.
    pub(crate) fn forget(&self) {
        let images = self.run("none", &["image", "ls", "-q"]).ok().stdout;
        let mut ids: Vec<&str> = images.lines().collect();
        ids.sort_unstable();
        ids.dedup();
        self.run("none", &[&["image", "rm", "-f"], ids.as_slice()].concat()).ok();
    }
}

fn docker(client: &Path, home: &Home, account: &str) -> Command {
    let mut command = command(client, &home.path);
    command.env("DOCKER_HOST", format!("unix://{}", home.at("d.sock"))).env("DOCKER_CONFIG", home.at(account));
    command
}

#[test]
fn logs_in_pushes_pulls_mounts_and_is_told_why_not() {
    let site = Site::start();
    let docker = Docker::start(&site);
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
    assert_eq!(refused.stderr.trim(), denied("bob may not pull and push team/other"), "{refused}");
    site.assert_unchanged("team/other");
    let refused = docker.run("bob", &["pull", "-q", &format!("{}:v1", site.repository("private/app"))]).failed(1);
    refused.says(&format!("pull access denied for {}", site.repository("private/app")));
    refused.says(&denied("bob may not pull private/app"));

    docker.run("alice", &["logout", &site.host()]).ok();
    docker.run("alice", &["pull", "-q", &format!("{app}:v1")]).failed(1).says("pull access denied");
}

#[test]
fn pulls_anonymously_and_uploads_what_it_may_not_mount() {
    let site = Site::start();
    let docker = Docker::start(&site);
    let skopeo = Skopeo::new(&site, "skopeo");
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
