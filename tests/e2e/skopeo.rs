//! skopeo.

use crate::site::{ALICE, BOB, CAROL, Site, denied};
use crate::support::client::skopeo::{Skopeo, to};
use crate::support::client::unquoted;

#[test]
fn logs_in_pushes_pulls_lists_mounts_and_deletes() {
    let site = Site::start();
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    let (app, copy) = (site.repository("team/app"), site.repository("team/copy"));
    let auth = &skopeo.auth();

    let login = skopeo.login(&site.host(), ALICE).ok();
    assert!(login.stdout.contains("Login Succeeded!"), "{login}");
    let source = format!("oci:{}:v1", image.oci.display());
    skopeo.run(&["copy", "--authfile", auth, "--dest-tls-verify=false", &source, &to(&app, ":v1")]).ok();
    assert!(site.registry.has_manifest("team/app", &image.manifest));

    for reference in [format!("{app}:v1"), format!("{app}@{}", image.manifest)] {
        let out = format!("dir:{}", skopeo.home.at("out"));
        skopeo.run(&["copy", "--authfile", auth, "--src-tls-verify=false", &to(&reference, ""), &out]).ok();
        for layer in &image.layers {
            assert_eq!(crate::support::digest(&skopeo.pulled("out", layer)), *layer);
        }
        std::fs::remove_dir_all(skopeo.home.path.join("out")).unwrap();
    }
    let tags = skopeo.run(&["list-tags", "--authfile", auth, "--tls-verify=false", &to(&app, "")]).ok();
    assert!(tags.stdout.contains("\"v1\""), "{tags}");
    let digest =
        skopeo.run(&["inspect", "--authfile", auth, "--tls-verify=false", "--format", "{{.Digest}}", &to(&app, ":v1")]);
    assert_eq!(digest.ok().stdout.trim(), image.manifest);

    let both = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    skopeo.run(&["copy", "--authfile", auth, both[0], both[1], &to(&app, ":v1"), &to(&copy, ":v1")]).ok();
    site.assert_mounted("team/app", "team/copy", 2);
    assert_eq!(site.uploads("team/copy"), 1, "only the configuration is uploaded");

    skopeo.run(&["delete", "--authfile", auth, "--tls-verify=false", &to(&copy, ":v1")]).ok();
    assert!(!site.registry.has_manifest("team/copy", &image.manifest));
    assert!(site.registry.has_manifest("team/app", &image.manifest));

    skopeo.run(&["logout", "--authfile", auth, &site.host()]).ok();
    skopeo.run(&["list-tags", "--authfile", auth, "--tls-verify=false", &to(&app, "")]).failed(1);
}

#[test]
fn pulls_anonymously_what_is_public_and_nothing_else() {
    let site = Site::start();
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    for name in ["public/app", "team/app"] {
        skopeo.push(ALICE, &image, &site.repository(name)).ok();
    }
    skopeo.pull(None, &site.repository("public/app:v1"), "out").ok();
    assert_eq!(crate::support::digest(&skopeo.pulled("out", &image.layers[0])), image.layers[0]);

    let before = site.registry.accesses_of("team/app");
    let refused = skopeo.pull(None, &site.repository("team/app:v1"), "none").failed(1);
    refused.says(&denied("an anonymous caller may not pull from team/app"));
    assert_eq!(site.registry.accesses_of("team/app"), before, "nothing of the refused pull reaches the registry");
}

#[test]
fn prints_why_a_push_a_delete_and_a_password_are_refused() {
    let site = Site::start();
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    let app = site.repository("team/app");
    skopeo.push(ALICE, &image, &app).ok();
    let before = site.registry.accesses_of("team/app").len();

    let other = site.image("other");
    let refused = skopeo.push(BOB, &other, &app).failed(1);
    let text = unquoted(&refused.stderr);
    assert!(text.contains("initiating layer upload to /v2/team/app/blobs/uploads/"), "{refused}");
    assert!(text.contains(&denied("bob may not push to team/app")), "{refused}");

    let bob = format!("{}:{}", BOB.0, BOB.1);
    let refused = skopeo.run(&["delete", "--creds", &bob, "--tls-verify=false", &to(&app, ":v1")]).failed(1);
    refused.says("Failed to delete").says("DENIED").says("bob may not delete from team/app");
    assert!(site.registry.has_manifest("team/app", "v1"));

    let refused = skopeo.login(&site.host(), ("alice", "wrong")).failed(1);
    refused.says("invalid username/password");
    let refused = skopeo.pull(Some(("alice", "wrong")), &format!("{app}:v1"), "none").failed(1);
    refused
        .says("unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or password");
    let refused = skopeo.pull(Some(("nobody", "wrong")), &format!("{app}:v1"), "none").failed(1);
    refused
        .says("unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or password");

    let writes = site.registry.accesses_of("team/app").split_off(before);
    assert!(writes.iter().all(|access| access.method == "GET" || access.method == "HEAD"), "{writes:#?}");
}

#[test]
fn uploads_what_it_may_not_mount() {
    let site = Site::start();
    // One home: skopeo remembers that the layers are in private/app, and asks to mount them from there.
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    skopeo.push(CAROL, &image, &site.repository("private/app")).ok();
    skopeo.push(ALICE, &image, &site.repository("team/app")).ok();
    site.assert_not_mounted_from_private(2);
}
