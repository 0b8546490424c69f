//! Tokens that are not as we issue them. None gets anywhere, and nothing of a request with one reaches the upstream.

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tidegate::keys::{Algorithm, SigningKey};

use crate::jwt::{claims, encoded, part, signed, state_key};
use crate::setup::{ALICE, Site, challenged, the_challenge};

/// What forgeries are made from: a gateway, its own key, and the parts of a good token.
struct Forge {
    site: Site,
    key: SigningKey,
    header: Value,
    claims: Value,
}

impl Forge {
    fn new() -> Self {
        let site = Site::start();
        let token = site.token(Some(ALICE), &["repository:alice/app:*"]);
        let key = state_key(site.dir.path());
        let (header, claims) = (part(&token, 0), claims(&token));
        let forge = Self { site, key, header, claims };
        // The control: put together by hand and unchanged, it is good.
        forge.accepted(&signed(&forge.key, &forge.header.to_string(), &forge.claims.to_string()));
        forge
    }

    #[track_caller]
    fn accepted(&self, token: &str) {
        self.site.get("/v2/alice/app/manifests/v1").bearer(token).send().expect(200);
        self.site.the_forwarded();
    }

    #[track_caller]
    fn refused(&self, what: &str, token: &str) {
        for (method, target) in [
            ("GET", "/v2/"),
            ("GET", "/v2/alice/app/manifests/v1"),
            ("DELETE", "/v2/alice/app/manifests/v1"),
            // Also where no token would do.
            ("GET", "/v2/public/app/manifests/v1"),
        ] {
            let reply = self.site.request(method, target).bearer(token).send();
            assert_eq!(reply.status, 401, "{what}: {method} {target}");
            assert_eq!(
                challenged(&reply, "error").as_deref(),
                Some("invalid_token"),
                "{what}: {}",
                the_challenge(&reply)
            );
        }
        self.site.nothing_forwarded();
    }

    /// Signed by our own key, with members of the header set, or removed where they are null.
    fn with_header(&self, changes: &Value) -> String {
        signed(&self.key, &changed(&self.header, changes), &self.claims.to_string())
    }

    /// Signed by our own key, with claims set, or removed where they are null.
    fn with_claims(&self, changes: &Value) -> String {
        signed(&self.key, &self.header.to_string(), &changed(&self.claims, changes))
    }
}

fn changed(object: &Value, changes: &Value) -> String {
    let mut object = object.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    Value::Object(object).to_string()
}

#[test]
fn a_key_that_the_token_brings_along_is_not_believed() {
    let forge = Forge::new();
    let own = SigningKey::generate(Algorithm::Es256).unwrap();
    let kid = own.kid(tidegate::keys::KeyIdFormat::Rfc7638);
    let certificate =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, own.certificate_der().unwrap());
    let known = forge.header["kid"].clone();
    for kid in [known.clone(), json!(kid), Value::Null] {
        for (what, member) in [
            ("nothing", json!({})),
            ("jwk", json!({"jwk": own.jwk()})),
            ("x5c", json!({"x5c": [certificate]})),
            ("jku", json!({"jku": "http://127.0.0.1:1/jwks.json"})),
            ("x5u", json!({"x5u": "http://127.0.0.1:1/chain.pem"})),
            ("both", json!({"jwk": own.jwk(), "x5c": [certificate]})),
        ] {
            let mut member = member;
            member["kid"] = kid.clone();
            let header = changed(&forge.header, &member);
            forge.refused(&format!("{what}, kid {kid}"), &signed(&own, &header, &forge.claims.to_string()));
        }
    }
    // Even beside a signature of ours such a member refuses the token.
    forge.refused("jwk beside our signature", &forge.with_header(&json!({"jwk": own.jwk()})));
    forge.refused("our own jwk", &forge.with_header(&json!({"jwk": forge.key.jwk()})));
    forge.refused("x5c beside our signature", &forge.with_header(&json!({"x5c": [certificate]})));
    forge.refused("an empty x5c", &forge.with_header(&json!({"x5c": []})));
    forge.refused("jku beside our signature", &forge.with_header(&json!({"jku": "http://127.0.0.1:1/"})));
}

#[test]
fn the_algorithm_is_the_keys() {
    let forge = Forge::new();
    let payload = forge.claims.to_string();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = changed(&forge.header, &json!({"alg": alg}));
        forge.refused("no signature", &format!("{}.{}.", encoded(&header), encoded(&payload)));
        forge.refused("a signature of ours", &signed(&forge.key, &header, &payload));
    }
    // The public key in every form, as an HMAC secret.
    let jwks = forge.site.get("/.well-known/jwks.json").send().expect(200);
    let pem = forge.key.public_pem();
    let secrets: Vec<Vec<u8>> = vec![
        pem.clone().into_bytes(),
        pem.trim_end().into(),
        forge.key.public().spki().to_vec(),
        jwks.body.clone(),
        jwks.json()["keys"][0].to_string().into_bytes(),
        forge.key.jwk()["x"].as_str().unwrap().into(),
        Vec::new(),
    ];
    let header = changed(&forge.header, &json!({"alg": "HS256"}));
    for secret in secrets {
        let message = format!("{}.{}", encoded(&header), encoded(&payload));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        forge.refused("HS256", &format!("{message}.{}", encoded(tag)));
    }
    for alg in [json!("ES384"), json!("RS256"), json!("EdDSA"), json!("es256"), json!(["ES256"]), json!(1), Value::Null]
    {
        forge.refused(&format!("alg {alg}"), &forge.with_header(&json!({"alg": alg})));
    }
}

#[test]
fn headers_that_we_do_not_write_are_refused() {
    let forge = Forge::new();
    let kid = forge.header["kid"].as_str().unwrap();
    for (what, header) in [
        ("an unknown kid", json!({"kid": "x"})),
        ("a kid with a path", json!({"kid": "../../../../dev/null"})),
        ("an empty kid", json!({"kid": ""})),
        ("a kid in a list", json!({"kid": [kid]})),
        ("no kid", json!({"kid": null})),
        ("an unknown crit", json!({"crit": ["exp2"], "exp2": 1})),
        ("an empty crit", json!({"crit": []})),
        ("a known crit", json!({"crit": ["exp"]})),
        ("b64", json!({"b64": false})),
        ("another type", json!({"typ": "at+jwt"})),
        ("a type that is none", json!({"typ": 1})),
    ] {
        forge.refused(what, &forge.with_header(&header));
    }
    let payload = forge.claims.to_string();
    let header = forge.header.to_string();
    for (what, header) in [
        ("kid twice", header.replacen('{', "{\"kid\":\"x\",", 1)),
        ("alg twice", header.replacen('{', "{\"alg\":\"none\",", 1)),
        ("no object", "[]".into()),
        ("something behind it", format!("{header}{{}}")),
        ("a text", format!("{:?}", "x")),
    ] {
        forge.refused(what, &signed(&forge.key, &header, &payload));
    }
}

#[test]
fn claims_that_we_do_not_write_are_refused() {
    let forge = Forge::new();
    let host = forge.site.gateway.host();
    let now = forge.claims["iat"].as_u64().unwrap();
    let entry = |kind: &str, actions: Value| json!([{"type": kind, "name": "alice/app", "actions": actions}]);
    for (what, claims) in [
        ("aud as a list", json!({"aud": [host]})),
        ("aud as a list with another", json!({"aud": [host, "evil.test"]})),
        ("another aud", json!({"aud": "evil.test"})),
        ("an aud that begins like ours", json!({"aud": format!("{host}.evil.test")})),
        ("an empty aud", json!({"aud": ""})),
        ("no aud", json!({"aud": null})),
        ("another iss", json!({"iss": "http://evil.test/token"})),
        ("an iss with a slash more", json!({"iss": format!("{}/", forge.site.realm())})),
        ("iss as a list", json!({"iss": [forge.site.realm()]})),
        ("no iss", json!({"iss": null})),
        ("exp as a text", json!({"exp": (now + 600).to_string()})),
        ("exp as a fraction", json!({"exp": 9_999_999_999.5})),
        ("exp in the past", json!({"exp": now - 1})),
        ("exp zero", json!({"exp": 0})),
        ("a negative exp", json!({"exp": -1})),
        ("exp as a list", json!({"exp": [now + 600]})),
        ("no exp", json!({"exp": null})),
        ("nbf in the future", json!({"nbf": now + 600})),
        ("nbf as a text", json!({"nbf": now.to_string()})),
        ("no nbf", json!({"nbf": null})),
        ("iat in the future", json!({"iat": now + 600})),
        ("no iat", json!({"iat": null})),
        ("no jti", json!({"jti": null})),
        ("no sub", json!({"sub": null})),
        ("a sub that is none", json!({"sub": 7})),
        ("a sub whom nobody knows", json!({"sub": "mallory"})),
        ("an empty sub with groups", json!({"sub": ""})),
        ("the reserved name", json!({"sub": "admin"})),
        ("no access", json!({"access": null})),
        ("access that is no list", json!({"access": {}})),
        ("access of another type", json!({"access": entry("plugin", json!(["pull"]))})),
        ("access to everything", json!({"access": entry("repository", json!(["*"]))})),
        ("access without a list of actions", json!({"access": entry("repository", json!("pull"))})),
        ("no claim of ours", json!({"tidegate": null})),
    ] {
        forge.refused(what, &forge.with_claims(&claims));
    }
    for (what, kind, unknown) in
        [("an API token", "api", None), ("another kind", "root", None), ("more", "registry", Some(1))]
    {
        let mut private = forge.claims["tidegate"].clone();
        private["kind"] = kind.into();
        if let Some(value) = unknown {
            private["narrowed_to"] = value.into();
        }
        forge.refused(what, &forge.with_claims(&json!({"tidegate": private})));
    }
    let payload = forge.claims.to_string();
    let header = forge.header.to_string();
    for name in ["aud", "exp", "sub", "access", "iss", "nbf", "tidegate"] {
        let value = &forge.claims[name];
        let twice = payload.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        forge.refused(&format!("{name} twice"), &signed(&forge.key, &header, &twice));
    }
    let nested = payload.replacen("\"type\":\"repository\"", "\"type\":\"repository\",\"type\":\"repository\"", 1);
    assert_ne!(nested, payload);
    forge.refused("a name twice within access", &signed(&forge.key, &header, &nested));
    // Escapes make two spellings of one name.
    let spelt = payload.replacen('{', "{\"\\u0061ud\":\"evil.test\",", 1);
    forge.refused("aud twice in two spellings", &signed(&forge.key, &header, &spelt));
}

#[test]
fn a_token_ends_to_the_second_and_is_not_remembered_beyond() {
    let forge = Forge::new();
    // It is good now and ends a little later: whenever it is used again, it is looked at again.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let token = forge.with_claims(&json!({"exp": now + 3}));
    let used = |target: &str| forge.site.get(target).bearer(&token).send().status;
    crate::setup::eventually("the token ends", || used("/v2/alice/app/manifests/v1") == 401);
    forge.site.forwarded();
    forge.refused("an expired token", &token);
    let ended = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(ended >= now + 3);
}

#[test]
fn tokens_of_another_gateway_are_not_ours() {
    let (one, other) = (Site::start(), Site::start());
    let token = other.token(Some(ALICE), &["repository:alice/app:*"]);
    let reply = one.get("/v2/alice/app/manifests/v1").bearer(&token).send().expect(401);
    assert_eq!(challenged(&reply, "error").as_deref(), Some("invalid_token"));
    one.nothing_forwarded();
}
