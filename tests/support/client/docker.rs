//! docker: a real dockerd with the docker command.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Home;
use crate::support::image::{Image, LOCAL};
use crate::support::process::{Finished, Server, command, program, run, run_within};

/// A dockerd of its own and the clients that talk to it. Fields are dropped in their order.
pub(crate) struct Docker {
    _daemon: Server,
    home: Home,
    client: PathBuf,
}

impl Docker {
    /// In `dir`, which is there already and has a short path.
    pub(crate) fn start(dir: PathBuf) -> Self {
        let home = Home::new(dir);
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

    /// Logs in at `host`; the account has the name of the user.
    pub(crate) fn login(&self, host: &str, (user, password): (&str, &str)) -> Finished {
        run(docker(&self.client, &self.home, user).args(["login", "-u", user, "--password-stdin", host]), password)
    }

    /// Gives the daemon an image, named [`LOCAL`].
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
