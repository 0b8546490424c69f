//! Each entry of `docker_auth`'s documented reference rule set, as a rule of ours. `docs/rules.md` shows the same rules.

use super::support::{catalog, grant, grant_from, known, rule, rules};
use crate::authz::{Rule, Rules};
use crate::subject::Caller;

fn reference() -> Rules {
    let mut inside = rule("allow", &["authenticated"], &["internal/**"], "pull,push");
    inside.from = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let mut main_only = rule("allow", &["group:ci"], &["release/**"], "pull,push");
    main_only.when = Some(crate::jq::Predicate::compile(r#".claims.ref == "refs/heads/main""#).unwrap());
    rules(vec![
        rule("allow", &["user:admin-*", "group:admins"], &["**"], "pull,push,delete"),
        catalog("allow", &["group:admins"]),
        rule("allow", &["user:test"], &["test-*"], "pull,push,delete"),
        but_test(rule("allow", &["authenticated"], &["${user}/**"], "pull,push,delete")),
        but_test(rule("allow", &["authenticated"], &["**"], "pull")),
        rule("allow", &["anonymous"], &["hello-world"], "pull"),
        inside,
        rule("allow", &["authenticated"], &["${group}/**"], "pull,push"),
        rule("allow", &["authenticated"], &["${group}-shared/*"], "pull,push"),
        main_only,
    ])
}

fn but_test(mut rule: Rule) -> Rule {
    rule.except_who = vec!["user:test".parse().unwrap()];
    rule
}

#[test]
fn admins_do_everything() {
    let all = reference();
    let root = known("root", &["admins"]);
    assert_eq!(grant(&all, &root, "repository:any/thing:*"), "repository:any/thing:pull,push,delete");
    assert_eq!(grant(&all, &root, "registry:catalog:*"), "registry:catalog:*");
    assert_eq!(grant(&all, &known("admin-1", &[]), "repository:x:*"), "repository:x:pull,push,delete");
    assert_eq!(grant(&all, &known("admin-1", &[]), "registry:catalog:*"), "");
}

#[test]
fn everyone_has_a_namespace_of_their_own() {
    let all = reference();
    let alice = known("alice", &[]);
    assert_eq!(grant(&all, &alice, "repository:alice/app:*"), "repository:alice/app:pull,push,delete");
    assert_eq!(grant(&all, &alice, "repository:bob/app:*"), "repository:bob/app:pull");
    assert_eq!(grant(&all, &alice, "repository:alice:*"), "repository:alice:pull");
}

#[test]
fn test_is_confined_to_test_repositories() {
    let all = reference();
    let test = known("test", &[]);
    assert_eq!(grant(&all, &test, "repository:test-1:*"), "repository:test-1:pull,push,delete");
    for other in ["tes", "test-1/x", "test", "other", "test/app", "hello-world"] {
        assert_eq!(grant(&all, &test, &format!("repository:{other}:*")), "", "{other}");
    }
}

#[test]
fn all_who_are_logged_in_pull() {
    let all = reference();
    assert_eq!(grant(&all, &known("eve", &[]), "repository:any/thing:pull,push"), "repository:any/thing:pull");
    assert_eq!(grant(&all, &Caller::Anonymous, "repository:any/thing:pull"), "");
}

#[test]
fn anonymous_callers_pull_hello_world() {
    let all = reference();
    assert_eq!(grant(&all, &Caller::Anonymous, "repository:hello-world:pull,push"), "repository:hello-world:pull");
    assert_eq!(grant(&all, &Caller::Anonymous, "repository:hello-world/x:pull"), "");
}

#[test]
fn addresses_open_internal_repositories() {
    let all = reference();
    let eve = known("eve", &[]);
    let scope = "repository:internal/x:pull,push";
    assert_eq!(grant_from(&all, &eve, Some("10.1.2.3"), scope), scope);
    assert_eq!(grant_from(&all, &eve, Some("2001:db8::7"), scope), scope);
    assert_eq!(grant_from(&all, &eve, Some("192.0.2.1"), scope), "repository:internal/x:pull");
}

#[test]
fn groups_share_repositories() {
    let all = reference();
    let alice = known("alice", &["dev", "qa"]);
    assert_eq!(grant(&all, &alice, "repository:dev/a:pull,push"), "repository:dev/a:pull,push");
    assert_eq!(grant(&all, &alice, "repository:qa-shared/a:pull,push"), "repository:qa-shared/a:pull,push");
    assert_eq!(grant(&all, &alice, "repository:qa-shared/a/b:pull,push"), "repository:qa-shared/a/b:pull");
    assert_eq!(grant(&all, &alice, "repository:ops-shared/a:pull,push"), "repository:ops-shared/a:pull");
}

#[test]
fn claims_narrow_a_rule() {
    let all = reference();
    let with_ref = |name: &str| {
        let Caller::Known(subject) = known("ci", &["ci"]) else { panic!() };
        let mut subject = (*subject).clone();
        subject.claims.insert("ref".into(), name.into());
        Caller::Known(subject.into())
    };
    let scope = "repository:release/x:pull,push";
    assert_eq!(grant(&all, &with_ref("refs/heads/main"), scope), scope);
    assert_eq!(grant(&all, &with_ref("refs/heads/other"), scope), "repository:release/x:pull");
}
