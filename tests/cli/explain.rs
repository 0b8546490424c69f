//! `tidegate explain`.

use serde_json::Value;

use crate::support::{ALICE, Place};

const RULES: &str = "
[groups]
ops = ['user:alice', 'user:zoe']

[[access]]
who = ['group:dev']
repositories = ['${user}/**']
actions = ['pull', 'push']

[[access]]
who = ['anyone']
repositories = ['public/**']
actions = ['pull']
from = ['10.0.0.0/8']

[[access]]
who = ['group:dev']
repositories = ['public/**']
actions = ['push']

[[access]]
effect = 'deny'
who = ['anyone']
repositories = ['alice/frozen']
actions = ['push']
when = '.request.reference == \"v1\"'

[[access]]
who = ['group:ops']
registry = ['catalog']
actions = ['*']

[[access]]
who = ['group:dev']
repositories = ['put/**']
actions = ['pull', 'push']
when = '.request.method == \"PUT\" or .request.method == \"GET\"'

[[access]]
who = ['group:ops']
paths = ['/pulp/**']
methods = ['read']
";

const ROUTES: &str = "
[[upstream]]
name = 'registry'
url = 'http://127.0.0.1:5050'
credentials = 'identity'

[[route]]
prefix = '/v2/'
upstream = 'registry'
auth = 'registry'

[[route]]
prefix = '/pulp/'
upstream = 'registry'
auth = 'api'

[[route]]
prefix = '/pulp/assets/'
upstream = 'registry'
auth = 'public'
";

fn place() -> Place {
    Place::new(&format!("{ALICE}{RULES}{ROUTES}"))
}

/// The line of the n-th rule in the file.
fn line(place: &Place, rule: usize) -> String {
    let text = place.read("gateway.toml");
    let (number, _) = text.lines().enumerate().filter(|(_, line)| *line == "[[access]]").nth(rule).unwrap();
    format!("gateway.toml:{}:", number + 1)
}

#[test]
fn the_deciding_rule_is_named_with_file_and_line() {
    let place = place();
    let ran = place.run(&["explain", "--user", "alice", "push", "alice/app"]);
    let out = ran.out(0);
    assert!(out.starts_with("allowed: user alice (groups: dev, ops), push alice/app, PUT\n"), "{out}");
    assert!(out.contains(&format!("=> {} allow: allows", line(&place, 0))), "{out}");
    assert!(!out.contains("when a token is issued"), "{out}");
}

#[test]
fn near_misses_have_their_reason() {
    let place = place();
    let ran = place.run(&["explain", "--anonymous", "--from", "192.0.2.1", "pull", "public/x"]);
    let out = ran.out(1);
    assert!(out.starts_with("denied: anonymous, pull public/x, GET\n"), "{out}");
    assert!(out.contains(&format!("   {} allow: `from` does not hold 192.0.2.1", line(&place, 1))), "{out}");
    assert!(out.contains("hint: what no [[access]] rule allows is denied"), "{out}");
    place.run(&["explain", "--anonymous", "--from", "10.1.2.3", "pull", "public/x"]).out(0);
    let unknown = place.run(&["explain", "pull", "public/x"]);
    assert!(unknown.out(1).contains("the client's address is not known"), "{unknown:#?}");
}

#[test]
fn an_upload_is_two_questions() {
    let place = place();
    let ran = place.run(&["explain", "--user", "alice", "--from", "192.0.2.1", "push", "public/x"]);
    let out = ran.out(1);
    assert!(out.contains("\npush: allowed\n") && out.contains("\npull: not allowed by any rule\n"), "{out}");
}

#[test]
fn issue_and_use_are_told_apart_where_they_differ() {
    let place = place();
    let frozen = ["explain", "--user", "alice", "--reference", "v1", "push", "alice/frozen"];
    let ran = place.run(&frozen);
    let out = ran.out(1);
    assert!(out.contains("push, when a token is issued (it carries it): allowed"), "{out}");
    assert!(out.contains("push, when it is used: denied"), "{out}");
    assert!(out.contains(&format!("=> {} deny: denies", line(&place, 3))), "{out}");
    let mut other = frozen;
    other[4] = "v2";
    place.run(&other).out(0);

    let ran = place.run(&["explain", "--user", "alice", "push", "put/x"]);
    let out = ran.out(1);
    assert!(out.contains("when a token is issued (it does not carry it): not allowed by any rule"), "{out}");
    assert!(out.contains("note: no token is issued for it, but Basic credentials"), "{out}");
    let ran = place.run(&["explain", "--user", "alice", "--method", "patch", "push", "put/x"]);
    assert!(!ran.out(1).contains("Basic credentials"), "{ran:#?}");
}

#[test]
fn groups_come_from_the_configuration_unless_they_are_given() {
    let place = place();
    place.run(&["explain", "--user", "alice", "catalog", "catalog"]).out(0);
    let ran = place.run(&["explain", "--user", "alice", "--group", "x", "catalog", "catalog"]);
    let out = ran.out(1);
    assert!(out.contains("the groups are those of --group; by the configuration alice is in dev, ops"), "{out}");
    let ran = place.run(&["explain", "--user", "zoe", "catalog", "catalog"]);
    assert!(ran.out(0).contains("no member of the [[authn]] chain knows zoe"), "{ran:#?}");
    let ran = place.run(&["explain", "--user", "Admin", "catalog", "catalog"]);
    assert!(ran.out(1).contains("nobody can log in as Admin"), "{ran:#?}");
}

#[test]
fn users_of_an_htpasswd_file_are_found() {
    let place = place();
    place.configure(&format!("{RULES}[[authn]]\nkind = 'htpasswd'\nfile = 'passwords'\n"));
    place.write("passwords", "zoe:$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\n");
    let ran = place.run(&["explain", "--user", "zoe", "--json", "catalog", "catalog"]);
    let json: Value = serde_json::from_str(ran.out(0)).unwrap();
    assert_eq!((&json["document"]["authn"], &json["document"]["groups"][0]), (&"htpasswd".into(), &"ops".into()));
    assert_eq!(json["notes"], serde_json::json!([]));
    assert!(!ran.out.contains("N9qo8uLOickgx2ZMRZoMye"));
}

#[test]
fn api_paths_are_judged_by_route_and_method() {
    let place = place();
    let ask = |action: &'static str, path: &'static str| place.run(&["explain", "--user", "alice", action, path]);
    ask("GET", "/pulp/api/v3/").out(0);
    ask("read", "/pulp/api/v3/").out(0);
    ask("head", "/pulp/x").out(0);
    assert!(ask("post", "/pulp/x").out(1).contains("is about other methods"));
    ask("write", "/pulp/x").out(1);
    assert!(ask("write", "/pulp/assets/x").out(0).contains("is public"));
    assert!(ask("GET", "/other").out(1).contains("no [[route]] covers this path"));
    assert!(ask("GET", "/pulper").out(1).contains("no [[route]] covers this path"));
    let ran = ask("PUT", "/v2/team/app/manifests/latest");
    assert!(ran.err(2).contains("hint: tidegate explain … --method PUT push team/app"), "{ran:#?}");
    assert!(ask("GET", "/pulp/../x").err(2).contains("is refused whoever asks"));
    assert!(ask("pull", "/pulp/x").err(2).contains("pull goes with a repository"));
    assert!(ask("TRACE", "/pulp/x").err(2).contains("is no method that is forwarded"));
    let ran = place.run(&["explain", "--method", "POST", "read", "/pulp/x"]);
    assert!(ran.err(2).contains("POST does not read"), "{ran:#?}");
}

#[test]
fn the_endpoints_of_a_pulp_have_their_own_ways() {
    let place = place();
    let text = place.read("gateway.toml").replace("[[upstream]]\n", "[[upstream]]\nkind = 'pulp'\n");
    place.write("gateway.toml", &text);
    let ask = |args: &[&str]| place.run(&[&["explain"], args].concat());
    assert!(ask(&["--anonymous", "GET", "/pulp/api/v3/status/"]).out(0).contains("everybody may read this"));
    ask(&["--anonymous", "POST", "/pulp/api/v3/status/"]).out(1);
    assert!(ask(&["--user", "alice", "GET", "/pulp/api/v3/login/"]).out(1).contains("Pulp's own way to log in"));
    ask(&["--user", "alice", "GET", "/pulp/api/v3/"]).out(0);
}

#[test]
fn json_holds_all_of_it() {
    let place = place();
    let ran = place.run(&["explain", "--json", "--user", "alice", "--reference", "v1", "push", "alice/frozen"]);
    let json: Value = serde_json::from_str(ran.out(1)).unwrap();
    assert_eq!(json["allowed"], false);
    assert_eq!(json["document"]["request"]["reference"], "v1");
    let push = &json["questions"][0];
    assert_eq!((&push["action"], &push["issue"]["decision"]), (&"push".into(), &"allowed".into()));
    assert_eq!(push["use"]["decision"], "denied");
    let rules = push["use"]["rules"].as_array().unwrap();
    let deny = rules.iter().find(|rule| rule["decides"] == true).unwrap();
    assert_eq!((&deny["effect"], &deny["file"]), (&"deny".into(), &"gateway.toml".into()));
    assert_eq!(json["questions"][1]["action"], "pull");
}

#[test]
fn what_cannot_be_asked_is_said() {
    let place = place();
    let ask = |args: &[&str]| place.run(&[&["explain"], args].concat());
    assert!(ask(&["fetch", "a"]).err(2).contains("\"fetch\" is nothing that can be done to a repository"));
    assert!(ask(&["pull", "Team/App"]).err(2).contains("is no repository name"));
    assert!(ask(&["catalog", "team"]).err(2).contains("the resource `catalog` only"));
    assert!(ask(&["--service", "x", "pull", "a"]).err(2).contains("hint: they are 127.0.0.1:5000"));
    assert!(ask(&["--user", "a", "--anonymous", "pull", "a"]).err(2).contains("cannot be used with"));
    assert!(ask(&["--from", "home", "pull", "a"]).err(2).contains("--from"));
    // A public route `/` does not open the registry.
    let text = place.read("gateway.toml").replace("'/v2/'", "'/v2/team/'").replace("'/pulp/assets/'", "'/'");
    place.write("gateway.toml", &text);
    ask(&["GET", "/elsewhere"]).out(0);
    assert!(ask(&["GET", "/v2/a/tags/list"]).out(1).contains("no [[route]] covers this path"));
    // A repository may be called so.
    ask(&["pull", "catalog"]).out(1);
}
