//! oras, the library on `PyPI`.
//!
//! Its token handling keeps the token of its first, reading request and shows it again on a push. So pushes and deletes are
//! tested with Basic credentials and with a token that has been fetched for them; reading with its own token handling.

use std::time::Duration;

use crate::pyjwt::python;
use crate::site::{ALICE, BOB, Site};
use crate::support::client::Home;
use crate::support::process::{Finished, command, run_within};

/// The library, with a directory of its own.
pub(crate) struct Oras {
    home: Home,
    host: String,
}

impl Oras {
    pub(crate) fn new(site: &Site) -> Self {
        let home = Home::new(site.dir("oras"));
        std::fs::write(home.path.join("act.py"), include_str!("oras.py")).unwrap();
        Self { home, host: site.host() }
    }

    /// Puts a file into its directory.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.home.path.join(name), bytes).unwrap();
    }

    pub(crate) fn run(
        &self,
        backend: &str,
        user: Option<(&str, &str)>,
        action: &str,
        target: &str,
        rest: &[&str],
    ) -> Finished {
        let (user, password) = user.unwrap_or(("-", "-"));
        let mut command = command(&python(), &self.home.path);
        command.arg("act.py").args([backend, &self.host, user, password, action, target]).args(rest);
        run_within(&mut command, "", Duration::from_secs(60))
    }
}

#[test]
fn pushes_pulls_lists_and_deletes_with_basic_and_with_a_token() {
    let site = Site::start();
    let oras = Oras::new(&site);
    let payload = crate::support::random(100_000);
    std::fs::write(oras.home.path.join("payload"), &payload).unwrap();
    for (repository, basic) in [("team/basic", true), ("team/token", false)] {
        let target = site.repository(&format!("{repository}:v1"));
        let scope = format!("repository:{repository}:pull,push,delete");
        let token = if basic { "basic".to_owned() } else { site.gateway.token(Some(ALICE), &[&scope]) };
        let digest = oras.run(&token, Some(ALICE), "push", &target, &["payload"]).ok().stdout;
        for reference in [&target, &format!("{}@{}", site.repository(repository), digest.trim())] {
            let out = oras.home.path.join("out");
            oras.run("token", Some(ALICE), "pull", reference, &["out"]).ok();
            assert_eq!(std::fs::read(out.join("payload")).unwrap(), payload);
            std::fs::remove_dir_all(out).unwrap();
        }
        let tags = oras.run("token", Some(BOB), "tags", &target, &[]).ok();
        assert_eq!(tags.stdout.trim(), "['v1']");
        oras.run(&token, Some(ALICE), "delete", &target, &["v1"]).ok();
        assert!(!site.registry.has_manifest(repository, digest.trim()));
    }
}

#[test]
fn pulls_anonymously_and_is_told_why_not() {
    let site = Site::start();
    let oras = Oras::new(&site);
    std::fs::write(oras.home.path.join("payload"), "open to all").unwrap();
    let public = site.repository("public/oras:v1");
    oras.run("basic", Some(ALICE), "push", &public, &["payload"]).ok();
    oras.run("token", None, "pull", &public, &["out"]).ok();
    assert_eq!(std::fs::read_to_string(oras.home.path.join("out/payload")).unwrap(), "open to all");

    let app = site.repository("team/app:v1");
    let token = site.gateway.token(Some(BOB), &["repository:team/app:pull,push"]);
    let refused = oras.run(&token, Some(BOB), "push", &app, &["payload"]).failed(1);
    refused.says("Issue retrieving session url").says("'code': 'DENIED'");
    site.assert_unchanged("team/app");
    let wrong = oras.run("basic", Some(("alice", "wrong")), "tags", &app, &[]).failed(1);
    wrong.says("Unauthorized");
}
