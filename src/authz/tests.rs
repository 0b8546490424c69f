//! The semantics of rules.

mod docker_auth;
mod permits;
mod properties;
mod support;

use http::Method;

use self::support::{ask, ask_path, catalog, grant, known, rule, rules, verdict};
use super::{Decision, Effect, Methods, Stage, lint};
use crate::subject::Caller;

#[test]
fn nothing_matches_and_nothing_is_granted() {
    let none = rules(vec![]);
    assert_eq!(verdict(&none, &known("alice", &[]), "pull", "a/b"), Decision::NoRule);
    assert_eq!(verdict(&none, &Caller::Anonymous, "pull", "a/b"), Decision::NoRule);
}

#[test]
fn a_deny_wins_wherever_it_stands() {
    let allow = || rule("allow", &["anyone"], &["**"], "pull,push,delete");
    let deny = || rule("deny", &["group:interns"], &["prod/**"], "push");
    for both in [rules(vec![allow(), deny()]), rules(vec![deny(), allow()])] {
        let intern = known("ida", &["interns"]);
        assert_eq!(verdict(&both, &intern, "push", "prod/app"), Decision::Denied);
        assert_eq!(verdict(&both, &intern, "pull", "prod/app"), Decision::Allowed);
        assert_eq!(verdict(&both, &intern, "push", "dev/app"), Decision::Allowed);
        assert_eq!(verdict(&both, &known("eve", &[]), "push", "prod/app"), Decision::Allowed);
    }
}

#[test]
fn the_deciding_rules_are_named() {
    let all = rules(vec![
        rule("allow", &["anyone"], &["a/*"], "pull"),
        rule("allow", &["authenticated"], &["**"], "pull"),
        rule("deny", &["user:bob"], &["a/b"], "pull"),
    ]);
    let decide = |name: &str| all.decide(&ask(&known(name, &[]), "pull", "a/b"), Stage::Use).rules;
    assert_eq!(decide("alice"), [0, 1]);
    assert_eq!(decide("bob"), [2]);
}

#[test]
fn exceptions_take_out() {
    let mut with = rule("allow", &["authenticated"], &["team/**"], "pull");
    with.except_who = vec!["group:guests".parse().unwrap()];
    support::except(&mut with, &["team/secret", "team/secret/**"]);
    let with = rules(vec![with]);
    let alice = known("alice", &[]);
    assert_eq!(verdict(&with, &alice, "pull", "team/app"), Decision::Allowed);
    assert_eq!(verdict(&with, &alice, "pull", "team/secret"), Decision::NoRule);
    assert_eq!(verdict(&with, &alice, "pull", "team/secret/x"), Decision::NoRule);
    assert_eq!(verdict(&with, &known("gus", &["guests"]), "pull", "team/app"), Decision::NoRule);
}

#[test]
fn anonymous_callers_are_matched_by_two_words_alone() {
    for (who, expected) in [
        ("anonymous", Decision::Allowed),
        ("anyone", Decision::Allowed),
        ("authenticated", Decision::NoRule),
        ("user:*", Decision::NoRule),
        ("group:*", Decision::NoRule),
    ] {
        let one = rules(vec![rule("allow", &[who], &["**"], "pull")]);
        assert_eq!(verdict(&one, &Caller::Anonymous, "pull", "a"), expected, "{who}");
    }
    let own = rules(vec![rule("allow", &["anyone"], &["${user}/**", "${group}/**"], "pull")]);
    assert_eq!(verdict(&own, &Caller::Anonymous, "pull", "anonymous/app"), Decision::NoRule);
}

#[test]
fn addresses_are_the_same_in_either_family() {
    let from = |networks: &[&str]| {
        let mut one = rule("allow", &["anyone"], &["**"], "pull");
        one.from = networks.iter().map(|network| network.parse().unwrap()).collect();
        rules(vec![one])
    };
    let inside = |all: &super::Rules, client: &str| {
        let mut ask = ask(&Caller::Anonymous, "pull", "a");
        ask.client = Some(client.parse().unwrap());
        all.decide(&ask, Stage::Use).is_allowed()
    };
    let four = from(&["10.0.0.0/8"]);
    assert!(inside(&four, "10.1.2.3") && inside(&four, "::ffff:10.1.2.3"));
    assert!(!inside(&four, "11.1.2.3") && !inside(&four, "::ffff:11.1.2.3") && !inside(&four, "::1"));
    let mapped = from(&["::ffff:10.0.0.0/104"]);
    assert!(inside(&mapped, "10.1.2.3") && inside(&mapped, "::ffff:10.1.2.3") && !inside(&mapped, "11.1.2.3"));
    let six = from(&["2001:db8::/32"]);
    assert!(inside(&six, "2001:db8::1") && !inside(&six, "10.0.0.1"));
    assert!(!four.decide(&ask(&Caller::Anonymous, "pull", "a"), Stage::Use).is_allowed(), "unknown address");
    assert!(four.reads_client_address(&ask(&Caller::Anonymous, "pull", "a")));
    let elsewhere = rules(vec![rule("allow", &["anyone"], &["**"], "pull")]);
    assert!(!elsewhere.reads_client_address(&ask(&Caller::Anonymous, "pull", "a")));
}

#[test]
fn a_deny_from_an_unknown_address_denies() {
    let mut deny = rule("deny", &["anyone"], &["**"], "pull");
    deny.from = vec!["10.0.0.0/8".parse().unwrap()];
    let both = rules(vec![deny, rule("allow", &["anyone"], &["**"], "pull")]);
    assert_eq!(verdict(&both, &Caller::Anonymous, "pull", "a"), Decision::Denied);
}

#[test]
fn predicates_narrow_and_their_failures_fall_to_the_safe_side() {
    let with = |effect, text| {
        let mut one = rule(effect, &["anyone"], &["**"], "pull");
        one.when = Some(crate::jq::Predicate::compile(text).unwrap());
        one
    };
    let decide = |one, all: bool| {
        let mut both = vec![one];
        if all {
            both.push(rule("allow", &["anyone"], &["**"], "pull"));
        }
        verdict(&rules(both), &known("alice", &["dev"]), "pull", "a")
    };
    assert_eq!(decide(with("allow", r#".subject == "alice""#), false), Decision::Allowed);
    assert_eq!(decide(with("allow", r#".subject == "bob""#), false), Decision::NoRule);
    assert_eq!(decide(with("deny", r#".subject == "bob""#), true), Decision::Allowed);
    for failing in ["error", "1", "null", "empty", "true, true", ".subject.x"] {
        assert_eq!(decide(with("allow", failing), false), Decision::NoRule, "{failing}");
        assert_eq!(decide(with("deny", failing), true), Decision::Denied, "{failing}");
    }
}

#[test]
fn what_is_known_only_at_use_is_judged_at_use() {
    let with = |effect, text| {
        let mut one = rule(effect, &["anyone"], &["**"], "pull,push");
        one.when = Some(crate::jq::Predicate::compile(text).unwrap());
        one
    };
    let alice = known("alice", &[]);
    let mut question = ask(&alice, "push", "a");
    question.facts.method = Some(&Method::PUT);
    question.facts.reference = Some("latest");

    let deny = rules(vec![
        with("deny", r#".request.reference == "latest""#),
        rule("allow", &["anyone"], &["**"], "pull,push"),
    ]);
    assert_eq!(deny.decide(&question, Stage::Issue).decision, Decision::Allowed);
    assert_eq!(deny.decide(&question, Stage::Use).decision, Decision::Denied);

    let allow = rules(vec![with("allow", r#".request.reference == "latest""#)]);
    assert_eq!(allow.decide(&question, Stage::Issue).decision, Decision::NoRule);
    assert_eq!(allow.decide(&question, Stage::Use).decision, Decision::Allowed);
    // An allow that would hold for null is skipped at issue all the same.
    let null = rules(vec![with("allow", ".request.method == null")]);
    assert_eq!(null.decide(&question, Stage::Issue).decision, Decision::NoRule);
}

#[test]
fn grants_are_per_action_and_never_more_than_was_asked() {
    let all = rules(vec![
        rule("allow", &["user:alice"], &["**"], "pull,push"),
        rule("deny", &["anyone"], &["ro/**"], "push"),
        catalog("allow", &["group:admins"]),
    ]);
    let alice = known("alice", &[]);
    assert_eq!(grant(&all, &alice, "repository:a:pull,push,delete"), "repository:a:pull,push");
    assert_eq!(
        grant(&all, &alice, "repository:ro/a:pull,push repository:b:pull"),
        "repository:b:pull repository:ro/a:pull"
    );
    assert_eq!(grant(&all, &alice, "registry:catalog:*"), "");
    assert_eq!(grant(&all, &known("root", &["admins"]), "registry:catalog:*"), "registry:catalog:*");
    assert_eq!(grant(&all, &Caller::Anonymous, "repository:a:pull"), "");
}

#[test]
fn api_paths_and_methods() {
    let all = rules(vec![
        support::path("allow", &["group:admins"], &["/pulp/api/v3/**"], Methods::Any),
        support::path(
            "allow",
            &["authenticated"],
            &["/pulp/api/v3/status/"],
            Methods::Only(vec![Method::GET, Method::HEAD, Method::OPTIONS]),
        ),
    ]);
    let decide =
        |caller: &Caller, method: &Method, path: &str| all.decide(&ask_path(caller, method, path), Stage::Use).decision;
    let (root, alice) = (known("root", &["admins"]), known("alice", &[]));
    assert_eq!(decide(&root, &Method::POST, "/pulp/api/v3/users/"), Decision::Allowed);
    assert_eq!(decide(&root, &Method::POST, "/pulp/api/v4/users/"), Decision::NoRule);
    assert_eq!(decide(&alice, &Method::GET, "/pulp/api/v3/status/"), Decision::Allowed);
    assert_eq!(decide(&alice, &Method::GET, "/pulp/api/v3/status"), Decision::NoRule);
    assert_eq!(decide(&alice, &Method::POST, "/pulp/api/v3/status/"), Decision::NoRule);
    assert_eq!(decide(&Caller::Anonymous, &Method::GET, "/pulp/api/v3/status/"), Decision::NoRule);
    // Rules about repositories say nothing about paths.
    let repositories = rules(vec![rule("allow", &["anyone"], &["**"], "pull,push,delete")]);
    assert_eq!(repositories.decide(&ask_path(&root, &Method::GET, "/x"), Stage::Use).decision, Decision::NoRule);
}

#[test]
fn few_and_many_rules_of_one_user_are_found_alike() {
    let alice = known("alice", &[]);
    for count in 1..24 {
        let pattern = |n: usize| format!("{}**", ["", "a/", "a/b/"][n % 3]);
        let many = rules((0..count).map(|n| rule("allow", &["user:alice"], &[&pattern(n)], "pull")).collect());
        for (name, prefixes) in [("a", 1), ("a/b", 2), ("a/b/c", 3), ("c/a", 1)] {
            let expected: Vec<usize> = (0..count).filter(|n| n % 3 < prefixes).collect();
            assert_eq!(many.candidates(&ask(&alice, "pull", name)), expected, "{count} {name}");
            assert!(many.candidates(&ask(&known("bob", &[]), "pull", name)).is_empty());
            assert!(many.candidates(&ask_path(&alice, &Method::GET, "/a")).is_empty());
        }
    }
}

#[test]
fn a_hundred_thousand_rules_are_not_scanned() {
    let mut many: Vec<_> = (0..100_000)
        .map(|n| match n % 4 {
            0 => rule("allow", &[&format!("user:u{n}")], &["${user}/**"], "pull"),
            1 => rule("allow", &[&format!("group:g{n}")], &["**"], "pull"),
            2 => rule("allow", &["authenticated"], &[&format!("project-{n}/**")], "pull"),
            _ => rule("allow", &["anyone"], &[&format!("p{n}-*/x")], "pull"),
        })
        .collect();
    many.push(rule("allow", &["user:alice"], &["here/*"], "pull"));
    let many = rules(many);
    let alice = known("alice", &["dev", "g1"]);
    let question = ask(&alice, "pull", "here/app");
    let candidates = many.candidates(&question);
    assert_eq!(candidates, [1, 100_000]);
    assert_eq!(many.decide(&question, Stage::Use).rules, [1, 100_000]);
    assert_eq!(many.decide(&ask(&alice, "pull", "project-6/x"), Stage::Use).rules, [1, 6]);
    assert_eq!(many.decide(&ask(&Caller::Anonymous, "pull", "p7-1/x"), Stage::Use).rules, [7]);
}

#[test]
fn explanations_name_rules_and_reasons() {
    let mut narrow = rule("allow", &["authenticated"], &["team/**"], "push");
    narrow.from = vec!["10.0.0.0/8".parse().unwrap()];
    let mut excepted = rule("allow", &["authenticated"], &["**"], "push");
    excepted.except_who = vec!["user:a*".parse().unwrap()];
    let all = rules(vec![
        rule("allow", &["user:bob"], &["team/**"], "push"),
        rule("allow", &["user:bob"], &["other/**"], "push"),
        rule("allow", &["user:a@b.com"], &["${user}/**"], "push"),
        narrow,
        excepted,
        rule("allow", &["authenticated"], &["team/**"], "pull"),
        rule("deny", &["user:a@b.com"], &["team/app"], "push"),
    ]);
    let explanation = all.explain(&ask(&known("a@b.com", &[]), "push", "team/app"), Stage::Use);
    assert_eq!(explanation.decision, Decision::Denied);
    assert_eq!(explanation.unfit_names, ["a@b.com"]);
    let reasons: Vec<_> = explanation.rules.iter().map(|rule| (rule.rule, rule.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (0, "is for `user:bob` only"),
            (2, "is about `${user}/**`; `a@b.com` is no component of a repository name, so no variable stands for it"),
            (3, "has `from`, and the client's address is not known"),
            (4, "`except_who` takes out `user:a*`"),
            (5, "is about pull"),
            (6, "denies, whatever other rules allow"),
        ]
    );
    let text = explanation.to_string();
    assert!(text.starts_with("denied\n"), "{text}");
    assert!(text.contains("=> gateway.toml:7: deny: denies"), "{text}");
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["decision"], "denied");
    assert_eq!(json["rules"][5]["line"], 7);
    assert_eq!(json["rules"][5]["effect"], "deny");
    assert_eq!(json["rules"][5]["decides"], true);

    let nothing = rules(vec![]).explain(&ask(&Caller::Anonymous, "pull", "a"), Stage::Issue);
    assert!(nothing.to_string().contains("no rule names"), "{nothing}");
}

#[test]
fn lints_are_certain() {
    let messages = |all: Vec<super::Rule>| -> Vec<String> { lint(&all).into_iter().map(|lint| lint.message).collect() };
    let one = |all: Vec<super::Rule>, part: &str| {
        let found = messages(all);
        assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}");
    };
    one(vec![rule("allow", &["user:a"], &["x/**"], "push")], "push without pull");
    one(vec![rule("allow", &["anonymous"], &["${user}/**"], "pull")], "never match");
    one(
        vec![rule("allow", &["user:a"], &["x/y"], "pull"), rule("deny", &["anyone"], &["x/*"], "pull,push")],
        "the deny at gateway.toml:0",
    );
    let mut excepted = rule("allow", &["user:a"], &["x"], "pull");
    excepted.except_who = vec!["authenticated".parse().unwrap()];
    one(vec![excepted], "never match");
    let mut excepted = rule("allow", &["user:a"], &["x/**"], "pull");
    support::except(&mut excepted, &["**"]);
    one(vec![excepted], "never match");
    let mut late = rule("allow", &["user:a"], &["x/**"], "pull");
    late.when = Some(crate::jq::Predicate::compile(r#".request.method == "GET""#).unwrap());
    one(vec![late], "null when a token is issued");

    let mut office = rule("deny", &["anyone"], &["**"], "pull,push");
    office.from = vec!["10.0.0.0/8".parse().unwrap()];
    for fine in [
        vec![rule("allow", &["user:a"], &["x/**"], "pull,push"), office],
        vec![rule("allow", &["user:a"], &["x/**"], "push"), rule("allow", &["anyone"], &["**"], "pull")],
        vec![rule("allow", &["user:a"], &["x/**"], "pull"), rule("deny", &["user:b"], &["**"], "pull")],
        vec![rule("allow", &["user:a"], &["x/**"], "pull,push"), rule("deny", &["anyone"], &["**"], "push")],
        vec![rule("allow", &["anyone"], &["${user}/**"], "pull")],
    ] {
        assert_eq!(messages(fine), Vec::<String>::new());
    }
    assert_eq!(rule("deny", &["anyone"], &["**"], "pull").effect, Effect::Deny);
}
