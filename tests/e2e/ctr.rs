//! containerd's ctr.

use std::path::PathBuf;
use std::process::Command;

use crate::site::{ALICE, BOB, Site};
use crate::support::client::Home;
use crate::support::image::{Image, LOCAL};
use crate::support::process::{Finished, Server, command, program, run};

/// What ctr says where it does not get the content that it has itself: a fault between it and containerd (its issue 5734). Of pushes straight to a
/// docker-registry from a busy machine, 3 of 517 ended so with 1.6.20.
const OWN_FAULT: &str = "rpc error: code = Internal desc = unexpected EOF";
/// How often a command is run that meets it.
const TRIES: usize = 5;

/// A containerd and the client that talks to it. Fields are dropped in their order.
pub(crate) struct Ctr {
    _daemon: Server,
    home: Home,
    client: PathBuf,
}

impl Ctr {
    pub(crate) fn start(site: &Site) -> Self {
        let home = Home::new(site.dir("ctr"));
        let client = program("ctr", "containerd");
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\", \
             \"io.containerd.snapshotter.v1.aufs\", \"io.containerd.snapshotter.v1.btrfs\", \
             \"io.containerd.snapshotter.v1.zfs\", \"io.containerd.snapshotter.v1.devmapper\"]\n\
             [grpc]\naddress = {:?}\n",
            home.at("root"),
            home.at("state"),
            home.at("c.sock")
        );
        let file = home.path.join("config.toml");
        std::fs::write(&file, config).unwrap();
        let mut start = command(&program("containerd", "containerd"), &home.path);
        start.arg("--config").arg(&file).args(["--log-level", "warn"]);
        let ready = || {
            let mut probe = command(&client, &home.path);
            probe.args(["--address", &home.at("c.sock"), "version"]).output().unwrap().status.success()
        };
        let Ok(daemon) = Server::start("containerd", &mut start, &home.path.join("log"), ready) else {
            panic!("containerd found its socket in use")
        };
        Self { _daemon: daemon, home, client }
    }

    fn run(&self, args: &[&str]) -> Finished {
        run(self.command().args(args), "")
    }

    fn command(&self) -> Command {
        let mut command = command(&self.client, &self.home.path);
        command.args(["--address", &self.home.at("c.sock"), "--namespace", "e2e"]);
        command
    }

    /// `verb` on a remote reference, as `user`.
    fn remote(&self, verb: &[&str], user: Option<(&str, &str)>, rest: &[&str]) -> Finished {
        let user = user.map(|(user, password)| format!("{user}:{password}"));
        let credentials = user.as_ref().map(|user| ["--user", user]);
        let credentials: &[&str] = credentials.as_ref().map_or(&[], |pair| pair.as_slice());
        let arguments = [verb, &["--plain-http"], credentials, rest].concat();
        (1..TRIES)
            .map(|_| self.run(&arguments))
            .find(|run| !run.stderr.contains(OWN_FAULT))
            .unwrap_or_else(|| self.run(&arguments))
    }

    pub(crate) fn import(&self, image: &Image) {
        self.run(&["images", "import", "--snapshotter", "native", image.oci_tar.to_str().unwrap()]).ok();
    }

    pub(crate) fn push(&self, user: (&str, &str), reference: &str) -> Finished {
        self.remote(&["images", "push"], Some(user), &[reference, LOCAL])
    }

    fn pull(&self, user: Option<(&str, &str)>, reference: &str) -> Finished {
        self.remote(&["images", "pull", "--snapshotter", "native"], user, &[reference])
    }

    /// Removes an image and, with it, its content.
    fn forget(&self, reference: &str) {
        self.run(&["images", "rm", "--sync", reference]).ok();
    }
}

#[test]
fn pushes_pulls_and_mounts() {
    let site = Site::start();
    let ctr = Ctr::start(&site);
    let image = site.image("image");
    let (app, copy) = (site.repository("team/app"), site.repository("team/copy"));
    ctr.import(&image);
    ctr.push(ALICE, &format!("{app}:v1")).ok();
    assert!(site.registry.has_manifest("team/app", &image.manifest));
    ctr.forget(LOCAL);

    ctr.pull(Some(ALICE), &format!("{app}:v1")).ok();
    ctr.forget(&format!("{app}:v1"));
    ctr.pull(Some(BOB), &format!("{app}@{}", image.manifest)).ok();
    ctr.remote(&["content", "fetch"], Some(ALICE), &[&format!("{app}:v1")]).ok();

    // containerd remembers where it has pulled content from, and asks to mount it.
    let push = ctr.remote(&["images", "push"], Some(ALICE), &[&format!("{copy}:v1"), &format!("{app}:v1")]);
    push.ok();
    assert!(site.registry.has_manifest("team/copy", &image.manifest));
    site.assert_mounted("team/app", "team/copy", 3);
}

#[test]
fn pulls_anonymously_and_is_told_why_not() {
    let site = Site::start();
    let ctr = Ctr::start(&site);
    ctr.import(&site.image("image"));
    let (public, app) = (site.repository("public/app:v1"), site.repository("team/app:v1"));
    ctr.push(ALICE, &public).ok();
    ctr.push(ALICE, &app).ok();
    ctr.pull(None, &public).ok();

    let authorization_failed = "pull access denied, repository does not exist or may require authorization";
    ctr.pull(None, &app).failed(1).says(&format!("failed to resolve reference \"{app}\": {authorization_failed}"));
    let other = site.repository("team/other:v1");
    ctr.push(BOB, &other).failed(1).says("server message: insufficient_scope: authorization failed");
    site.assert_unchanged("team/other");
    let wrong = ctr.pull(Some(("alice", "wrong")), &app).failed(1);
    wrong.says("failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized");
    let wrong = ctr.push(("alice", "wrong"), &other).failed(1);
    wrong.says("failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized");
}
