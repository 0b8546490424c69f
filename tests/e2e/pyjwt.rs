//! Our tokens verified by `PyJWT`, with the keys that the command line exports.

use std::path::PathBuf;

use crate::site::{ALICE, Site};
use crate::support::client::Home;
use crate::support::http::get;
use crate::support::process::{Finished, command, run};

/// The Python of the tests' environment, which has `PyJWT` and oras.
pub(crate) fn python() -> PathBuf {
    let python = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/e2e-venv/bin/python"));
    assert!(
        python.exists(),
        "{} is missing: tests/run makes it (apt-get install python3-venv; \
         python3 -m venv target/e2e-venv; target/e2e-venv/bin/pip install oras 'PyJWT[crypto]')",
        python.display()
    );
    python
}

fn verify(home: &Home, token: &str, (kind, key): (&str, &str), audience: &str, issuer: &str) -> Finished {
    std::fs::write(home.path.join("verify.py"), include_str!("verify.py")).unwrap();
    std::fs::write(home.path.join("key"), key).unwrap();
    run(command(&python(), &home.path).args(["verify.py", token, kind, "key", audience, issuer]), "")
}

#[test]
fn pyjwt_verifies_a_token_with_the_exported_key() {
    let site = Site::start();
    let home = Home::new(site.dir("pyjwt"));
    let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull,push,delete"]);
    let anonymous = site.gateway.token(None, &["repository:public/app:pull,push"]);
    let host = site.host();
    let issuer = format!("http://{host}/token");

    let export = |format| site.gateway.cli(&["keys", "export", "--config", "{config}", "--format", format]).ok().stdout;
    let (pem, jwks) = (export("pem"), export("jwks"));
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----"), "{pem}");
    let served = get(site.gateway.port, "/.well-known/jwks.json", None).expect(200);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&jwks).unwrap(), served.json());

    for key in [("pem", pem.as_str()), ("jwks", jwks.as_str()), ("jwks", &served.text())] {
        let verified = verify(&home, &token, key, &host, &issuer).ok();
        let verified: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
        assert_eq!(verified["header"]["alg"], "ES256");
        let claims = &verified["claims"];
        assert_eq!(claims["sub"], "alice");
        assert_eq!(claims["access"][0]["name"], "team/app");
        assert_eq!(claims["access"][0]["actions"], serde_json::json!(["pull", "push", "delete"]));

        let verified = verify(&home, &anonymous, key, &host, &issuer).ok();
        let verified: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
        assert_eq!(verified["claims"]["sub"], "");
        assert_eq!(verified["claims"]["access"][0]["actions"], serde_json::json!(["pull"]));
    }
    // That the checks above could have failed.
    let other = verify(&home, &token, ("pem", &pem), "another", &issuer).failed(1);
    other.says("InvalidAudienceError");
    let (content, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{content}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    verify(&home, &forged, ("pem", &pem), &host, &issuer).failed(1).says("InvalidSignatureError");
}
