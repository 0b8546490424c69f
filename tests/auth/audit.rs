//! The audit log: one line for each decision, each token and each log-in that failed, with who, what, from where, with
//! which result and why.

use serde_json::{Value, json};

use crate::jwt::claims;
use crate::setup::{ALICE, BOB, CAROL, DIGEST, RULES, Site, USERS};
use crate::support::http::{Reply, Request};

const MORE: &str = r#"
[[access]]
who = ["anyone"]
repositories = ["**"]
actions = ["push"]
effect = "deny"
when = '.request.reference == "frozen"'

[[access]]
who = ["group:ops"]
paths = ["/api/**"]
methods = ["*"]

[[route]]
prefix = "/api/"
upstream = "registry"
auth = "api"

[identity]
filter = '{identity: {user: {username: (if .request.reference == "odd" then .subject.x else .subject end)}}}'
"#;

fn site() -> Site {
    Site::with(|settings, _| {
        settings.server = "trusted_proxies = [\"127.0.0.0/8\"]".into();
        settings.rest = format!("{USERS}{RULES}{MORE}");
    })
}

/// Where the rule stands whose section holds `text`, as the log names it.
fn rule(site: &Site, text: &str) -> String {
    let config = std::fs::read_to_string(&site.gateway.config).unwrap();
    let before = &config[..config.find(text).unwrap()];
    let line = before[..before.rfind("[[access]]").unwrap()].lines().count() + 1;
    format!("{}:{line}", site.gateway.config.display())
}

/// What is asked, and what the audit log is to say of it.
struct Case {
    request: Request,
    status: u16,
    expected: Value,
}

fn put(site: &Site, target: &str) -> Request {
    site.request("PUT", target).body(b"{}")
}

fn cases(site: &Site, token: &str) -> Vec<Case> {
    let host = site.gateway.host();
    let (own, shared) = (rule(site, "\"${user}/**\""), rule(site, "\"shared/**\""));
    let (public, frozen) = (rule(site, "\"public/**\""), rule(site, "\"frozen\""));
    let (catalog, api) = (rule(site, "registry = "), rule(site, "\"/api/**\""));
    let alice = json!({"subject": "alice", "groups": ["dev"], "authn": "users", "service": host});
    let of = |who: &Value, more: Value| {
        let mut expected = who.clone();
        expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        expected
    };
    let bob = json!({"subject": "bob", "groups": [], "authn": "users", "service": host});
    let carol = json!({"subject": "carol", "groups": ["ops"], "authn": "users", "service": host});
    let nobody = json!({"subject": null, "service": host});
    let jti = claims(token)["jti"].clone();
    let decision = |action: &str, resource: &str, requested: &str, result: &str, why: &str| json!({"event": "decision", "action": action, "resource": resource, "requested": requested, "result": result, "why": why});
    let case = |request: Request, status, expected| Case { request, status, expected };
    let with_id = |mut value: Value| {
        value["token_id"] = jti.clone();
        value
    };
    let mount =
        |source: &str| site.request("POST", &format!("/v2/alice/app/blobs/uploads/?mount={DIGEST}&from={source}"));
    let pull = |name: &str| format!("repository:{name}:pull");
    let push = "repository:alice/app:pull,push";
    let mounted = |source: &str| format!("{push} {}", pull(source));
    let no_rule = "not allowed by any rule";
    let filter = "no identity header:";
    vec![
        // Log-ins that fail.
        case(
            site.get("/token").basic("alice", "wrong"),
            401,
            json!({"event": "login", "subject": null, "claimed": "alice", "action": "token", "resource": "/token", "result": "denied",
                   "why": "incorrect username or password"}),
        ),
        case(
            site.get("/v2/").basic("mallory", "wrong"),
            401,
            json!({"event": "login", "subject": null, "claimed": "mallory", "action": "ping", "result": "denied",
                   "why": "incorrect username or password"}),
        ),
        case(
            site.get("/v2/alice/app/manifests/v1").bearer("a.b.c"),
            401,
            json!({"event": "login", "subject": null, "action": "manifest.get", "resource": "alice/app", "result": "denied",
                   "why": "invalid token: the token's header is not canonical Base64url"}),
        ),
        // Tokens.
        case(
            site.get("/token?scope=repository:alice/x:pull,push").basic(ALICE.0, ALICE.1),
            200,
            of(
                &alice,
                json!({"event": "token", "action": "token", "requested": "repository:alice/x:pull,push",
                "granted": "repository:alice/x:pull,push", "result": "allowed", "why": own}),
            ),
        ),
        case(
            site.get("/token?scope=repository:shared/x:pull,push+repository:bob/x:pull").basic(ALICE.0, ALICE.1),
            200,
            of(
                &alice,
                json!({"event": "token", "action": "token", "requested": "repository:bob/x:pull repository:shared/x:pull,push",
                "granted": "repository:shared/x:pull", "result": "reduced", "why": shared}),
            ),
        ),
        case(
            site.get("/token?scope=repository:alice/x:pull").basic(BOB.0, BOB.1),
            200,
            of(
                &bob,
                json!({"event": "token", "action": "token", "requested": "repository:alice/x:pull", "granted": "",
                "result": "reduced", "why": "no rule allows it"}),
            ),
        ),
        case(
            site.get("/token?scope=repository:public/x:pull"),
            200,
            of(
                &nobody,
                json!({"event": "token", "action": "token", "granted": "repository:public/x:pull", "result": "allowed", "why": public}),
            ),
        ),
        // Decisions.
        case(
            site.get("/v2/alice/app/manifests/v1").bearer(token),
            200,
            with_id(of(&alice, decision("manifest.get", "alice/app", &pull("alice/app"), "allowed", &own))),
        ),
        case(
            site.get("/v2/alice/app/manifests/v1").bearer(token),
            200,
            with_id(of(&alice, decision("manifest.get", "alice/app", &pull("alice/app"), "allowed", &own))),
        ),
        case(
            put(site, "/v2/alice/app/manifests/frozen").bearer(token),
            401,
            with_id(of(&alice, decision("manifest.put", "alice/app", push, "denied", &frozen))),
        ),
        case(
            site.request("DELETE", "/v2/alice/app/manifests/v1").bearer(token),
            401,
            with_id(of(
                &alice,
                decision(
                    "manifest.delete",
                    "alice/app",
                    "repository:alice/app:delete",
                    "denied",
                    "the token does not grant what this needs",
                ),
            )),
        ),
        case(
            mount("shared/lib").bearer(token),
            200,
            with_id(of(
                &alice,
                decision("upload.mount", "alice/app", &mounted("shared/lib"), "allowed", &format!("{own}, {shared}")),
            )),
        ),
        case(
            mount("bob/lib").bearer(token),
            200,
            with_id(of(&alice, decision("upload.mount", "alice/app", &mounted("bob/lib"), "reduced", &own))),
        ),
        case(
            site.get("/v2/shared/x/tags/list").basic(BOB.0, BOB.1),
            200,
            of(&bob, decision("tags.get", "shared/x", &pull("shared/x"), "allowed", &shared)),
        ),
        case(
            put(site, "/v2/shared/x/manifests/v1").basic(BOB.0, BOB.1),
            403,
            of(&bob, decision("manifest.put", "shared/x", "repository:shared/x:pull,push", "denied", no_rule)),
        ),
        case(
            site.get("/v2/public/x/manifests/v1"),
            200,
            of(&nobody, decision("manifest.get", "public/x", &pull("public/x"), "allowed", &public)),
        ),
        case(
            site.get("/v2/alice/app/manifests/v1"),
            401,
            of(&nobody, decision("manifest.get", "alice/app", &pull("alice/app"), "denied", no_rule)),
        ),
        case(
            site.get("/v2/alice/app/manifests/v1"),
            401,
            of(&nobody, decision("manifest.get", "alice/app", &pull("alice/app"), "denied", no_rule)),
        ),
        case(
            site.get("/v2/_catalog").basic(CAROL.0, CAROL.1),
            200,
            of(
                &carol,
                json!({"event": "decision", "action": "catalog.get", "requested": "registry:catalog:*", "result": "allowed", "why": catalog}),
            ),
        ),
        case(
            site.request("DELETE", "/api/things/1?x=y").basic(CAROL.0, CAROL.1),
            200,
            of(
                &carol,
                json!({"event": "decision", "action": "api", "resource": "/api/things/1", "result": "allowed", "why": api}),
            ),
        ),
        case(
            site.get("/api/things").basic(BOB.0, BOB.1),
            403,
            of(
                &bob,
                json!({"event": "decision", "action": "api", "resource": "/api/things", "result": "denied", "why": no_rule}),
            ),
        ),
        // Allowed, and not carried out.
        case(
            site.get("/v2/alice/app/manifests/odd").bearer(token),
            500,
            with_id(of(
                &alice,
                json!({"event": "decision", "action": "manifest.get", "resource": "alice/app", "result": "failed", "why": filter}),
            )),
        ),
    ]
}

#[test]
fn every_decision_token_and_failed_log_in_is_written_down_once() {
    let mut site = site();
    let token = site.token(Some(ALICE), &["repository:alice/app:pull,push", "repository:shared/lib:pull"]);
    let cases = cases(&site, &token);
    let mut expected = Vec::new();
    for (n, Case { request, status, expected: line }) in cases.into_iter().enumerate() {
        let (id, address) = (format!("case-{n}"), format!("198.51.100.{n}"));
        let reply: Reply = request.header("X-Request-Id", &id).header("X-Forwarded-For", &address).send();
        assert_eq!(reply.status, status, "{line}");
        let mut line = line;
        line["request_id"] = id.into();
        line["client"] = address.into();
        expected.push(line);
    }
    // What is decided about nothing leaves no line.
    site.get("/v2/").header("X-Request-Id", "ping").send().expect(401);
    site.get("/v2/").bearer(&token).header("X-Request-Id", "ping").send().expect(200);
    site.get("/v2/UPPER/tags/list").header("X-Request-Id", "malformed").send().expect(400);
    site.get("/.well-known/jwks.json").header("X-Request-Id", "keys").send().expect(200);

    site.gateway.stop();
    let log = site.gateway.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).cloned().collect::<Vec<_>>();
    let (audit, requests) = (of("audit"), of("request"));
    for expected in &expected {
        let id = &expected["request_id"];
        let found: Vec<&Value> = audit.iter().filter(|line| line["request_id"] == *id).collect();
        assert_eq!(found.len(), 1, "{expected}: {found:?}");
        for (name, value) in expected.as_object().unwrap() {
            let is = &found[0][name];
            let same = if name == "why" && value.as_str().unwrap().ends_with(':') {
                is.as_str().unwrap().starts_with(value.as_str().unwrap())
            } else {
                is == value
            };
            assert!(same, "{name} is {is}, not {value}, in {}", found[0]);
        }
        assert!(found[0]["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(requests.iter().filter(|line| line["request_id"] == *id).count(), 1, "{expected}");
    }
    // The token that was fetched first, and nothing else.
    assert_eq!(audit.len(), expected.len() + 1, "{audit:#?}");
    assert_eq!(requests.len(), expected.len() + 5);
}

#[test]
fn lines_go_to_files_where_that_is_said() {
    let mut site = Site::with(|settings, _| {
        settings.rest.push_str("\n[log]\nrequests = \"off\"\naudit = { file = \"audit.log\" }\nformat = \"human\"\n");
    });
    site.get("/v2/public/x/manifests/v1").send().expect(200);
    site.gateway.stop();
    let audit = std::fs::read_to_string(site.dir.path().join("audit.log")).unwrap();
    assert_eq!(audit.lines().count(), 1, "{audit}");
    assert!(
        audit.contains(" audit request_id=") && audit.contains(" event=decision ") && audit.contains("result=allowed")
    );
    let log = site.gateway.log();
    assert!(!log.contains("event=decision") && !log.contains("request_id="), "{log}");
}
