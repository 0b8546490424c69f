//! What the gateway knows of Pulp: its endpoints, its users, and what it would choke on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use serde_json::json;

use crate::site::{ALICE, BOB, DIGEST, SETUP, Setup, Site, blob};
use crate::upstream::{Then, answer_with, ok};
use crate::wire::{Head, Wire, basic};

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

/// The answer's status without other credentials than the header lines hold.
fn anonymously(site: &Site, method: &str, target: &str, headers: &str) -> u16 {
    site.ask_bare(method, target, headers).0.status()
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

/// A Pulp that takes tokens, of users that it knows.
const TOKENS: Setup = Setup {
    upstream: "kind = \"pulp\"\ncredentials = \"forward-token\"\n\
               create_users = { credentials = { basic = { username = \"gateway\", password = \"secret-of-gateway\" } } }",
    ..SETUP
};

/// What a scripted Pulp was asked to create, and how it answers to that.
#[derive(Clone, Default)]
struct Creations(Arc<Mutex<Vec<String>>>);

impl Creations {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Notes who is to be created; true when it was for this.
    fn note(&self, head: &Head, wire: &mut Wire) -> bool {
        if head.target() != USERS {
            return false;
        }
        assert_eq!((head.method(), head.get("content-type")), ("POST", Some("application/json")));
        assert_eq!(head.get("authorization"), Some(basic(("gateway", "secret-of-gateway")).as_str()));
        let body = wire.body(head).json();
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        self.0.lock().unwrap().push(body["username"].as_str().unwrap().to_owned());
        true
    }
}

fn reply(wire: &mut Wire, status: &str, body: &str) -> Then {
    let length = body.len();
    let _ = wire.try_send(format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"));
    Then::Close
}

/// A Pulp that answers a creation with this.
fn pulp(setup: &Setup, status: &'static str, body: &'static str) -> (Site, Creations) {
    let creations = Creations::default();
    let noted = creations.clone();
    let site = Site::with(
        setup,
        move |head, wire| {
            if noted.note(head, wire) { reply(wire, status, body) } else { ok(head, wire) }
        },
    );
    (site, creations)
}

#[test]
fn a_user_is_created_before_the_first_token_goes_upstream() {
    let (site, creations) = pulp(&TOKENS, "201 Created", "{\"id\": 3}");
    assert_eq!(site.get().0.status(), 200);
    let heads = site.upstream.heads();
    let targets: Vec<_> = heads.iter().map(Head::target).collect();
    assert_eq!(targets, [USERS, &blob()], "first the user, then the request");
    assert_eq!(creations.take(), ["alice"]);
    assert_eq!((heads[0].get("host"), heads[0].get("x-forwarded-proto")), (Some(&*site.gateway.host()), Some("http")));
    assert!(!heads[0].has_like("x-authentication-service") && !heads[0].has_like("cookie"), "{:?}", heads[0]);
    assert_eq!(heads[1].claims()["sub"], "alice");
    // Once.
    assert_eq!(site.get().0.status(), 200);
    let token = site.gateway.token(Some(ALICE), &["repository:team/app:pull"]);
    // Another user is another one; who may not pull is no user of Pulp's; nobody is nobody; the ping goes nowhere.
    let as_bob = format!("Authorization: {}\r\n", basic(BOB));
    assert_eq!(anonymously(&site, "GET", "/v2/other/app/tags/list", &as_bob), 403);
    assert_eq!(anonymously(&site, "GET", "/v2/", &as_bob), 200);
    assert_eq!(anonymously(&site, "GET", &format!("/v2/public/app/blobs/{DIGEST}"), ""), 200);
    assert_eq!(creations.take(), Vec::<String>::new());
    assert_eq!(anonymously(&site, "GET", &blob(), &as_bob), 200);
    assert_eq!(creations.take(), ["bob"]);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(anonymously(&site, "GET", &blob(), &bearer), 200);
    assert_eq!(creations.take(), Vec::<String>::new());
}

#[test]
fn a_user_that_is_there_already_is_as_good() {
    let (site, creations) = pulp(&TOKENS, "400 Bad Request", "{\"username\":[\"This field must be unique.\"]}");
    for _ in 0..2 {
        assert_eq!(site.get().0.status(), 200);
    }
    assert_eq!(creations.take(), ["alice"]);
}

#[test]
fn of_many_requests_of_a_new_user_one_asks() {
    let creations = Creations::default();
    let (noted, waiting) = (creations.clone(), Arc::new(AtomicUsize::new(0)));
    let begun = Arc::clone(&waiting);
    let site = Site::with(&TOKENS, move |head, wire| {
        if !noted.note(head, wire) {
            return ok(head, wire);
        }
        // Until all of them have been sent.
        crate::support::until("the others come", crate::wire::LIMIT, || {
            (begun.load(Ordering::SeqCst) == 6).then_some(())
        });
        reply(wire, "201 Created", "{}")
    });
    let gate = Barrier::new(6);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = site.connect();
                gate.wait();
                client.send(format!("{}\r\n", site.begin("GET", &blob())));
                waiting.fetch_add(1, Ordering::SeqCst);
                assert_eq!(client.head().status(), 200);
            });
        }
    });
    assert_eq!(creations.take(), ["alice"]);
}

#[test]
fn a_user_who_is_gone_is_created_again() {
    let creations = Creations::default();
    let (noted, refusals) = (creations.clone(), AtomicUsize::new(1));
    let site = Site::with(&TOKENS, move |head, wire| {
        if noted.note(head, wire) {
            return reply(wire, "201 Created", "{}");
        }
        let refuse = refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if refuse { answer_with(head, wire, "401 Unauthorized", "", "No such user") } else { ok(head, wire) }
    });
    assert_eq!(site.get().0.status(), 502, "the token was fresh");
    assert_eq!(site.get().0.status(), 200);
    assert_eq!(creations.take(), ["alice", "alice"]);
}

#[test]
fn a_user_who_cannot_be_created_is_told_so() {
    for (answer, body, status) in [
        ("403 Forbidden", "{\"detail\":\"Invalid username/password.\"}", 502),
        ("404 Not Found", "", 502),
        ("400 Bad Request", "{\"detail\":\"no\"}", 502),
        ("301 Moved Permanently", "", 502),
    ] {
        let (site, creations) = pulp(&TOKENS, answer, body);
        let (head, body) = site.get();
        assert_eq!(
            (head.status(), body.json()["errors"][0]["code"].as_str()),
            (status, Some("UNAVAILABLE")),
            "{answer}"
        );
        assert_eq!(creations.take().len(), 1);
        assert!(site.upstream.heads().iter().all(|head| head.target() == USERS), "the token goes nowhere");
        let log = site.wait_for_log("created no user");
        assert!(log.contains("hint: ") && !log.contains("secret-of-gateway"), "{log}");
        // It is not remembered.
        assert_eq!(site.get().0.status(), status);
        assert!(!creations.take().is_empty());
    }
}

#[test]
fn a_pulp_that_is_busy_is_asked_again_later() {
    let gone = Site::with(&TOKENS, |head, wire| if head.target() == USERS { Then::Close } else { ok(head, wire) });
    // Two replicas at once: the second to ask meets an error, and finds the user at the second time.
    let (broken, creations) = pulp(&TOKENS, "500 Broken", "");
    for site in [gone, broken] {
        let (head, _) = site.get();
        assert_eq!((head.status(), head.get("retry-after")), (503, Some("5")));
        assert!(site.upstream.heads().iter().all(|head| head.target() == USERS));
    }
    assert_eq!(creations.take(), ["alice", "alice"]);
    let creations = Creations::default();
    let (noted, first) = (creations.clone(), AtomicUsize::new(0));
    let site = Site::with(&TOKENS, move |head, wire| match noted.note(head, wire) {
        false => ok(head, wire),
        true if first.fetch_add(1, Ordering::SeqCst) == 0 => reply(wire, "500 Broken", "duplicate key"),
        true => reply(wire, "400 Bad Request", "{\"username\":[\"This field must be unique.\"]}"),
    });
    assert_eq!(site.get().0.status(), 200);
    assert_eq!(creations.take(), ["alice", "alice"]);
}

const BY_HEADER: Setup = Setup {
    upstream: "kind = \"pulp\"\ncredentials = \"mint-token\"\ncreate_users = { path = \"/u/\", credentials = \"identity\" }",
    ..SETUP
};

/// A Pulp that answers a request with the identity header with this.
fn by_header(setup: &Setup, status: &'static str, detail: &'static str) -> Site {
    Site::with(setup, move |head, wire| match head.target() {
        "/u/" => reply(wire, status, &json!({"detail": detail}).to_string()),
        _ => ok(head, wire),
    })
}

#[test]
fn the_identity_header_creates_whom_it_names_whatever_the_answer() {
    for (status, detail) in [("200 OK", ""), ("403 Forbidden", "You do not have permission to perform this action.")] {
        let site = by_header(&BY_HEADER, status, detail);
        assert_eq!(site.get().0.status(), 200);
        assert_eq!(site.get().0.status(), 200);
        let heads = site.upstream.heads();
        assert_eq!(heads.iter().map(Head::target).collect::<Vec<_>>(), ["/u/", &blob(), &blob()]);
        assert_eq!((heads[0].method(), heads[0].get("authorization")), ("GET", None));
        let expected = "eyJpZGVudGl0eSI6eyJ1c2VyIjp7InVzZXJuYW1lIjoiYWxpY2UifX19";
        assert_eq!(heads[0].get("x-authentication-service"), Some(expected));
        assert_eq!(heads[1].get("x-authentication-service"), None);
    }
    for (status, detail) in [
        ("403 Forbidden", "Authentication credentials were not provided."),
        ("403 Forbidden", "Access denied. Invalid JSON."),
        ("401 Unauthorized", "Invalid username/password."),
    ] {
        let site = by_header(&BY_HEADER, status, detail);
        assert_eq!(site.get().0.status(), 502, "{detail}");
        assert!(site.wait_for_log("created no user").contains("JSONHeaderRemoteAuthentication"));
    }
}

#[test]
fn no_other_user_is_created_than_the_tokens() {
    let rest = "[identity]\nfilter = '{identity: {user: {username: (\"team-\" + .subject)}}}'\n";
    let site = by_header(&Setup { rest, ..BY_HEADER }, "200 OK", "");
    assert_eq!(site.get().0.status(), 502);
    assert!(site.upstream.heads().is_empty());
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
            let claims = ask("GET", host, authorization).claims();
            assert_eq!((&claims["aud"], &claims["sub"]), (&host.into(), &"alice".into()));
            assert_eq!(claims["access"], json!([{"type": "repository", "name": "team/app", "actions": ["pull"]}]));
        }
    }
    // Pulp knows push alone for all that changes anything.
    let claims = ask("DELETE", &own, &bearer).claims();
    assert_eq!(claims["access"], json!([{"type": "repository", "name": "team/app", "actions": ["push", "delete"]}]));
}
