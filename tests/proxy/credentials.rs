//! What upstreams are told about the caller, and what becomes of an upstream that wants something else.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate::clock::Clock;
use tidegate::keys::{self, KeyIdFormat, KeyRing};
use tidegate::registry::AccessSet;
use tidegate::registry::scope::parse_requested;
use tidegate::subject::{Caller, Subject, UserName};
use tidegate::token::{Grant, Issuer, Settings, TokenKind};

use crate::site::{ALICE, BOB, SETUP, Setup, Site, UPLOAD, blob};
use crate::support::pause;
use crate::upstream::{Then, answer_with, ok};
use crate::wire::{Body, Head, Wire, basic};

const CHALLENGE: &str = "WWW-Authenticate: Bearer realm=\"https://evil.example/token\",service=\"evil\"\r\n\
    WWW-Authenticate: Basic realm=\"upstream\"\r\nProxy-Authenticate: Basic realm=\"upstream\"\r\n\
    Authentication-Info: nextnonce=\"1\"\r\n";

fn unauthorized(head: &Head, wire: &mut Wire) -> Then {
    answer_with(head, wire, "401 Unauthorized", CHALLENGE, "{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}")
}

/// The header's document.
fn identity(head: &Head) -> Option<serde_json::Value> {
    let value = head.get("x-authentication-service")?;
    Some(serde_json::from_slice(&STANDARD.decode(value).unwrap()).unwrap())
}

#[test]
fn a_challenge_of_an_upstream_is_502_with_a_line_that_says_what_to_mend() {
    for credentials in [
        "\"identity\"",
        "\"none\"",
        "\"mint-token\"",
        "{ basic = { username = \"gateway\", password = \"secret-of-gateway\" } }",
    ] {
        let upstream: &'static str = Box::leak(format!("credentials = {credentials}").into_boxed_str());
        let site = Site::with(&Setup { upstream, ..SETUP }, unauthorized);
        for (method, target) in [("GET", blob()), ("PATCH", UPLOAD.to_owned()), ("HEAD", blob())] {
            let (head, body) = site.ask(method, &target, "");
            assert_eq!(head.status(), 502, "{credentials} {method}");
            for name in ["www-authenticate", "proxy-authenticate", "authentication-info"] {
                assert!(head.all(name).is_empty(), "{head:?}");
            }
            assert!(!body.text().contains("evil") && !head.headers.iter().any(|(_, value)| value.contains("evil")));
        }
        let log = site.wait_for_log("answered 401");
        assert!(log.contains("hint: "), "{log}");
        assert!(!log.contains("secret-of-gateway"));
    }
}

#[test]
fn challenges_beside_other_statuses_end_here_too() {
    let site = Site::new(|head, wire| answer_with(head, wire, "403 Forbidden", CHALLENGE, "no"));
    let (head, body) = site.get();
    assert_eq!((head.status(), body.text().as_str()), (403, "no"));
    for name in ["www-authenticate", "proxy-authenticate", "authentication-info"] {
        assert!(head.all(name).is_empty(), "{head:?}");
    }
}

const FORWARDING: Setup = Setup { upstream: "credentials = \"forward-token\"", ..SETUP };

/// Asks for the blob with a token.
fn with_token(site: &Site, token: &str) -> (Head, Body) {
    site.ask_bare("GET", &blob(), &format!("Authorization: Bearer {token}\r\n"))
}

#[test]
fn a_fresh_token_that_the_upstream_refuses_is_a_mistake_of_the_configuration() {
    let site = Site::with(&FORWARDING, unauthorized);
    let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull"]);
    let (head, _) = with_token(&site, &token);
    assert_eq!((head.status(), head.get("www-authenticate")), (502, None));
    assert_eq!(site.upstream.only().get("authorization"), Some(format!("Bearer {token}").as_str()));
    let log = site.wait_for_log("answered 401");
    assert!(!log.contains(token.rsplit('.').next().unwrap()), "a token must not be logged");
}

#[test]
fn an_older_token_that_the_upstream_refuses_is_refused() {
    let site = Site::with(&FORWARDING, unauthorized);
    let token = old_token(&site, 60);
    let (head, body) = with_token(&site, &token);
    assert_eq!(head.status(), 401, "{}", body.text());
    let challenge = head.get("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\"") && !challenge.contains("evil"), "{challenge}");
    assert!(challenge.contains("scope=\"repository:team/app:pull\""), "{challenge}");
    assert!(challenge.contains(&format!("realm=\"http://{}/token\"", site.gateway.host())));
}

/// A token that the gateway would have issued so many seconds ago.
fn old_token(site: &Site, age: u64) -> String {
    let key = keys::load_or_generate(&site.dir.path().join("state")).unwrap().key;
    let ring = Arc::new(KeyRing::new(vec![key], KeyIdFormat::Rfc7638, false).unwrap());
    let host = site.gateway.host();
    let settings = Settings {
        issuer: format!("http://{host}/token"),
        services: vec![host.clone()],
        ttl: Duration::from_secs(300),
        api_ttl: Duration::from_secs(300),
    };
    let issuer = Issuer::new(ring, settings, Clock::manual(Clock::System.now() - age)).unwrap();
    let alice = Subject::new(UserName::parse("alice").unwrap(), Vec::new(), "users".into());
    let access: AccessSet = parse_requested(["repository:team/app:pull,push"].into_iter(), 1).access;
    let grant =
        Grant { caller: &Caller::Known(Arc::new(alice)), audience: &host, kind: TokenKind::Registry, access: &access };
    issuer.issue(&grant).unwrap().token.expose().to_owned()
}

#[test]
fn a_token_that_expires_while_its_request_waits_is_renewed() {
    let upstream = "credentials = \"forward-token\"\nspool = true";
    let site = Site::with(&Setup { upstream, ..SETUP }, ok);
    let bearer = |token: &str| {
        let host = site.gateway.host();
        let mut client = site.connect();
        let request =
            format!("PATCH {UPLOAD} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: 8");
        client.send(format!("{request}\r\nExpect: 100-continue\r\n\r\n"));
        assert_eq!(client.head().status(), 100);
        client
    };
    let short = old_token(&site, 297);
    let mut client = bearer(&short);
    client.send("some");
    pause(Duration::from_secs(4));
    client.send("more");
    assert_eq!(client.reply().0.status(), 200);
    let sent = site.upstream.only().get("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    assert_ne!(sent, short, "it has expired");
    // One that is still good goes as it came.
    let long = old_token(&site, 0);
    let mut client = bearer(&long);
    client.send("somemore");
    assert_eq!(client.reply().0.status(), 200);
    assert_eq!(site.upstream.last().get("authorization"), Some(format!("Bearer {long}").as_str()));
}

#[test]
fn with_forward_token_a_password_becomes_a_token() {
    let site = Site::with(&FORWARDING, ok);
    assert_eq!(site.get().0.status(), 200);
    let authorization = site.upstream.only().get("authorization").unwrap().to_owned();
    assert!(authorization.starts_with("Bearer "), "the password must not travel: {authorization}");
    assert_eq!(identity(&site.upstream.only()), None);
}

#[test]
fn a_minted_token_is_for_the_operation_alone() {
    let site = Site::with(&Setup { upstream: "credentials = \"mint-token\"", ..SETUP }, ok);
    let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull,push,delete"]);
    assert_eq!(with_token(&site, &token).0.status(), 200);
    let sent = site.upstream.only().get("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    assert_ne!(sent, token);
    let claims = site.upstream.only().claims();
    assert_eq!(claims["access"], serde_json::json!([{"type": "repository", "name": "team/app", "actions": ["pull"]}]));
    assert_eq!((&claims["aud"], &claims["sub"]), (&site.gateway.host().into(), &"alice".into()));
    // And it is no credential at the gateway.
    assert_eq!(with_token(&site, &sent).0.status(), 401);
}

#[test]
fn the_identity_header_says_who_asks_and_nothing_else_does() {
    let site = Site::new(ok);
    let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull"]);
    assert_eq!(site.get().0.status(), 200);
    assert_eq!(with_token(&site, &token).0.status(), 200);
    for head in site.upstream.heads() {
        assert_eq!(identity(&head), Some(serde_json::json!({"identity": {"user": {"username": "alice"}}})));
        assert_eq!(head.get("authorization"), None);
    }
}

#[test]
fn each_caller_has_the_own_identity_on_a_shared_connection() {
    let site = Site::new(ok);
    let mut client = site.connect();
    let public = format!("/v2/public/app/blobs/{}", crate::site::DIGEST);
    for who in [Some(ALICE), None, Some(BOB), None, Some(ALICE)] {
        let target = if who.is_some() { blob() } else { public.clone() };
        let authorization = who.map(|who| format!("Authorization: {}\r\n", basic(who))).unwrap_or_default();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{authorization}\r\n", site.gateway.host()));
        assert_eq!(client.reply().0.status(), 200);
        let name = identity(&site.upstream.last()).map(|document| document["identity"]["user"]["username"].clone());
        assert_eq!(name, who.map(|(name, _)| name.into()));
    }
    assert_eq!(site.upstream.connections(), 1);
}

#[test]
fn a_fixed_account_is_all_that_the_upstream_hears() {
    let upstream = "credentials = { basic = { username = \"gateway\", password = \"secret-of-gateway\" } }";
    let site = Site::with(&Setup { upstream, ..SETUP }, ok);
    assert_eq!(site.get().0.status(), 200);
    let head = site.upstream.only();
    assert_eq!(head.get("authorization"), Some(basic(("gateway", "secret-of-gateway")).as_str()));
    assert_eq!(identity(&head), None);
}

/// Every way of writing the identity header and its kind.
const FORGED: &str = "X-Authentication-Service: eyJldmlsIjoxfQ==\r\nx-authentication-service: eyJldmlsIjoxfQ==\r\n\
    X_Authentication_Service: eyJldmlsIjoxfQ==\r\nX-AUTHENTICATION_SERVICE: eyJldmlsIjoxfQ==\r\n\
    X.Authentication.Service: eyJldmlsIjoxfQ==\r\nX~Authentication!Service: eyJldmlsIjoxfQ==\r\n\
    X-Remote-User: eyJldmlsIjoxfQ==\r\nRemote-User: eyJldmlsIjoxfQ==\r\nREMOTE_USER: eyJldmlsIjoxfQ==\r\n\
    X-Forwarded-User: eyJldmlsIjoxfQ==\r\nX-Forwarded-Groups: eyJldmlsIjoxfQ==\r\nX_Forwarded_User: eyJldmlsIjoxfQ==\r\n\
    X-Remote-Group: eyJldmlsIjoxfQ==\r\nX-Auth-Request-User: eyJldmlsIjoxfQ==\r\nX-WebAuth-User: eyJldmlsIjoxfQ==\r\n\
    Ssl-Client-Verify: eyJldmlsIjoxfQ==\r\nX-Forwarded-Client-Cert: eyJldmlsIjoxfQ==\r\n\
    SCRIPT_NAME: eyJldmlsIjoxfQ==\r\nScript-Name: eyJldmlsIjoxfQ==\r\nPATH_INFO: eyJldmlsIjoxfQ==\r\n\
    X-Team: eyJldmlsIjoxfQ==\r\nx_team: eyJldmlsIjoxfQ==\r\n\
    Cookie: session=eyJldmlsIjoxfQ==\r\nConnection: X-Authentication-Service, close\r\n";

#[test]
fn no_forged_identity_reaches_an_upstream() {
    for upstream in ["credentials = \"identity\"", "credentials = \"none\"", "credentials = \"forward-token\""] {
        let site = Site::with(&Setup { upstream, rest: "[identity]\nstrip = [\"X-Team\"]\n", ..SETUP }, ok);
        for (method, target) in [("GET", blob()), ("PATCH", UPLOAD.to_owned()), ("HEAD", blob())] {
            assert_eq!(site.ask(method, &target, FORGED).0.status(), 200);
            let head = site.upstream.last();
            assert!(!format!("{head:?}").contains("eyJldmlsIjoxfQ"), "{head:?}");
            let expected = usize::from(upstream.contains("identity"));
            let likes = head.headers.iter().filter(|(name, _)| name.to_ascii_lowercase().contains("authentication"));
            assert_eq!(likes.count(), expected, "{head:?}");
        }
        // Anonymous callers have none at all.
        let public = format!("/v2/public/app/blobs/{}", crate::site::DIGEST);
        assert_eq!(site.ask_bare("GET", &public, FORGED).0.status(), 200);
        let head = site.upstream.last();
        assert!(!format!("{head:?}").contains("eyJldmlsIjoxfQ"), "{head:?}");
        assert_eq!(identity(&head), None);
    }
}

const OTHER_ROUTES: Setup = Setup {
    rest: r#"
[[route]]
prefix = "/v2/"
upstream = "registry"
auth = "registry"

[[route]]
prefix = "/pulp/api/v3/"
upstream = "registry"
auth = "api"

[[route]]
prefix = "/status/"
upstream = "registry"
auth = "public"

[[access]]
who = ["user:alice"]
paths = ["/pulp/api/v3/**"]
methods = ["*"]
"#,
    ..SETUP
};

#[test]
fn a_public_route_hears_of_nobody() {
    let site = Site::with(&OTHER_ROUTES, unauthorized_on_demand);
    let (head, _) = site.ask("GET", "/status/x?a=1", FORGED);
    assert_eq!(head.status(), 200);
    let head = site.upstream.only();
    assert_eq!((head.get("authorization"), identity(&head)), (None, None), "{head:?}");
    assert_eq!(head.target(), "/status/x?a=1");
    for name in ["x-remote-user", "x-forwarded-user", "script-name", "path-info", "x-authentication-service"] {
        assert!(!head.has_like(name), "{name}: {head:?}");
    }
    let wrong = "Authorization: Basic eDp5\r\n";
    assert_eq!(
        site.ask_bare("GET", "/status/", wrong).0.status(),
        200,
        "credentials do not matter here, wrong ones neither"
    );
    assert_eq!(site.upstream.last().get("authorization"), None);
}

fn unauthorized_on_demand(head: &Head, wire: &mut Wire) -> Then {
    if head.target().ends_with("/401") { unauthorized(head, wire) } else { ok(head, wire) }
}

#[test]
fn no_challenge_of_an_upstream_leaves_by_any_route() {
    let site = Site::with(&OTHER_ROUTES, unauthorized_on_demand);
    for (target, status) in [("/status/401", 401), ("/pulp/api/v3/401", 502)] {
        let (head, _) = site.ask("GET", target, "");
        assert_eq!(head.status(), status, "{target}");
        for (name, value) in &head.headers {
            assert!(!value.contains("evil") && !value.contains("upstream"), "{name}: {value}");
        }
    }
}

#[test]
fn an_api_route_takes_a_password_and_gives_an_identity() {
    let site = Site::with(&OTHER_ROUTES, ok);
    let (head, _) = site.ask("GET", "/pulp/api/v3/repositories/?limit=1", "");
    assert_eq!(head.status(), 200);
    let head = site.upstream.only();
    assert_eq!(identity(&head).unwrap()["identity"]["user"]["username"], "alice");
    assert_eq!((head.get("authorization"), head.target()), (None, "/pulp/api/v3/repositories/?limit=1"));
    for (authorization, status) in [
        (String::new(), 401),
        (format!("Authorization: {}\r\n", basic(BOB)), 403),
        (format!("Authorization: {}\r\n", basic(("alice", "wrong"))), 401),
        (format!("Authorization: Bearer {}\r\n", site.gateway.token(Some(ALICE), &["repository:team/app:pull"])), 401),
    ] {
        assert_eq!(site.ask_bare("GET", "/pulp/api/v3/x", &authorization).0.status(), status, "{authorization}");
    }
    assert_eq!(site.upstream.heads().len(), 1);
}

#[test]
fn an_upstream_sets_no_cookies_for_registry_clients() {
    let site = Site::with(&OTHER_ROUTES, |head, wire| {
        answer_with(head, wire, "200 OK", "Set-Cookie: session=1\r\nSet-Cookie: other=2\r\n", "ok")
    });
    assert!(site.get().0.all("set-cookie").is_empty());
    assert_eq!(site.ask("GET", "/status/", "").0.all("set-cookie"), ["session=1", "other=2"]);
}
