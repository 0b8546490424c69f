//! `tidegate filter`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::Place;

const IDENTITY: &str = r#"
[[upstream]]
name = 'pulp'
url = 'http://127.0.0.1:5050'
credentials = 'identity'

[[route]]
prefix = '/v2/'
upstream = 'pulp'
auth = 'registry'
identity = { filter = '{name: .subject, of: .request}' }

[identity]
header = 'X-Who'
username = '.user'
filter = 'if .subject == "ghost" then null elif .subject == "bad" then error else {user: .subject, groups: .groups} end'
"#;

fn decoded(line: &str) -> String {
    let (name, value) = line.trim_end().split_once(": ").unwrap();
    assert_eq!(name, "X-Who");
    String::from_utf8(STANDARD.decode(value).unwrap()).unwrap()
}

#[test]
fn the_header_goes_out_and_its_json_beside_it() {
    let place = Place::new(IDENTITY);
    let ran = place.run_with(&["filter"], r#"{"subject": "alice", "groups": ["dev"]}"#);
    let json = r#"{"user":"alice","groups":["dev"]}"#;
    assert_eq!((decoded(ran.out(0)).as_str(), ran.err.as_str()), (json, format!("{json}\n").as_str()));
    let ran = place.run_with(&["filter", "--decode"], r#"{"subject": "alice", "groups": ["dev"]}"#);
    assert_eq!((ran.out(0), ran.err.as_str()), (format!("{json}\n").as_str(), ""));
    let ran = place.run_with(&["filter", "--route", "/v2/"], r#"{"subject": "alice"}"#);
    ran.out(0);
    assert!(ran.err.contains("note: there is no name at `.user`, where the upstream looks for it"), "{ran:#?}");
}

#[test]
fn what_is_left_out_is_as_in_a_pull() {
    let place = Place::new(IDENTITY);
    let run = |input: &str| -> Value {
        let ran = place.run_with(&["filter", "--route", "/v2", "--decode"], input);
        serde_json::from_str(ran.out(0)).unwrap()
    };
    let pull = json!({
        "kind": "repository", "repository": "library/hello-world", "reference": "latest", "action": "pull",
        "method": "GET",
    });
    assert_eq!(run(r#"{"subject": "alice"}"#), json!({"name": "alice", "of": pull}));
    let of = |request: Value| run(&json!({"subject": "alice", "request": request}).to_string())["of"].take();
    let upload = of(json!({"action": "push", "reference": null}));
    assert_eq!((&upload["reference"], &upload["method"]), (&Value::Null, &"PUT".into()));
    let catalog =
        json!({"kind": "catalog", "repository": null, "reference": null, "action": "catalog", "method": "GET"});
    assert_eq!(of(json!({"action": "catalog"})), catalog);
    let api = of(json!({"path": "/x"}));
    assert_eq!((&api["kind"], &api["path"], &api["action"]), (&"api".into(), &"/x".into(), &"read".into()));
}

#[test]
fn no_header_is_no_failure() {
    let place = Place::new(IDENTITY);
    assert!(place.run_with(&["filter"], "{}").err(0).contains("of an anonymous request"));
    assert!(place.run_with(&["filter"], r#"{"subject": "ghost"}"#).err(0).contains("yields null"));
    place.configure(&format!("{IDENTITY}anonymous = true\n"));
    assert_eq!(decoded(place.run_with(&["filter"], "{}").out(0)), r#"{"user":null,"groups":[]}"#);
}

#[test]
fn a_filter_that_refuses_says_nothing_of_the_document() {
    let place = Place::new(IDENTITY);
    let ran = place.run_with(&["filter"], r#"{"subject": "bad", "claims": {"mail": "planted"}}"#);
    assert!(ran.err(1).contains("so the request is refused with 500"), "{ran:#?}");
    assert!(!ran.err.contains("planted"), "{ran:#?}");
    place.configure(&format!("{IDENTITY}max_header = 64\n"));
    let ran = place.run_with(&["filter"], &format!("{{\"subject\": \"{}\"}}", "x".repeat(100)));
    assert!(ran.err(1).contains("so the request is refused with 500"), "{ran:#?}");
}

#[test]
fn a_wrong_document_is_an_error_with_its_position() {
    let place = Place::new(IDENTITY);
    let err = |input: &str| place.run_with(&["filter"], input).err(2).to_owned();
    assert!(err("{\n \"subjet\": \"a\"}").contains("unknown field `subjet`"));
    assert!(err("{\n \"subjet\": \"a\"}").contains("at line 2 column 9"));
    assert!(err("{\"request\": {\"action\": \"fly\"}}").contains("unknown variant `fly`"));
    assert!(err("nonsense").contains("at line 1 column"));
    assert!(err("").contains("EOF"));
    assert!(err("{\"subject\": \"\"}").contains("a name must not be empty"));
    assert!(err("{\"groups\": [\"dev\"]}").contains("are of a `subject`"));
    assert!(err("{\"anonymous\": false}").contains("needs a `subject`"));
    let ran = place.run_with(&["filter", "--route", "/x/"], "{}");
    assert!(ran.err(2).contains("hint: the prefixes are /v2/"), "{ran:#?}");
}
