//! What the gateway knows of Pulp: its endpoints, its tokens, and what it would choke on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::site::{ALICE, SETUP, Setup, Site, blob};
use crate::upstream::{answer_with, ok};
use crate::wire::{Head, basic};

const STATUS: &str = "/pulp/api/v3/status/";
const USERS: &str = "/pulp/api/v3/users/";

/// One route for all that is not the registry's, as wide as can be.
const WIDE: Setup = Setup {
    upstream: "kind = \"pulp\"",
    rest: r#"
[[route]]
prefix = "/v2/"
upstream = "registry"
auth = "registry"

[[route]]
prefix = "/"
upstream = "registry"
auth = "api"

[[access]]
who = ["user:alice"]
paths = ["/**"]
methods = ["*"]
"#,
    ..SETUP
};

/// Asks without credentials.
fn anonymously(site: &Site, method: &str, target: &str, headers: &str) -> u16 {
    let mut client = site.connect();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", site.gateway.host()));
    client.head().status()
}

#[test]
fn what_everybody_may_read_tells_pulp_nothing_of_who_does() {
    let site = Site::with(&WIDE, ok);
    let wrong = format!("Authorization: {}\r\nCookie: sessionid=1\r\n", basic(("alice", "wrong")));
    for target in [STATUS, "/pulp/api/v3/livez/", "/pulp/api/v3/docs/api.json?x=1", "/pulp/%61pi/v3/st%61tus/"] {
        for method in ["GET", "HEAD"] {
            for headers in [String::new(), wrong.clone(), wrong.replace("wrong", ALICE.1)] {
                assert_eq!(anonymously(&site, method, target, &headers), 200, "{method} {target} {headers}");
                let head = site.upstream.last();
                for name in ["authorization", "cookie", "x-authentication-service"] {
                    assert!(!head.has_like(name), "{head:?}");
                }
                assert_eq!(head.target(), target.replace("%61", "a"));
            }
        }
        let before = site.upstream.heads().len();
        assert_eq!(anonymously(&site, "POST", target, "Content-Length: 0\r\n"), 401, "{target}");
        assert_eq!(anonymously(&site, "OPTIONS", target, ""), 401, "{target}");
        assert_eq!(site.upstream.heads().len(), before);
    }
    assert_eq!(anonymously(&site, "GET", USERS, ""), 401);
    // Of a registry that is no Pulp nothing is public.
    let other = Site::with(&Setup { upstream: "kind = \"registry\"", ..WIDE }, ok);
    assert_eq!(anonymously(&other, "GET", STATUS, ""), 401);
}

#[test]
fn a_401_of_what_everybody_may_read_is_passed_on() {
    let site =
        Site::with(&WIDE, |head, wire| answer_with(head, wire, "401 Unauthorized", "WWW-Authenticate: Basic\r\n", ""));
    let (head, _) = site.ask("GET", STATUS, "");
    assert_eq!((head.status(), head.get("www-authenticate")), (401, None));
    assert_eq!(site.ask("GET", USERS, "").0.status(), 502);
}

#[test]
fn pulps_own_doors_are_closed() {
    let site = Site::with(&WIDE, ok);
    let paths = [
        "/pulp/api/v3/login/",
        "/pulp/api/v3/login",
        "/pulp/api/v3/%6cogin/",
        "/pulp/api/v3/LOGIN/",
        "/pulp/team/api/v3/login/",
        "/moved/api/v3/login/",
        "/token/",
        "/auth/login/",
        "/auth/logout/",
        "/admin/",
        "/saml2/login/",
    ];
    for path in paths {
        for method in ["GET", "POST", "DELETE"] {
            assert_eq!(site.ask(method, path, "").0.status(), 404, "{method} {path}");
        }
    }
    for path in [
        "/pulp/api/v3/x/../login/",
        "/pulp/api/v3/%2e%2e/v3/login/",
        "/pulp/api/v3//login/",
        "/pulp/api/v3%2flogin/",
        "/pulp/api/v3/login%00/",
    ] {
        assert_eq!(site.ask("POST", path, "").0.status(), 400, "{path}");
    }
    assert!(site.upstream.heads().is_empty(), "{:?}", site.upstream.heads());
    assert_eq!(site.ask("POST", "/pulp/api/v3/login;x/", "").0.status(), 200);
    assert_eq!(site.upstream.last().target(), "/pulp/api/v3/login%3Bx/");
}

#[test]
fn a_route_for_an_endpoint_says_how_it_is_treated() {
    let named = |prefix: &str| format!("[[route]]\nprefix = \"{prefix}\"\nupstream = \"registry\"\nauth = \"api\"\n");
    let routes = format!("{}{}{}{}", WIDE.rest, named(STATUS), named("/pulp/api/v3/login/"), named("/auth/"));
    let site = Site::with(&Setup { rest: routes.leak(), ..WIDE }, ok);
    assert_eq!(anonymously(&site, "GET", STATUS, ""), 401);
    assert_eq!(site.ask("GET", STATUS, "").0.status(), 200);
    assert_eq!(site.ask("POST", "/pulp/api/v3/login/", "").0.status(), 200);
    assert_eq!(site.ask("GET", "/auth/login/", "").0.status(), 200);
    // The others are as they were.
    assert_eq!(anonymously(&site, "GET", "/pulp/api/v3/livez/", ""), 200);
    assert_eq!(site.ask("POST", "/token/", "").0.status(), 404);
}

#[test]
fn a_name_that_pulp_would_misread_is_not_sent() {
    for name in
        ["42", ".groups", "\"\"", "\"alice \"", ".claims.none", "(.groups[0] + \"\\u0000\")", ".request.reference"]
    {
        let rest = format!("{}[identity]\nfilter = '{{identity: {{user: {{username: {name}}}}}}}'\n", WIDE.rest);
        let site = Site::with(&Setup { rest: rest.leak(), ..WIDE }, ok);
        // The last of them is what the client says, here a name that is reserved.
        for target in ["/v2/team/app/manifests/admin", USERS] {
            assert_eq!(site.ask("GET", target, "").0.status(), 500, "{name} {target}");
        }
        assert!(site.upstream.heads().is_empty());
        let log = site.wait_for_log("the identity header cannot be sent");
        assert!(!log.contains("alice \""), "{log}");
    }
}

fn claims(head: &Head) -> Value {
    let token = head.get("authorization").unwrap().strip_prefix("Bearer ").unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn tokens_for_pulp_are_for_the_host_that_the_client_names() {
    let upstream = "kind = \"pulp\"\ncredentials = \"forward-token\"";
    let site = Site::with(&Setup { upstream, ..SETUP }, ok);
    let own = site.gateway.host();
    let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull,push,delete"]);
    let ask = |method: &str, host: &str, authorization: &str| {
        let mut client = site.connect();
        client.send(format!("{method} {} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\r\n", blob()));
        assert_eq!(client.head().status(), 200, "{method} {host}");
        site.upstream.last()
    };
    let bearer = format!("Bearer {token}");
    assert_eq!(ask("GET", &own, &bearer).get("authorization"), Some(&*bearer), "the client's own is good for this");
    for authorization in [&bearer, &basic(ALICE)] {
        for host in ["Registry.Example.ORG:5000", "localhost"] {
            let claims = claims(&ask("GET", host, authorization));
            assert_eq!((&claims["aud"], &claims["sub"]), (&host.into(), &"alice".into()));
            assert_eq!(claims["access"], json!([{"type": "repository", "name": "team/app", "actions": ["pull"]}]));
        }
    }
    // Pulp knows push alone for all that changes anything.
    let claims = claims(&ask("DELETE", &own, &bearer));
    assert_eq!(claims["access"], json!([{"type": "repository", "name": "team/app", "actions": ["push", "delete"]}]));
}
