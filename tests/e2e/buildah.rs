//! buildah.

use std::path::PathBuf;

use crate::site::{ALICE, BOB, Site, denied};
use crate::support::client::Home;
use crate::support::process::{Finished, program, run};
use crate::support::random;

struct Buildah {
    home: Home,
    program: PathBuf,
}

/// What [`Buildah::build`] builds.
const BUILT: &str = "localhost/built:v1";

impl Buildah {
    fn new(site: &Site) -> Self {
        Self { home: Home::new(site.dir("buildah")), program: program("buildah", "buildah") }
    }

    fn run(&self, args: &[&str]) -> Finished {
        let mut command = self.home.command(&self.program);
        command.arg("--root").arg(self.home.path.join("root")).arg("--runroot").arg(self.home.path.join("run"));
        run(command.args(["--storage-driver", "vfs"]).args(args), "")
    }

    /// An image of one layer, from scratch.
    fn build(&self) {
        let context = self.home.path.join("context");
        std::fs::create_dir_all(&context).unwrap();
        std::fs::write(context.join("data"), random(64 * 1024)).unwrap();
        std::fs::write(context.join("Containerfile"), "FROM scratch\nCOPY data /data\n").unwrap();
        self.run(&["bud", "-q", "--isolation", "chroot", "-t", BUILT, context.to_str().unwrap()]).ok();
    }

    fn login(&self, site: &Site, (user, password): (&str, &str)) -> Finished {
        let auth = self.home.at("auth.json");
        self.run(&["login", "--authfile", &auth, "--tls-verify=false", "-u", user, "-p", password, &site.host()])
    }

    fn push(&self, reference: &str, digest_file: &str) -> Finished {
        let (auth, file) = (self.home.at("auth.json"), self.home.at(digest_file));
        self.run(&["push", "-q", "--authfile", &auth, "--tls-verify=false", "--digestfile", &file, BUILT, reference])
    }

    fn pull(&self, credentials: &[&str], reference: &str) -> Finished {
        // Without the policy an image that is there already is not asked for.
        self.run(&[&["pull", "-q", "--policy", "always", "--tls-verify=false"], credentials, &[reference]].concat())
    }
}

#[test]
fn builds_logs_in_pushes_pulls_and_mounts() {
    let site = Site::start();
    let buildah = Buildah::new(&site);
    let (app, copy) = (site.repository("team/app"), site.repository("team/copy"));
    buildah.build();

    let login = buildah.login(&site, ALICE).ok();
    assert!(login.stdout.contains("Login Succeeded!"), "{login}");
    buildah.push(&format!("{app}:v1"), "digest").ok();
    let digest = std::fs::read_to_string(buildah.home.path.join("digest")).unwrap();
    assert!(site.registry.has_manifest("team/app", digest.trim()), "{digest}");
    buildah.push(&format!("{copy}:v1"), "digest").ok();
    site.assert_mounted("team/app", "team/copy", 1);
    assert_eq!(site.uploads("team/copy"), 1, "only the configuration is uploaded");

    buildah.run(&["rmi", "-a", "-f"]).ok();
    let auth = buildah.home.at("auth.json");
    buildah.pull(&["--authfile", &auth], &format!("{app}:v1")).ok();
    buildah.run(&["rmi", "-a", "-f"]).ok();
    buildah.pull(&["--authfile", &auth], &format!("{app}@{}", digest.trim())).ok();
}

#[test]
fn pulls_anonymously_what_is_public_and_nothing_else() {
    let site = Site::start();
    let buildah = Buildah::new(&site);
    buildah.build();
    buildah.login(&site, ALICE).ok();
    for name in ["public/app:v1", "team/app:v1"] {
        buildah.push(&site.repository(name), "digest").ok();
    }
    let none = buildah.home.at("none.json");
    std::fs::write(&none, "{}").unwrap();
    buildah.pull(&["--authfile", &none], &site.repository("public/app:v1")).ok();
    buildah
        .pull(&["--authfile", &none], &site.repository("team/app:v1"))
        .failed(125)
        .says(&denied("an anonymous caller may not pull from team/app"));
}

#[test]
fn prints_why_a_push_and_a_password_are_refused() {
    let site = Site::start();
    let buildah = Buildah::new(&site);
    buildah.build();
    buildah.login(&site, BOB).ok();
    let refused = buildah.push(&site.repository("team/app:v1"), "digest").failed(125);
    refused
        .says("initiating layer upload to /v2/team/app/blobs/uploads/")
        .says(&denied("bob may not push to team/app"));
    site.assert_unchanged("team/app");

    let refused = buildah.login(&site, ("bob", "wrong")).failed(125);
    refused.says(&format!("logging into \"{}\": invalid username/password", site.host()));
    let refused = buildah.pull(&["--creds", "alice:wrong"], &site.repository("team/app:v1")).failed(125);
    refused
        .says("unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or password");
}
