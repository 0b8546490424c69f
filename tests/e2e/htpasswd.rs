//! Apache's htpasswd as a member of the authn chain, and what its changes do to those who are logged in.

use std::path::PathBuf;
use std::time::Duration;

use crate::site::{Site, directory, settings};
use crate::support::client::Home;
use crate::support::gateway::Gateway;
use crate::support::http::Reply;
use crate::support::process::{command, program, run};
use crate::support::registry::Registry;
use crate::support::until;

const RULES: &str = r#"
[[authn]]
kind = "htpasswd"
file = "htpasswd"

[[access]]
who = ["authenticated"]
repositories = ["team/**"]
actions = ["pull"]
"#;

struct Htpasswd {
    home: Home,
    program: PathBuf,
    file: String,
}

impl Htpasswd {
    /// `htpasswd options… FILE args…`
    fn run(&self, options: &[&str], args: &[&str]) {
        let mut command = command(&self.program, &self.home.path);
        run(command.args(options).arg(&self.file).args(args), "").ok();
    }
}

/// Waits until `ask` is answered with `status`: the file is looked at from time to time.
fn until_status(what: &str, status: u16, ask: impl Fn() -> Reply) -> Reply {
    until(what, Duration::from_secs(15), || Some(ask()).filter(|reply| reply.status == status))
}

#[test]
fn changes_of_the_file_take_effect_for_logins_and_for_live_tokens() {
    let dir = directory();
    let registry = Registry::start(dir.path());
    let home = Home::new(dir.path().join("htpasswd-home"));
    let file = dir.path().join("htpasswd").to_str().unwrap().to_owned();
    let htpasswd = Htpasswd { home, program: program("htpasswd", "apache2-utils"), file };
    htpasswd.run(&["-bBc", "-C", "4"], &["dave", "one"]);
    htpasswd.run(&["-bB", "-C", "4"], &["frank", "two"]);
    let mut settings = settings(registry.port);
    settings.users.clear();
    settings.rest = RULES.into();
    let gateway = Gateway::start(dir.path(), &settings);
    let site = Site::of(gateway, registry, dir);
    let scope = ["repository:team/app:pull"];
    let token = |user, password| site.gateway.ask_token(Some((user, password)), &scope);
    let tags = |token: &str| crate::support::http::get(site.gateway.port, "/v2/team/app/tags/list", Some(token));

    let dave = site.gateway.token(Some(("dave", "one")), &scope);
    let frank = site.gateway.token(Some(("frank", "two")), &scope);
    tags(&dave).expect(404); // let through: the registry has no such repository yet
    tags(&frank).expect(404);
    token("dave", "two").expect(401);
    token("erin", "three").expect(401);

    htpasswd.run(&["-bB", "-C", "4"], &["erin", "three"]);
    until_status("erin is added", 200, || token("erin", "three"));
    tags(&dave).expect(404);

    htpasswd.run(&["-D"], &["dave"]);
    let refused = until_status("dave is removed", 401, || tags(&dave));
    assert_eq!(refused.json()["errors"][0]["code"], "UNAUTHORIZED", "{}", refused.text());
    token("dave", "one").expect(401);
    tags(&frank).expect(404);

    htpasswd.run(&["-bB", "-C", "4"], &["frank", "changed"]);
    until_status("frank's new password is taken", 200, || token("frank", "changed"));
    token("frank", "two").expect(401);
}
