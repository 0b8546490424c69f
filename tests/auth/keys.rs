//! Keys: where they come from, how others learn of them, and what happens when they change.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use tidegate::keys::{self, Algorithm, SigningKey};

use crate::jwt::part;
use crate::setup::{ALICE, Site, challenged};
use crate::support::http::{Request, get};
use crate::support::port;

/// Verifies a token as a registry would that knows only the gateway's key set.
#[track_caller]
fn verify(site: &Site, token: &str, algorithm: jsonwebtoken::Algorithm) -> Value {
    let reply = site.get("/.well-known/jwks.json").send().expect(200);
    let set: JwkSet = serde_json::from_slice(&reply.body).unwrap();
    let kid = decode_header(token).unwrap().kid.unwrap();
    let jwk = set.find(&kid).unwrap_or_else(|| panic!("no {kid} in {}", reply.text()));
    let mut validation = Validation::new(algorithm);
    validation.leeway = 0;
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    validation.set_audience(&[site.gateway.host()]);
    validation.set_issuer(&[site.realm()]);
    decode::<Value>(token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap().claims
}

fn write_key(dir: &Path, name: &str, algorithm: Algorithm) -> SigningKey {
    let key = SigningKey::generate(algorithm).unwrap();
    keys::write_new(&dir.join(name), &key).unwrap();
    key
}

#[test]
fn whoever_has_the_key_set_can_verify() {
    let site = Site::start();
    let reply = site.get("/.well-known/jwks.json").send().expect(200);
    assert_eq!(reply.header("content-type"), Some("application/jwk-set+json"));
    assert!(reply.header("cache-control").unwrap().contains("max-age="));
    let keys = reply.json()["keys"].clone();
    assert_eq!(keys.as_array().unwrap().len(), 1);
    for member in ["d", "p", "q", "dp", "dq", "qi", "k"] {
        assert_eq!(keys[0].get(member), None, "{member} is private");
    }
    let claims = verify(&site, &site.token(Some(ALICE), &["repository:alice/a:pull"]), jsonwebtoken::Algorithm::ES256);
    assert_eq!(claims["sub"], "alice");
    let claims = verify(&site, &site.token(None, &[]), jsonwebtoken::Algorithm::ES256);
    assert_eq!(claims["sub"], "");
    assert_eq!(site.request("HEAD", "/.well-known/jwks.json").send().expect(200).body, b"");
    let refused = site.request("POST", "/.well-known/jwks.json").send().expect(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
}

#[test]
fn other_kinds_of_keys_serve_too() {
    for (own, theirs) in [
        (Algorithm::EdDsa, jsonwebtoken::Algorithm::EdDSA),
        (Algorithm::Rs256, jsonwebtoken::Algorithm::RS256),
        (Algorithm::Es256, jsonwebtoken::Algorithm::ES256),
    ] {
        let site = Site::with(|settings, dir| {
            write_key(dir, "key.pem", own);
            settings.token = "keys = [\"key.pem\"]".into();
        });
        let token = site.token(Some(ALICE), &["repository:alice/a:pull"]);
        assert_eq!(part(&token, 0)["alg"], own.as_str());
        assert_eq!(verify(&site, &token, theirs)["sub"], "alice");
        site.get("/v2/alice/a/manifests/v1").bearer(&token).send().expect(200);
        assert!(!site.dir.path().join("state/signing-key.pem").exists(), "no key is made where one is given");
    }
}

#[test]
fn the_generated_key_is_kept_and_nobody_elses() {
    let mut site = Site::start();
    let mode = |path: &str| std::fs::metadata(site.dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("state/signing-key.pem"), 0o600);
    assert_eq!(mode("state"), 0o700);
    let token = site.token(Some(ALICE), &["repository:alice/a:pull"]);
    let before = site.get("/.well-known/jwks.json").send().text();
    site.restart(|config| config);
    assert_eq!(site.get("/.well-known/jwks.json").send().text(), before);
    site.get("/v2/alice/a/manifests/v1").bearer(&token).send().expect(200);
}

#[test]
fn keys_overlap_while_they_change() {
    let mut site = Site::with(|settings, dir| {
        write_key(dir, "old.pem", Algorithm::Es256);
        write_key(dir, "new.pem", Algorithm::EdDsa);
        settings.token = "keys = [\"old.pem\", \"new.pem\"]".into();
    });
    let kids = |site: &Site| -> Vec<Value> {
        let keys = site.get("/.well-known/jwks.json").send().json()["keys"].clone();
        keys.as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
    };
    let target = "/v2/alice/a/manifests/v1";
    let ask = |site: &Site| site.token(Some(ALICE), &["repository:alice/a:pull"]);
    let first = kids(&site);
    assert_eq!(first.len(), 2);
    let old = ask(&site);
    assert_eq!(part(&old, 0)["kid"], first[0]);
    site.restart(|config| config.replace("[\"old.pem\", \"new.pem\"]", "[\"new.pem\", \"old.pem\"]"));
    assert_eq!(kids(&site), [first[1].clone(), first[0].clone()]);
    let new = ask(&site);
    assert_eq!(part(&new, 0)["kid"], first[1]);
    for token in [&old, &new] {
        site.get(target).bearer(token).send().expect(200);
    }
    site.restart(|config| config.replace("[\"new.pem\", \"old.pem\"]", "[\"new.pem\"]"));
    site.get(target).bearer(&new).send().expect(200);
    let reply = site.get(target).bearer(&old).send().expect(401);
    assert_eq!(challenged(&reply, "error").as_deref(), Some("invalid_token"));
}

#[test]
fn key_ids_and_certificates_follow_the_setting() {
    let site = Site::with(|settings, _| settings.token = "key_id = \"libtrust\"\nx5c = true".into());
    let token = site.token(Some(ALICE), &["repository:alice/a:pull"]);
    let header = part(&token, 0);
    let kid = header["kid"].as_str().unwrap();
    let groups: Vec<&str> = kid.split(':').collect();
    assert_eq!(groups.len(), 12, "{kid}");
    assert!(
        groups.iter().all(|group| group.len() == 4 && group.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7')))
    );
    assert_eq!(header["x5c"].as_array().map(Vec::len), Some(1));
    site.get("/v2/alice/a/manifests/v1").bearer(&token).send().expect(200);
    assert_eq!(verify(&site, &token, jsonwebtoken::Algorithm::ES256)["sub"], "alice");

    let site = Site::start();
    let header = part(&site.token(Some(ALICE), &[]), 0);
    assert_eq!(header["kid"].as_str().unwrap().len(), 43, "RFC 7638: {header}");
    assert_eq!(header.get("x5c"), None);
}

#[test]
fn a_listener_of_its_own_serves_tokens_only() {
    // Another test may take the port between the look and the start, so it is looked for again then.
    let (site, listen) = (0..5)
        .find_map(|_| {
            let listen = port::free();
            let start = || Site::with(|settings, _| settings.token = format!("listen = \"127.0.0.1:{listen}\""));
            std::panic::catch_unwind(start).ok().map(|site| (site, listen))
        })
        .unwrap();
    let ask = || Request::new(listen, "GET", "/token?scope=repository:alice/a:pull").basic(ALICE.0, ALICE.1).send();
    let token = ask().expect(200).json()["token"].as_str().unwrap().to_owned();
    site.get("/v2/alice/a/manifests/v1").bearer(&token).send().expect(200);
    site.forwarded();
    assert_eq!(
        get(listen, "/.well-known/jwks.json", None).expect(200).body,
        site.get("/.well-known/jwks.json").send().body
    );
    for target in
        ["/v2/", "/v2/alice/a/manifests/v1", "/v2/public/a/manifests/v1", "/", "/healthz", "/readyz", "/token/"]
    {
        let reply = Request::new(listen, "GET", target).bearer(&token).send();
        assert_eq!(reply.status, 404, "{target}");
        assert_eq!(reply.header("www-authenticate"), None);
    }
    site.nothing_forwarded();
    // The endpoint stays where the realm says, too.
    site.gateway.ask_token(Some(ALICE), &[]).expect(200);
}

#[test]
fn a_gateway_without_routes_is_a_token_server() {
    let hash = bcrypt::hash(ALICE.1, 4).unwrap();
    let site = Site::rendered(crate::upstream::OK, |_| {}, &|ports, _| {
        format!(
            "[server]\nlisten = [\"127.0.0.1:{}\"]\npublic_url = \"https://auth.test\"\n[admin]\nlisten = \"127.0.0.1:{}\"\n\
             [token]\npath = \"/auth/token\"\nservice = \"registry.test\"\nissuer = \"auth.test\"\n\
             [users.alice]\npassword_hash = '{hash}'\n[[authn]]\nkind = \"users\"\n\
             [[access]]\nwho = [\"authenticated\"]\nrepositories = [\"${{user}}/**\"]\nactions = [\"*\"]\n",
            ports.main, ports.admin
        )
    });
    let target = "/auth/token?service=registry.test&scope=repository:alice/a:pull,push";
    let token =
        site.get(target).basic(ALICE.0, ALICE.1).send().expect(200).json()["token"].as_str().unwrap().to_owned();
    let claims = crate::jwt::claims(&token);
    assert_eq!((&claims["iss"], &claims["aud"]), (&"auth.test".into(), &"registry.test".into()));
    site.get("/.well-known/jwks.json").send().expect(200);
    for target in ["/v2/", "/v2/alice/a/manifests/v1", "/token", "/"] {
        site.get(target).bearer(&token).send().expect(404);
    }
}
