//! `tidegate export pulp`. That the text is Python, and what Python makes of it, is shown in the end-to-end tests; that Pulp
//! takes it, in those against real Pulp.

use crate::support::Place;

const PULP: &str = "
[[upstream]]
name = 'pulp'
url = 'http://127.0.0.1:24817'
kind = 'pulp'
";

/// A route, with further lines.
fn route(prefix: &str, auth: &str, more: &str) -> String {
    format!("[[route]]\nprefix = '{prefix}'\nupstream = 'pulp'\nauth = '{auth}'\n{more}\n")
}

/// What a setting is set to; the last counts.
#[track_caller]
fn setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
}

#[test]
fn the_header_on_every_route_turns_tokens_off() {
    let routes = route("/v2/", "registry", "") + &route("/pulp/", "api", "");
    let identity =
        "[identity]\nheader = 'X-Who-Asks'\nusername = '.user'\nfilter = '{user: .subject}'\nelevated = 'writer'\n";
    let place = Place::new(&format!("{PULP}{routes}{identity}"));
    let ran = place.run(&["export", "pulp"]);
    let text = ran.out(0);
    for (name, value) in [
        ("API_ROOT", Some("\"/pulp/\"")),
        ("DOMAIN_ENABLED", Some("False")),
        // A route leads to the layers, and so redirects lead here.
        ("CONTENT_ORIGIN", Some("\"http://127.0.0.1:5000\"")),
        ("USE_X_FORWARDED_HOST", Some("False")),
        ("SECURE_PROXY_SSL_HEADER", None),
        ("TOKEN_AUTH_DISABLED", Some("True")),
        ("TOKEN_SERVER", None),
        ("PUBLIC_KEY_PATH", None),
        (
            "REST_FRAMEWORK__DEFAULT_AUTHENTICATION_CLASSES",
            Some("[\"pulpcore.app.authentication.JSONHeaderRemoteAuthentication\"]"),
        ),
        ("AUTHENTICATION_JSON_HEADER", Some("\"HTTP_X_WHO_ASKS\"")),
        ("AUTHENTICATION_JSON_HEADER_JQ_FILTER", Some("\".user\"")),
        ("AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME", Some("{\"scheme\": \"basic\", \"type\": \"http\"}")),
    ] {
        assert_eq!(setting(text, name), value, "{name} in {text}");
    }
    assert!(setting(text, "AUTHENTICATION_BACKENDS").unwrap().contains("RemoteUserBackend"), "{text}");
    assert!(ran.err.contains("pulpcore-api --bind 127.0.0.1:24817 --timeout 3600"), "{ran:#?}");
    assert!(ran.err.contains("--username writer"), "{ran:#?}");
    // No key is made, and nothing is written, for what verifies no tokens.
    assert!(!ran.err.contains("wrote") && !place.path("state").exists(), "{ran:#?}");
}

#[test]
fn tokens_on_v2_make_the_gateway_the_token_server() {
    let routes = route("/v2/", "registry", "credentials = 'forward-token'");
    let place = Place::new(&format!("{PULP}{routes}[token]\nissuer = 'https://issuer.example/'\nkeys = ['a', 'b']\n"));
    place.run(&["keys", "generate", "--algorithm", "rs256", "--out", "a"]).out(0);
    place.run(&["keys", "generate", "--out", "b"]).out(0);
    let ran = place.run(&["export", "pulp", "--out-dir", "out"]);
    let text = ran.out(0);
    let key = place.path("out/pulp-public-key.pem").canonicalize().unwrap();
    for (name, value) in [
        ("TOKEN_AUTH_DISABLED", Some("False")),
        ("TOKEN_SERVER", Some("\"https://issuer.example/\"")),
        ("TOKEN_SIGNATURE_ALGORITHM", Some("\"RS256\"")),
        ("PUBLIC_KEY_PATH", Some(&*format!("\"{}\"", key.display()))),
        ("PRIVATE_KEY_PATH", Some("None")),
        ("AUTHENTICATION_JSON_HEADER", None),
        ("AUTHENTICATION_BACKENDS", None),
        // Layers come from Pulp itself.
        ("CONTENT_ORIGIN", None),
    ] {
        assert_eq!(setting(text, name), value, "{name} in {text}");
    }
    let pem = place.read("out/pulp-public-key.pem");
    let expected = place.run(&["keys", "export", "--format", "pem"]).out(0).to_owned();
    assert!(expected.starts_with(&pem), "the key that signs: {pem} of {expected}");
    assert_eq!(pem.matches("BEGIN PUBLIC KEY").count(), 1);
    assert!(ran.err.contains(&format!("wrote {}", key.display())), "{ran:#?}");
    assert!(ran.err.contains("Pulp knows one key"), "{ran:#?}");
    assert!(ran.err.contains("no route leads to /pulp/container/"), "{ran:#?}");
    assert!(ran.err.contains("set `create_users`"), "{ran:#?}");
}

#[test]
fn both_ways_at_once() {
    let routes = route("/v2/", "registry", "credentials = 'mint-token'") + &route("/pulp/api/v3/", "api", "");
    let place = Place::new(&format!("{PULP}{routes}"));
    let ran = place.run(&["export", "pulp"]);
    assert_eq!(setting(ran.out(0), "TOKEN_AUTH_DISABLED"), Some("False"));
    assert_eq!(setting(&ran.out, "TOKEN_SIGNATURE_ALGORITHM"), Some("\"ES256\""));
    assert_eq!(setting(&ran.out, "AUTHENTICATION_JSON_HEADER"), Some("\"HTTP_X_AUTHENTICATION_SERVICE\""));
    assert!(ran.err.contains("note: there was no signing key yet"), "{ran:#?}");
    assert!(place.path("state/pulp-public-key.pem").exists());
}

#[test]
fn an_account_needs_pulps_own_passwords() {
    let basic = "credentials = { basic = { username = 'gateway', password = 'p' } }";
    let place = Place::new(&format!("{PULP}{}{}", route("/v2/", "registry", ""), route("/pulp/api/v3/", "api", basic)));
    let ran = place.run(&["export", "pulp"]);
    let classes = setting(ran.out(0), "REST_FRAMEWORK__DEFAULT_AUTHENTICATION_CLASSES").unwrap();
    assert!(classes.contains("JSONHeaderRemoteAuthentication\", \"pulpcore.app.authentication.BasicAuthentication"));
    // Its class describes user and password already, and the other one must not do so too.
    for (scheme, kind) in [("basic", "apiKey"), ("api-key", "apiKey"), ("oauth2", "oauth2")] {
        let ran = place.run(&["export", "pulp", "--scheme", scheme]);
        let described = setting(ran.out(0), "AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME").unwrap();
        assert!(described.contains(&format!("\"type\": \"{kind}\"")), "{scheme}: {described}");
        assert_eq!(setting(&ran.out, "REST_FRAMEWORK__DEFAULT_AUTHENTICATION_CLASSES"), Some(classes), "{scheme}");
        assert_eq!(setting(&ran.out, "REMOTE_USER_OPENAPI_SECURITY_SCHEME"), None, "{scheme}");
    }
}

#[test]
fn who_creates_users_is_let_in() {
    let pulp = |account: &str| {
        let routes = route("/v2/", "registry", "") + &route("/pulp/api/v3/", "api", "credentials = 'none'");
        let upstream = format!("{PULP}credentials = 'forward-token'\ncreate_users = {{ credentials = {account} }}\n");
        Place::new(&format!("{upstream}{routes}"))
    };
    let ran = pulp("'identity'").run(&["export", "pulp"]);
    assert!(setting(ran.out(0), "AUTHENTICATION_JSON_HEADER").is_some(), "{ran:#?}");
    assert!(!ran.err.contains("create_users"), "{ran:#?}");
    // Pulp takes passwords unless it is told otherwise.
    let ran = pulp("{ basic = { username = 'gateway', password = 'p' } }").run(&["export", "pulp"]);
    assert_eq!(setting(ran.out(0), "REST_FRAMEWORK__DEFAULT_AUTHENTICATION_CLASSES"), None);
}

#[test]
fn schemes_of_the_api() {
    let place = Place::new(&format!("{PULP}{}", route("/pulp/api/v3/", "api", "")));
    let header = "\"pulpcore.app.authentication.JSONHeaderRemoteAuthentication\"";
    let scheme = |name: &str| {
        let ran = place.run(&["export", "pulp", "--scheme", name]);
        // Without registry routes, what Pulp does with tokens is its own business.
        assert_eq!(setting(ran.out(0), "TOKEN_AUTH_DISABLED"), None);
        // What pulp-cli can do stands beside what it cannot; no class takes anything more from clients.
        let classes = setting(&ran.out, "REST_FRAMEWORK__DEFAULT_AUTHENTICATION_CLASSES").unwrap();
        let beside = setting(&ran.out, "REMOTE_USER_OPENAPI_SECURITY_SCHEME");
        if name == "api-key" {
            let both = format!("[{header}, \"pulpcore.app.authentication.PulpRemoteUserAuthentication\"]");
            assert_eq!((classes, beside), (&*both, Some(r#"{"scheme": "basic", "type": "http"}"#)));
            assert_eq!(setting(&ran.out, "REMOTE_USER_ENVIRON_NAME"), Some("\"REMOTE_USER\""));
        } else {
            assert_eq!((classes, beside), (&*format!("[{header}]"), None));
        }
        setting(&ran.out, "AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME").unwrap().to_owned()
    };
    assert_eq!(scheme("basic"), r#"{"scheme": "basic", "type": "http"}"#);
    assert_eq!(scheme("api-key"), r#"{"in": "header", "name": "x-api-key", "type": "apiKey"}"#);
    let oauth2 = scheme("oauth2");
    assert!(oauth2.contains(r#""tokenUrl": "http://127.0.0.1:5000/token""#), "{oauth2}");
    assert!(oauth2.contains(r#"{"clientCredentials": {"scopes": {"api:read": "#), "{oauth2}");
    assert!(place.run(&["export", "pulp", "--scheme", "digest"]).err(2).contains("'digest'"));
}

#[test]
fn what_a_scheme_needs_of_whoever_sets_it_up_is_said() {
    let rest = format!("{PULP}{}", route("/pulp/api/v3/", "api", ""));
    let hash = format!("\"sha256:{}\"", "0".repeat(64));
    let key = format!("[api]\nkey_header = 'X-Our-Key'\n[api_keys.ci]\nhash = {hash}\n");
    let client = format!("[clients.ci]\nsecret_hash = {hash}\n");
    let tokens = route("/v2/", "registry", "credentials = 'forward-token'");
    for (config, scheme, note) in [
        (rest.clone(), "api-key", "note: there is no API key yet: `tidegate api-key --name NAME`"),
        (rest.clone() + &key, "api-key", "note: pulp-cli knows no API keys: give it the key's name as `--username`"),
        (rest.clone(), "oauth2", "note: there is no client yet: `tidegate api-key --client --name NAME`"),
        (PULP.to_owned() + &tokens, "oauth2", "note: --scheme changes nothing here"),
    ] {
        let ran = Place::new(&config).run(&["export", "pulp", "--scheme", scheme]);
        ran.out(0);
        assert!(ran.err.contains(note), "{scheme}: {ran:#?}");
        if config.contains("X-Our-Key") {
            let described = setting(&ran.out, "AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME").unwrap();
            assert!(described.contains("\"name\": \"x-our-key\""), "{described}");
        }
    }
    for (config, scheme) in [(rest.clone() + &client, "oauth2"), (rest, "basic")] {
        let ran = Place::new(&config).run(&["export", "pulp", "--scheme", scheme]);
        ran.out(0);
        assert!(!ran.err.contains("scheme") && !ran.err.contains("api-key"), "{ran:#?}");
    }
}

#[test]
fn several_names_and_https() {
    let urls = "[server]\nlisten = '127.0.0.1:0'\npublic_url = ['https://a.example', 'http://127.0.0.1:5000']\n";
    let domains = PULP.replace("kind", "api_root = '/p/'\ndomains = true\nkind");
    let routes = route("/v2/", "registry", "credentials = 'forward-token'") + &route("/pulp/container/", "public", "");
    let place = Place::new("");
    place.write("gateway.toml", &format!("{urls}{domains}{routes}"));
    let ran = place.run(&["export", "pulp"]);
    assert_eq!(setting(ran.out(0), "CONTENT_ORIGIN"), Some("None"));
    assert_eq!(setting(&ran.out, "SECURE_PROXY_SSL_HEADER"), Some("(\"HTTP_X_FORWARDED_PROTO\", \"https\")"));
    assert_eq!(setting(&ran.out, "API_ROOT"), Some("\"/p/\""));
    assert_eq!(setting(&ran.out, "DOMAIN_ENABLED"), Some("True"));
}

#[test]
fn what_is_no_pulp_is_refused() {
    let place = Place::new(&format!("{PULP}{}", route("/v2/", "registry", "")).replace("kind = 'pulp'", ""));
    let export = |args: &[&str]| place.run(&[&["export", "pulp"], args].concat());
    assert!(export(&[]).err(2).contains("error: no upstream is a Pulp\nhint: set `kind = \"pulp\"`"));
    assert!(export(&["--upstream", "pulp"]).err(2).contains("the upstream pulp is no Pulp"));

    let other = PULP.replace("'pulp'\nurl", "'other'\nurl");
    place.configure(&format!("{PULP}{other}{}", route("/v2/", "registry", "")));
    assert!(export(&[]).err(2).contains("hint: name one with --upstream: pulp, other"));
    assert!(export(&["--upstream", "x"]).err(2).contains("hint: those that are a Pulp: pulp, other"));
    assert!(export(&["--upstream", "other"]).err(2).contains("error: no route leads to the upstream other"));
    export(&["--upstream", "pulp"]).out(0);

    let mixed = route("/v2/", "registry", "") + &route("/extensions/v2/", "registry", "credentials = 'mint-token'");
    place.configure(&format!("{PULP}{mixed}"));
    assert!(export(&[]).err(2).contains("differ in whether they send tokens"));
}
