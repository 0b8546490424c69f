//! What a permit is given for.

use http::Method;

use super::support::{catalog, known, path, rule, rules};
use crate::authz::{
    Decision, Methods, PathRequest, Permit, Permitted, Refusal, Request, Rules, authorize, authorize_api,
    depends_on_client, permit_public,
};
use crate::document::RequestAction;
use crate::registry::path::RequestPath;
use crate::registry::query::Query;
use crate::registry::{AccessSet, Action, Actions, Operation, RepositoryName, Resource};
use crate::subject::Caller;
use crate::token::ApiScope;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn operation(method: &Method, path: &str, query: Option<&str>) -> Operation {
    Operation::parse(method, path, query).unwrap()
}

fn request<'a>(operation: Operation, caller: &'a Caller, granted: Option<&'a AccessSet>) -> Request<'a> {
    Request { operation, caller, granted, service: "registry.example", client: None, mounts_allowed: true }
}

fn access(scopes: &[(&str, &str)]) -> AccessSet {
    let mut set = AccessSet::default();
    for (name, actions) in scopes {
        let actions: Actions = actions.split(',').map(|action| action.parse::<Action>().unwrap()).collect();
        set.insert(Resource::Repository(RepositoryName::parse(name).unwrap()), actions);
    }
    set
}

fn printed(refusal: &Refusal) -> Vec<String> {
    match refusal {
        Refusal::InsufficientScope { needed } | Refusal::Denied { needed, .. } => {
            needed.iter().map(ToString::to_string).collect()
        }
        Refusal::InsufficientApiScope(needed) => vec![needed.to_string()],
        Refusal::Ping => Vec::new(),
    }
}

fn everything() -> Rules {
    rules(vec![rule("allow", &["anyone"], &["**"], "pull,push,delete")])
}

#[test]
fn both_the_token_and_the_rules_must_allow() {
    let alice = known("alice", &[]);
    let pull = || operation(&Method::GET, "/v2/team/app/manifests/v1", None);
    let enough = access(&[("team/app", "pull")]);
    let other = access(&[("team/other", "pull,push,delete")]);
    let none = rules(vec![]);

    assert!(authorize(&everything(), request(pull(), &alice, Some(&enough))).is_ok());
    assert!(authorize(&everything(), request(pull(), &alice, None)).is_ok());
    let refusal = authorize(&everything(), request(pull(), &alice, Some(&other))).unwrap_err();
    assert!(matches!(refusal, Refusal::InsufficientScope { .. }));
    assert_eq!(printed(&refusal), ["repository:team/app:pull"]);
    for granted in [Some(&enough), None] {
        let refusal = authorize(&none, request(pull(), &alice, granted)).unwrap_err();
        assert!(matches!(refusal, Refusal::Denied { decision: Decision::NoRule, .. }), "{refusal:?}");
        assert_eq!(printed(&refusal), ["repository:team/app:pull"]);
    }
}

#[test]
fn each_operation_needs_what_the_table_says() {
    let alice = known("alice", &[]);
    for (method, path, query, enough, lacking) in [
        (Method::GET, "/v2/a/manifests/v1", None, "pull", "push,delete"),
        (Method::HEAD, "/v2/a/tags/list", None, "pull", "push,delete"),
        (Method::PUT, "/v2/a/manifests/v1", None, "pull,push", "push,delete"),
        (Method::PUT, "/v2/a/manifests/v1", None, "pull,push", "pull,delete"),
        (Method::POST, "/v2/a/blobs/uploads/", None, "pull,push", "pull,delete"),
        (Method::DELETE, "/v2/a/blobs/uploads/x", None, "pull,push", "delete"),
        (Method::DELETE, "/v2/a/manifests/v1", None, "delete", "pull,push"),
    ] {
        let operation = || operation(&method, path, query);
        let by_token = |actions| {
            let granted = access(&[("a", actions)]);
            authorize(&everything(), request(operation(), &alice, Some(&granted))).is_ok()
        };
        let by_rule = |actions| {
            let one = rules(vec![rule("allow", &["anyone"], &["a"], actions)]);
            authorize(&one, request(operation(), &alice, None)).is_ok()
        };
        assert!(by_token(enough) && by_rule(enough), "{method} {path} with {enough}");
        assert!(!by_token(lacking) && !by_rule(lacking), "{method} {path} with {lacking}");
    }
}

#[test]
fn the_catalog_needs_its_own_rule_and_scope() {
    let root = known("root", &[]);
    let list = || operation(&Method::GET, "/v2/_catalog", Some("n=10"));
    let all = rules(vec![catalog("allow", &["user:root"])]);
    let granted: AccessSet =
        [crate::registry::Scope { resource: Resource::Catalog, actions: Actions::ALL }].into_iter().collect();
    let permit = authorize(&all, request(list(), &root, Some(&granted))).unwrap();
    assert_eq!(permit.facts().unwrap().action, RequestAction::Catalog);
    assert_eq!(
        printed(&authorize(&all, request(list(), &root, Some(&AccessSet::default()))).unwrap_err()),
        ["registry:catalog:*"]
    );
    assert!(authorize(&everything(), request(list(), &root, None)).is_err());
}

#[test]
fn the_ping_is_never_forwarded() {
    let ping = operation(&Method::GET, "/v2/", None);
    assert_eq!(authorize(&everything(), request(ping, &known("a", &[]), None)).unwrap_err(), Refusal::Ping);
}

fn mount(rules: &Rules, granted: Option<&AccessSet>, mounts_allowed: bool) -> Result<bool, Refusal> {
    let alice = known("alice", &[]);
    let query = format!("mount={DIGEST}&from=secret/repo");
    let operation = operation(&Method::POST, "/v2/team/app/blobs/uploads/", Some(&query));
    let request = Request { mounts_allowed, ..request(operation, &alice, granted) };
    let permit = authorize(rules, request)?;
    let Permitted::Registry(operation) = permit.permitted() else { panic!() };
    let mounts = operation.mount_source().is_some();
    assert_eq!(operation.path_and_query().contains("secret"), mounts);
    Ok(mounts)
}

#[test]
fn a_mount_reads_its_source_or_becomes_an_upload() {
    let both = access(&[("team/app", "pull,push"), ("secret/repo", "pull")]);
    let target = access(&[("team/app", "pull,push")]);
    assert_eq!(mount(&everything(), Some(&both), true), Ok(true));
    assert_eq!(mount(&everything(), None, true), Ok(true));
    assert_eq!(mount(&everything(), Some(&both), false), Ok(false));
    assert_eq!(mount(&everything(), Some(&target), true), Ok(false));
    let own = rules(vec![rule("allow", &["anyone"], &["team/**"], "pull,push")]);
    assert_eq!(mount(&own, Some(&both), true), Ok(false));
    assert_eq!(mount(&own, None, true), Ok(false));
    let elsewhere = rules(vec![rule("allow", &["anyone"], &["secret/**"], "pull,push")]);
    let refusal = mount(&elsewhere, None, true).unwrap_err();
    assert_eq!(printed(&refusal), ["repository:team/app:pull,push", "repository:secret/repo:pull"]);
}

#[test]
fn rules_see_each_reference_that_is_written() {
    let mut deny = rule("deny", &["anyone"], &["**"], "push");
    deny.when = Some(crate::jq::Predicate::compile(r#".request.reference == "latest""#).unwrap());
    let all = rules(vec![deny, rule("allow", &["anyone"], &["**"], "pull,push")]);
    let alice = known("alice", &[]);
    let allowed =
        |path: &str, query| authorize(&all, request(operation(&Method::PUT, path, query), &alice, None)).is_ok();
    assert!(allowed("/v2/a/manifests/v1", None));
    assert!(!allowed("/v2/a/manifests/latest", None));
    let by_digest = format!("/v2/a/manifests/{DIGEST}");
    assert!(allowed(&by_digest, Some("tag=v1")));
    assert!(!allowed(&by_digest, Some("tag=v1&tag=latest")));
}

#[test]
fn a_permit_knows_its_document_and_its_rules() {
    let all = rules(vec![
        rule("allow", &["anyone"], &["team/*"], "pull"),
        rule("allow", &["user:alice"], &["**"], "push"),
        rule("allow", &["user:bob"], &["**"], "push"),
    ]);
    let alice = known("alice", &[]);
    let permit =
        authorize(&all, request(operation(&Method::PUT, "/v2/team/app/manifests/v1", None), &alice, None)).unwrap();
    assert_eq!(permit.rules(), [0, 1]);
    assert_eq!(permit.caller(), &alice);
    let document = serde_json::to_value(permit.document().unwrap()).unwrap();
    assert_eq!(document["subject"], "alice");
    assert_eq!(document["service"], "registry.example");
    assert_eq!(
        document["request"],
        serde_json::json!({"kind": "repository", "repository": "team/app", "reference": "v1", "action": "push", "method": "PUT"})
    );
}

fn path_request(method: Method, raw: &str) -> PathRequest {
    PathRequest { method, path: RequestPath::parse(raw).unwrap(), query: Query::parse(None).unwrap() }
}

fn api_rules() -> Rules {
    rules(vec![path("allow", &["user:alice"], &["/pulp/api/v3/**"], Methods::Any)])
}

#[test]
fn api_requests_are_judged_by_their_decoded_path() {
    let all = api_rules();
    let judge = |name: &str, raw: &str| -> Result<Permit, Refusal> {
        authorize_api(&all, path_request(Method::POST, raw), &known(name, &[]), None, "s", None)
    };
    let permit = judge("alice", "/pulp/%61pi/v3/users/").unwrap();
    assert_eq!(permit.facts().unwrap().path, Some("/pulp/api/v3/users/"));
    assert_eq!(permit.facts().unwrap().action, RequestAction::Write);
    assert!(matches!(permit.permitted(), Permitted::Api(_)));
    assert!(judge("bob", "/pulp/api/v3/users/").is_err());
    assert!(judge("alice", "/pulp/api/v3").is_err());
}

#[test]
fn public_requests_are_nobodys() {
    let permit = permit_public(path_request(Method::GET, "/assets/x"));
    assert_eq!(permit.caller(), &Caller::Anonymous);
    assert!(permit.document().is_none());
}

#[test]
fn dependence_on_the_address_is_known() {
    let mut office = rule("allow", &["anyone"], &["office/**"], "pull,push");
    office.from = vec!["10.0.0.0/8".parse().unwrap()];
    let all = rules(vec![office, rule("allow", &["anyone"], &["**"], "pull")]);
    let alice = known("alice", &[]);
    let depends = |path: &str| depends_on_client(&all, &request(operation(&Method::GET, path, None), &alice, None));
    assert!(depends("/v2/office/a/tags/list"));
    assert!(!depends("/v2/other/a/tags/list"));
}

#[test]
fn an_api_token_is_good_for_what_its_scopes_say_and_no_more_than_the_rules() {
    let all = api_rules();
    let judge = |name: &str, method: Method, scopes: &[ApiScope]| {
        let granted = Some(scopes.iter().copied().collect());
        authorize_api(&all, path_request(method, "/pulp/api/v3/users/"), &known(name, &[]), granted, "s", None)
    };
    let (read, write) = (ApiScope::Read, ApiScope::Write);
    assert!(judge("alice", Method::POST, &[read, write]).is_ok());
    assert!(judge("alice", Method::POST, &[write]).is_ok());
    assert!(judge("alice", Method::GET, &[read]).is_ok());
    assert_eq!(judge("alice", Method::POST, &[read]).unwrap_err(), Refusal::InsufficientApiScope(write));
    assert_eq!(judge("alice", Method::GET, &[write]).unwrap_err(), Refusal::InsufficientApiScope(read));
    assert_eq!(judge("alice", Method::GET, &[]).unwrap_err(), Refusal::InsufficientApiScope(read));
    assert!(matches!(judge("bob", Method::GET, &[read, write]).unwrap_err(), Refusal::Denied { .. }));
}
