//! `tidegate export distribution`. That registries take it is shown with real ones, in the end-to-end tests.

use serde_json::Value;

use crate::support::Place;

const UPSTREAM: &str = "
[[upstream]]
name = 'registry'
url = 'http://127.0.0.1:5050'
credentials = 'forward-token'

[[route]]
prefix = '/v2/'
upstream = 'registry'
auth = 'registry'
";

/// The value of a line of the section, unquoted.
fn value(yaml: &str, name: &str) -> String {
    let line = yaml.lines().find_map(|line| line.strip_prefix(&format!("    {name}: "))).unwrap();
    serde_json::from_str(line).unwrap()
}

#[test]
fn release_2_takes_a_bundle_of_all_certificates() {
    let place = Place::new(&format!("{UPSTREAM}[token]\nkey_id = 'libtrust'\nkeys = ['new', 'old']\n"));
    place.run(&["keys", "generate", "--out", "new"]).out(0);
    place.run(&["keys", "generate", "--algorithm", "rs256", "--out", "old"]).out(0);
    let ran = place.run(&["export", "distribution", "--target", "2", "--out-dir", "out"]);
    let yaml = ran.out(0);
    let bundle = place.path("out/distribution-certificates.pem").canonicalize().unwrap();
    let expected = format!(
        "auth:\n  token:\n    realm: \"http://127.0.0.1:5000/token\"\n    service: \"127.0.0.1:5000\"\n    issuer: \
         \"http://127.0.0.1:5000/token\"\n    rootcertbundle: \"{}\"\n    autoredirect: false\n",
        bundle.display()
    );
    assert_eq!(yaml, expected);
    assert_eq!(ran.err, format!("wrote {}\n", bundle.display()));
    let pem = place.read("out/distribution-certificates.pem");
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(!pem.contains("PRIVATE"));
    // The same again, over what is there.
    assert_eq!(place.run(&["export", "distribution", "--out-dir", "out"]).out(0), expected);
    assert_eq!(std::fs::read_dir(place.path("out")).unwrap().count(), 1);
}

#[test]
fn release_3_takes_a_jwk_set() {
    let place = Place::new(&format!("{UPSTREAM}[token]\nkeys = ['key', 'ed']\n"));
    place.run(&["keys", "generate", "--out", "key"]).out(0);
    place.run(&["keys", "generate", "--algorithm", "eddsa", "--out", "ed"]).out(0);
    let ran = place.run(&["export", "distribution", "--target", "3"]);
    let yaml = ran.out(0);
    assert!(yaml.ends_with("    signingalgorithms: [ES256, EdDSA]\n"), "{yaml}");
    assert!(!yaml.contains("rootcertbundle"), "{yaml}");
    assert!(value(yaml, "jwks").ends_with("/state/distribution-jwks.json"));
    let jwks: Value = serde_json::from_str(&place.read("state/distribution-jwks.json")).unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
    assert!(jwks["keys"][0].get("d").is_none());
}

#[test]
fn tokens_with_x5c_need_the_certificates_everywhere() {
    let place = Place::new(&format!("{UPSTREAM}[token]\nx5c = true\n"));
    for target in ["2", "3"] {
        let ran = place.run(&["export", "distribution", "--target", target]);
        assert!(value(ran.out(0), "rootcertbundle").ends_with("/state/distribution-certificates.pem"));
    }
}

#[test]
fn what_release_2_cannot_verify_is_refused() {
    let place = Place::new(UPSTREAM);
    let ran = place.run(&["export", "distribution", "--target", "2"]);
    assert!(ran.err(2).contains("error: distribution 2.x does not find keys by RFC 7638 ids"), "{ran:#?}");
    assert!(ran.err.contains("hint: set `key_id = \"libtrust\"` in [token], or `x5c = true`"), "{ran:#?}");
    assert!(!place.path("state/distribution-certificates.pem").exists());

    place.configure(&format!("{UPSTREAM}[token]\nkey_id = 'libtrust'\nkeys = ['ed']\n"));
    place.run(&["keys", "generate", "--algorithm", "eddsa", "--out", "ed"]).out(0);
    let ran = place.run(&["export", "distribution", "--target", "2"]);
    assert!(ran.err(2).contains("distribution 2.x knows no EdDSA"), "{ran:#?}");
    assert!(ran.err.contains("hint: take an es256 key"), "{ran:#?}");
    assert!(place.run(&["export", "distribution", "--target", "4"]).err(2).contains("'4'"));
}

#[test]
fn upstreams_that_get_no_tokens_are_noted() {
    let place = Place::new(&UPSTREAM.replace("forward-token", "identity"));
    let export = |args: &[&str]| place.run(&[&["export", "distribution", "--target", "3"], args].concat());
    let ran = export(&[]);
    ran.out(0);
    assert!(ran.err.contains("note: the upstream registry gets no tokens"), "{ran:#?}");
    let ran = export(&["--registry-upstream", "zot"]);
    assert!(ran.err(2).contains("hint: the upstreams are registry"), "{ran:#?}");

    let two =
        format!("{UPSTREAM}[[upstream]]\nname = 'other'\nurl = 'http://127.0.0.1:1'\ncredentials = 'mint-token'\n");
    place.configure(&format!("{two}[token]\nservice = ['a', 'b']\n"));
    let ran = export(&[]);
    assert!(ran.err(2).contains("hint: name one with --registry-upstream: registry, other"), "{ran:#?}");
    let ran = export(&["--registry-upstream", "registry"]);
    assert_eq!(value(ran.out(0), "service"), "a");
    assert!(ran.err.contains("tokens for another one than a will be refused"), "{ran:#?}");
    // Tokens that the gateway mints are for the Host that the client used.
    let ran = export(&["--registry-upstream", "other"]);
    assert_eq!(value(ran.out(0), "service"), "127.0.0.1:5000");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let place = Place::new(UPSTREAM);
    place.write("file", "");
    let ran = place.run(&["export", "distribution", "--target", "3", "--out-dir", "file"]);
    assert!(ran.err(1).contains("file/distribution-jwks.json: cannot write"), "{ran:#?}");
}
