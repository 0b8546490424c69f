//! Files that change are noticed by themselves.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::change::Change as _;
use crate::support::http::Request;
use crate::support::pause;
use crate::support::site::{SETUP, Setup, Site};
use crate::support::upstream::ok;

#[test]
fn a_configuration_behind_links_is_followed_when_they_are_swapped() {
    let site = Site::new(ok);
    // As Kubernetes mounts a ConfigMap: the file is a link into `..data`, which is a link that is swapped.
    let at = |name: &str| site.dir.path().join(name);
    let text = std::fs::read_to_string(at("gateway.toml")).unwrap();
    for (version, text) in [("..v1", text.clone()), ("..v2", text.replace("user:alice", "user:nobody"))] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("gateway.toml"), text).unwrap();
    }
    symlink("..v1", at("..data")).unwrap();
    symlink("..data/gateway.toml", at("link")).unwrap();
    std::fs::rename(at("link"), at("gateway.toml")).unwrap();
    assert_eq!(site.get().0.status(), 200);
    symlink("..v2", at("..data_tmp")).unwrap();
    std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    site.reloaded_since(0);
    assert_eq!(site.get().0.status(), 403);
    // The link in between led to the same content.
    assert_eq!(site.reloads(), 1);
}

#[test]
fn a_secret_in_a_file_is_read_again() {
    let setup = Setup {
        rest: "[users.carol]\npassword_hash = { file = \"hash\" }\n[[access]]\nwho = [\"user:carol\"]\nregistry = \
               [\"catalog\"]\nactions = [\"*\"]\n",
        ..SETUP
    };
    let hash = |password| bcrypt::hash(password, 4).unwrap();
    let site = Site::with_files(&setup, &[("hash", &hash("one"))], ok);
    let status = |password| Request::new(site.gateway.port, "GET", "/v2/").basic("carol", password).send().status;
    assert_eq!((status("one"), status("two")), (200, 401));
    std::fs::write(site.dir.path().join("hash"), hash("two")).unwrap();
    site.reloaded_since(0);
    assert_eq!((status("one"), status("two")), (401, 200));
}

#[test]
fn nothing_is_watched_that_is_not_to_be() {
    let site = Site::with(&Setup { server: "workers = 1\nwatch = false", ..SETUP }, ok);
    site.write(|text| text.replace("user:alice", "user:nobody"));
    // Longer than a change takes to be noticed.
    pause(Duration::from_millis(2500));
    assert_eq!((site.reloads(), site.get().0.status()), (0, 200));
    site.reload();
    assert_eq!(site.get().0.status(), 403);
    // And from now on it is.
    site.replace("watch = false", "watch = true");
    let before = site.reloads();
    site.write(|text| text.replace("user:nobody", "user:alice"));
    site.reloaded_since(before);
    assert_eq!(site.get().0.status(), 200);
}
