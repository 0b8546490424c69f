//! skopeo.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::Home;
use crate::support::image::Image;
use crate::support::process::{Finished, program, run, run_within};

/// skopeo with a home of its own.
pub(crate) struct Skopeo {
    /// Where it keeps what it keeps.
    pub(crate) home: Home,
    program: PathBuf,
}

impl Skopeo {
    /// In `dir`, which is there already.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { home: Home::new(dir), program: program("skopeo", "skopeo") }
    }

    /// Runs `skopeo args…`.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        run(self.home.command(&self.program).arg("--tmpdir").arg(&self.home.path).args(args), "")
    }

    /// Logs in at `host`, for what is called with [`Skopeo::auth`].
    pub(crate) fn login(&self, host: &str, (user, password): (&str, &str)) -> Finished {
        let args = ["login", "--tls-verify=false", "--authfile", &self.auth(), "-u", user, "--password-stdin", host];
        run(self.home.command(&self.program).args(args), password)
    }

    /// The file with the credentials of [`Skopeo::login`].
    pub(crate) fn auth(&self) -> String {
        self.home.at("auth.json")
    }

    /// Copies the image to `repository` (host and name) as `v1`.
    pub(crate) fn push(&self, user: (&str, &str), image: &Image, repository: &str) -> Finished {
        run(&mut self.push_command(user, image, repository), "")
    }

    /// Like [`Skopeo::push`], with a deadline.
    pub(crate) fn push_within(&self, limit: Duration, user: (&str, &str), image: &Image, repository: &str) -> Finished {
        run_within(&mut self.push_command(user, image, repository), "", limit)
    }

    /// The command of [`Skopeo::push`].
    pub(crate) fn push_command(&self, (user, password): (&str, &str), image: &Image, repository: &str) -> Command {
        let mut command = self.home.command(&self.program);
        command.arg("--tmpdir").arg(&self.home.path).arg("copy");
        command.args(["--dest-creds", &format!("{user}:{password}"), "--dest-tls-verify=false"]);
        command.arg(format!("oci:{}:v1", image.oci.display())).arg(to(repository, ":v1"));
        command
    }

    /// Copies from `reference` (host, name and tag or digest) into a directory.
    pub(crate) fn pull(&self, user: Option<(&str, &str)>, reference: &str, out: &str) -> Finished {
        let out = format!("dir:{}", self.home.at(out));
        let credentials = user.map(|(user, password)| format!("--src-creds={user}:{password}"));
        let credentials = credentials.as_deref().unwrap_or("--src-no-creds");
        self.run(&["copy", credentials, "--src-tls-verify=false", &to(reference, ""), &out])
    }

    /// A file that a pull has made.
    pub(crate) fn pulled(&self, out: &str, digest: &str) -> Vec<u8> {
        std::fs::read(self.home.path.join(out).join(&digest["sha256:".len()..])).unwrap()
    }
}

/// How skopeo names `repository` (host and name) with `rest`, its tag or digest.
pub(crate) fn to(repository: &str, rest: &str) -> String {
    format!("docker://{repository}{rest}")
}
