//! What the identity header may hold: Pulp makes users of what is no name, and breaks on some that are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::mode::Mode;
use crate::site::{ALICE, BOB};
use crate::support::gateway::Settings;
use crate::support::http::Request;
use crate::support::pulp::{App, HEADER_MODE, Pulp};

const HEADER: &str = "X-Authentication-Service";

/// What Pulp makes of a header's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// A user, whom it makes if need be.
    User,
    /// Nobody.
    Nobody,
    /// It breaks.
    Error,
}

fn named(name: impl Into<Value>) -> Value {
    json!({"identity": {"user": {"username": name.into()}}})
}

/// Documents that a filter could make, and what Pulp makes of them.
fn documents() -> Vec<(Value, Taken)> {
    vec![
        (named(true), Taken::User),
        (named(42), Taken::User),
        (named(json!(["a"])), Taken::User),
        (named(json!({"a": "b"})), Taken::User),
        (named("bob "), Taken::User),
        (named(" bob"), Taken::User),
        (named(Value::Null), Taken::Nobody),
        (named(""), Taken::Nobody),
        (named(false), Taken::Nobody),
        (named(0), Taken::Nobody),
        (json!({}), Taken::Nobody),
        (json!({"identity": {}}), Taken::Nobody),
        (json!([1]), Taken::Error),
        (json!("alice"), Taken::Error),
        (json!({"identity": 1}), Taken::Error),
        (json!({"identity": {"user": "alice"}}), Taken::Error),
        (named("x".repeat(151)), Taken::Error),
        (named("a\0b"), Taken::Error),
    ]
}

fn taken(api: &App, value: &str) -> Taken {
    let answer = Request::new(api.port, "GET", "/v2/").header(HEADER, value).send();
    match answer.status {
        200 => Taken::User,
        401 | 403 => Taken::Nobody,
        500 => Taken::Error,
        other => panic!("{other}: {value}: {}", answer.text()),
    }
}

#[test]
fn what_is_no_name_never_gets_to_pulp() {
    let api = Pulp::shared().api(HEADER_MODE);
    let documents = documents();
    let mut settings = Mode::Header.settings();
    for (n, (document, _)) in documents.iter().enumerate() {
        settings.rest += &route(&format!("/v2/team/{n}"), &document.to_string());
    }
    let gateway = Mode::in_front_of(&api, &settings);
    let before = api.users();
    for (n, (document, _)) in documents.iter().enumerate() {
        let target = format!("/v2/team/{n}/tags/list");
        let answer = Request::new(gateway.port, "GET", &target).basic(BOB.0, BOB.1).send();
        assert_eq!(answer.status, 500, "{}: {}", document, answer.text());
        assert_eq!(api.accesses_of(&format!("team/{n}")), [], "{document}");
    }
    assert_eq!(api.users(), before);

    // None of this would have been harmless.
    for (document, what) in &documents {
        assert_eq!(taken(&api, &STANDARD.encode(document.to_string())), *what, "{document}");
    }
    for value in ["", "!!", "e30", &STANDARD.encode("no JSON")] {
        assert_eq!(taken(&api, value), Taken::Nobody, "{value:?}");
    }
    // These eight letters are Base64 of what is no text; then a name in Latin-1, and a header that is not even ASCII.
    let latin = STANDARD.encode(b"{\"identity\":{\"user\":{\"username\":\"\xe9\"}}}");
    for value in ["no Base64!", &*latin, "é"] {
        assert_eq!(taken(&api, value), Taken::Error, "{value:?}");
    }
    let users = api.users();
    for user in ["True", "42", "['a']", "bob "] {
        assert!(users.iter().any(|name| name == user), "{user}: {users:?}");
    }
}

/// A route with a filter of its own.
fn route(prefix: &str, filter: &str) -> String {
    format!(
        "[[route]]\nprefix = \"{prefix}\"\nupstream = \"registry\"\nauth = \"registry\"\nidentity = '''\n{filter}\n'''\n\n"
    )
}

#[test]
fn a_header_that_pulp_has_no_room_for_is_not_sent() {
    let api = Pulp::shared().api(HEADER_MODE);
    let big = "x".repeat(9000);
    assert_eq!(Request::new(api.port, "GET", "/v2/").header(HEADER, &big).send().status, 431);
    let mut settings: Settings = Mode::Header.settings();
    settings.rest +=
        &route("/v2/team", &format!("{{identity: {{user: {{username: .subject}}}}, x: \"{}\"}}", "x".repeat(6200)));
    let gateway = Mode::in_front_of(&api, &settings);
    Request::new(gateway.port, "GET", "/v2/team/app/tags/list").basic(BOB.0, BOB.1).send().expect(500);
    assert_eq!(api.accesses_of("team/app"), []);
}

#[test]
fn what_pulp_refuses_for_its_size_is_refused_to_the_client_alone() {
    let api = Pulp::shared().api(HEADER_MODE);
    let gateway = Mode::in_front_of(&api, &Mode::Header.settings());
    let ask = |target: &str| Request::new(gateway.port, "GET", target).basic(ALICE.0, ALICE.1);
    let tasks = "/pulp/api/v3/tasks/";
    ask(tasks).header("X-Note", &"x".repeat(9000)).send().expect(431);
    let many = (0..94).fold(ask(tasks), |request, n| request.header(&format!("X-Note-{n}"), "x"));
    many.send().expect(431);
    ask(&format!("{tasks}?name={}", "x".repeat(5000))).send().expect(400);
    ask(tasks).send().expect(200);
}
