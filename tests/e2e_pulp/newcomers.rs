//! Users that Pulp does not know yet, where it verifies tokens: the gateway sees to it that it does.

use crate::mode::Mode;
use crate::site::Site;
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::Gateway;
use crate::support::image::Image;
use crate::support::pulp::{ADMIN, App};

/// A gateway for `user`, with `create` as its `create_users`, and Pulp.
fn start(mode: Mode, user: &'static str, create: &str) -> (Gateway, App) {
    let mut settings = mode.settings();
    settings.users.push((user, "secret", &["dev"]));
    // Users are made as who they are, not as who may write.
    settings.upstream.push_str(create);
    mode.start_with(&settings)
}

/// A push and a pull by `user`, who is new to Pulp.
fn exercise(site: &Site, user: &'static str, (gateway, api): &(Gateway, App)) {
    let known = || site.api.users().iter().filter(|name| *name == user).count();
    assert_eq!(known(), 0);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image: Image = site.image("image");
    let name = site.name("team/app");
    let repository = format!("{}/{name}", gateway.host());
    skopeo.push((user, "secret"), &image, &repository).ok();
    skopeo.pull(Some((user, "secret")), &format!("{repository}:v1"), "out").ok();
    assert_eq!(known(), 1);
    let accesses = api.accesses_of(&name);
    assert!(accesses.iter().all(|access| access.status != 401), "{accesses:#?}");
    let asked = api.accesses().into_iter().filter(|access| access.target.starts_with("/pulp/api/v3/users/"));
    assert!(asked.count() <= 4, "once, and not at each request");
}

#[test]
fn pulp_learns_of_them_by_the_identity_header() {
    let site = Site::start(Mode::Header);
    let started = start(Mode::Hybrid, "dave", "\ncreate_users = { credentials = \"identity\" }");
    exercise(&site, "dave", &started);
}

#[test]
fn an_account_of_the_gateway_makes_them() {
    let site = Site::start(Mode::Header);
    let account = format!("{{ basic = {{ username = \"{}\", password = \"{}\" }} }}", ADMIN.0, ADMIN.1);
    let started = start(Mode::Token, "erin", &format!("\ncreate_users = {{ credentials = {account} }}"));
    exercise(&site, "erin", &started);
}

#[test]
fn without_either_they_are_told_nothing_puzzling() {
    let site = Site::start(Mode::Header);
    let (gateway, _api) = start(Mode::Token, "frank", "");
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let repository = format!("{}/{}", gateway.host(), site.name("team/app"));
    skopeo.push(("frank", "secret"), &site.image("image"), &repository).failed(1).says("502 (Bad Gateway)");
    assert!(gateway.log().contains("create_users"), "the log says what to mend");
}
