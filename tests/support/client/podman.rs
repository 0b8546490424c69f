//! podman.

use std::path::PathBuf;
use std::process::Command;

use super::Home;
use crate::support::image::Image;
use crate::support::process::{Finished, program, run};

/// podman with a home of its own.
pub(crate) struct Podman {
    /// Where it keeps what it keeps.
    pub(crate) home: Home,
    program: PathBuf,
}

impl Podman {
    /// In `dir`, which is there already.
    pub(crate) fn new(dir: PathBuf) -> Self {
        let home = Home::new(dir);
        std::fs::write(home.path.join("anonymous.json"), "{}").unwrap();
        Self { home, program: program("podman", "podman") }
    }

    /// Runs `podman args…`.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        run(self.command().args(args), "")
    }

    /// podman, before its arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.home.command(&self.program);
        for (option, dir) in
            [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "libpod"), ("--network-config-dir", "net")]
        {
            command.arg(option).arg(self.home.path.join(dir));
        }
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        command
    }

    /// Logs in at `host`, for what [`Podman::remote`] does.
    pub(crate) fn login(&self, host: &str, (user, password): (&str, &str)) -> Finished {
        let auth = self.home.at("auth.json");
        self.run(&["login", "--authfile", &auth, "--tls-verify=false", "-u", user, "-p", password, host])
    }

    /// Gives it an image, named [`LOCAL`](crate::support::image::LOCAL).
    pub(crate) fn load(&self, image: &Image) {
        self.run(&["load", "-q", "-i", image.docker_tar.to_str().unwrap()]).ok();
    }

    /// `verb` with the login's credentials.
    pub(crate) fn remote(&self, verb: &[&str], rest: &[&str]) -> Finished {
        let auth = self.home.at("auth.json");
        self.run(&[verb, &["--authfile", &auth, "--tls-verify=false"], rest].concat())
    }

    /// Pulls without any credentials.
    pub(crate) fn anonymous_pull(&self, reference: &str) -> Finished {
        self.run(&["pull", "-q", "--authfile", &self.home.at("anonymous.json"), "--tls-verify=false", reference])
    }

    /// The digest under which a pulled image came.
    pub(crate) fn digest(&self, reference: &str) -> String {
        let inspect = self.run(&["image", "inspect", "--format", "{{.Digest}}", reference]).ok();
        inspect.stdout.trim().to_owned()
    }
}
