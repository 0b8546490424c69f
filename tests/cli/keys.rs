//! `tidegate keys`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::Place;

fn mode(place: &Place, name: &str) -> u32 {
    fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn generated_keys_are_private_and_nothing_is_overwritten() {
    let place = Place::new("");
    for (name, algorithm) in [("es256", "ES256"), ("eddsa", "EdDSA"), ("rs256", "RS256")] {
        let ran = place.run(&["keys", "generate", "--algorithm", name, "--out", name]);
        assert_eq!(ran.out(0), format!("{name}\n"));
        assert!(ran.err.contains(&format!("made a key for {algorithm}, kid ")), "{ran:#?}");
        assert_eq!(mode(&place, name), 0o600);
        let before = place.read(name);
        let again = place.run(&["keys", "generate", "--out", name]);
        assert!(again.err(1).contains("cannot write") && again.err.contains("hint: "), "{again:#?}");
        assert_eq!(place.read(name), before);
    }
    let ran = place.run(&["keys", "generate"]);
    assert!(ran.out(0).starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert!(ran.out.contains("-----BEGIN CERTIFICATE-----"));
    assert!(place.run(&["keys", "generate", "--algorithm", "hs256"]).err(2).contains("hs256"));
}

#[test]
fn listing_makes_no_key() {
    let place = Place::new("");
    let ran = place.run(&["keys", "list"]);
    assert!(ran.err(1).contains("there is no signing key yet: state/signing-key.pem"), "{ran:#?}");
    assert!(ran.err.contains("hint: `tidegate serve` makes it"), "{ran:#?}");
    assert!(!place.path("state").exists());
}

#[test]
fn exporting_makes_the_key_and_says_so_once() {
    let place = Place::new("");
    let first = place.run(&["keys", "export", "--format", "jwks"]);
    assert!(first.err.contains("state/signing-key.pem was made"), "{first:#?}");
    assert_eq!(mode(&place, "state/signing-key.pem"), 0o600);
    let second = place.run(&["keys", "export", "--format", "jwks"]);
    assert_eq!((second.out(0), second.err.as_str()), (first.out(0), ""));
    let jwks: Value = serde_json::from_str(second.out(0)).unwrap();
    let key = &jwks["keys"][0];
    assert_eq!((&key["alg"], &key["kty"]), (&"ES256".into(), &"EC".into()));
    assert!(key.get("d").is_none());
}

#[test]
fn keys_are_listed_with_both_ids_and_the_one_that_signs() {
    let place = Place::new("[token]\nkeys = ['new', 'old']\nkey_id = 'libtrust'\n");
    place.run(&["keys", "generate", "--out", "new"]).out(0);
    place.run(&["keys", "generate", "--algorithm", "rs256", "--out", "old"]).out(0);
    let list = place.run(&["keys", "list"]);
    let lines: Vec<&str> = list.out(0).lines().collect();
    assert_eq!((lines[0], lines[4]), ("ES256 signs and verifies: new", "RS256 verifies: old"));
    assert!(lines[1].starts_with("  rfc7638  ") && lines[2].starts_with("* libtrust "), "{lines:#?}");
    assert_eq!(lines[3], "  certificate until 2120-01-01T00:00:00Z");

    let json = place.run(&["keys", "list", "--json"]);
    let json: Value = serde_json::from_str(json.out(0)).unwrap();
    assert_eq!((&json[0]["signs"], &json[1]["signs"]), (&true.into(), &false.into()));
    let old = json[1]["rfc7638"].as_str().unwrap();
    assert!(list.out.contains(old));

    let export = |format, id: &str| place.run(&["keys", "export", "--format", format, "--key", id]);
    let jwks: Value = serde_json::from_str(export("jwks", old).out(0)).unwrap();
    assert_eq!((jwks["keys"].as_array().unwrap().len(), &jwks["keys"][0]["kty"]), (1, &"RSA".into()));
    assert_eq!(jwks["keys"][0]["kid"], json[1]["libtrust"]);
    assert!(export("pem", old).out(0).starts_with("-----BEGIN PUBLIC KEY-----"));
    // An id is Base64 for URLs, and may begin with any of its characters.
    for unknown in ["x", "-x", "--x"] {
        assert!(export("pem", unknown).err(1).contains("no key of this configuration has that id"));
    }
    let all = place.run(&["keys", "export", "--format", "certificate"]);
    assert_eq!(all.out(0).matches("BEGIN CERTIFICATE").count(), 2);
    for ran in [&all, &list] {
        assert!(!ran.out.contains("PRIVATE") && !ran.err.contains("PRIVATE"));
    }
}

#[test]
fn files_that_are_no_keys_or_too_open_are_named() {
    let place = Place::new("[token]\nkeys = ['key']\n");
    let list = || place.run(&["keys", "list"]);
    assert!(list().err(1).contains("key: cannot read"));
    place.write("key", "nothing");
    assert!(list().err(1).contains("no private key found"));
    fs::remove_file(place.path("key")).unwrap();
    place.run(&["keys", "generate", "--out", "key"]).out(0);
    fs::set_permissions(place.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = list();
    ran.out(0);
    assert!(ran.err.contains("has mode 0644: others can read the private key (chmod 600 key)"), "{ran:#?}");
}
