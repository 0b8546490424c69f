//! Keys: a rotation by reloads, and the key that the gateway made for itself.

use crate::change::Change as _;
use crate::support::gateway::{Gateway, cli};
use crate::support::http::{Request, get};
use crate::support::site::{BOB, SETUP, Setup, Site, blob};
use crate::support::upstream::ok;

const SCOPE: &str = "repository:team/app:pull";

fn status(gateway: &Gateway, token: &str) -> u16 {
    Request::new(gateway.port, "GET", &blob()).bearer(token).send().status
}

fn key_ids(gateway: &Gateway) -> Vec<String> {
    let keys = get(gateway.port, "/.well-known/jwks.json", None).expect(200).json();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tokens_of_a_key_that_is_still_listed_stay_good() {
    let site = Site::new(ok);
    for key in ["old.pem", "new.pem"] {
        let file = site.dir.path().join(key);
        cli(&site.gateway.config, &["keys", "generate", "--out", file.to_str().unwrap()]).ok();
    }
    let keys = |list: &'static str| {
        move |text: String| {
            let rest = text.lines().filter(|line| !line.starts_with("keys = ")).collect::<Vec<_>>().join("\n");
            rest.replace("[token]\n", &format!("[token]\nkeys = {list}\n"))
        }
    };
    site.change(keys("[\"old.pem\"]"));
    let old = site.gateway.token(Some(BOB), &[SCOPE]);
    let first = key_ids(&site.gateway);

    site.change(keys("[\"new.pem\", \"old.pem\"]"));
    let new = site.gateway.token(Some(BOB), &[SCOPE]);
    let both = key_ids(&site.gateway);
    assert!(both.len() == 2 && both[1] == first[0], "{both:?}");
    assert_eq!((status(&site.gateway, &old), status(&site.gateway, &new)), (200, 200));

    site.change(keys("[\"new.pem\"]"));
    assert_eq!(key_ids(&site.gateway), both[..1]);
    assert_eq!((status(&site.gateway, &old), status(&site.gateway, &new)), (401, 200));
}

#[test]
fn the_gateways_own_key_stays() {
    let site = Site::with(&Setup { token: "key_id = \"libtrust\"", ..SETUP }, ok);
    let token = site.gateway.token(Some(BOB), &[SCOPE]);
    let before = key_ids(&site.gateway);
    site.reload();
    assert_eq!((key_ids(&site.gateway), status(&site.gateway, &token)), (before.clone(), 200));
    std::fs::remove_file(site.dir.path().join("state/signing-key.pem")).unwrap();
    site.replace("user:alice", "user:nobody");
    site.wait_for_log("the signing key has gone");
    assert_eq!((key_ids(&site.gateway), status(&site.gateway, &token)), (before, 200));
    assert!(!site.dir.path().join("state/signing-key.pem").exists());
}
