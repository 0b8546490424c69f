//! What holds for all rules.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::support::{ask, known, rule, rules};
use crate::authz::{Decision, Effect, Rule, Rules, Stage};
use crate::subject::Caller;

/// The parts of a rule; rules themselves cannot be cloned.
type Parts = (&'static str, Vec<&'static str>, Vec<&'static str>, &'static str, Option<&'static str>);

fn parts() -> impl Strategy<Value = Parts> {
    let who = prop::sample::subsequence(
        vec!["anyone", "anonymous", "authenticated", "user:alice", "user:a*", "group:dev", "group:*", "user:*"],
        1..3,
    );
    let repositories = prop::sample::subsequence(
        vec!["**", "*", "x/**", "x/*", "${user}/**", "${group}/*", "x/y", "**/y", "${group}-shared/*"],
        1..3,
    );
    let when =
        prop::option::weighted(0.2, prop::sample::select(vec!["true", "false", "error", ".request.method == null"]));
    (
        prop::sample::select(vec!["allow", "allow", "deny"]),
        who,
        repositories,
        prop::sample::select(vec!["pull", "push", "pull,push", "pull,push,delete"]),
        when,
    )
}

fn build((effect, who, repositories, actions, when): &Parts) -> Rule {
    let mut built = rule(effect, who, repositories, actions);
    built.when = when.map(|text| crate::jq::Predicate::compile(text).unwrap());
    built
}

fn callers() -> impl Strategy<Value = Caller> {
    let name = prop::sample::select(vec!["alice", "bob", "*", "a/b", "a@b.com", "..", "x", "${user}"]);
    let groups = prop::sample::subsequence(vec!["dev", "x", "*", "a/b"], 0..3);
    prop_oneof![Just(Caller::Anonymous), (name, groups).prop_map(|(name, groups)| known(name, &groups))]
}

fn names() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["x", "x/y", "x/y/z", "alice/app", "a/b/app", "dev/app", "dev-shared/q", "b.com/x", "y"])
}

/// What the indexes must agree with: every rule, one after the other.
fn without_index(rules: &Rules, question: &crate::authz::Ask<'_>, stage: Stage) -> Decision {
    let case = crate::authz::decide::Case::new(question, stage);
    let matching = |effect| rules.rules().iter().any(|rule| rule.effect == effect && case.judge(rule).is_ok());
    match (matching(Effect::Deny), matching(Effect::Allow)) {
        (true, _) => Decision::Denied,
        (false, true) => Decision::Allowed,
        (false, false) => Decision::NoRule,
    }
}

proptest! {
    #[test]
    fn rules_decide_the_same_whatever_their_order(
        (given, shuffled) in prop::collection::vec(parts(), 0..8)
            .prop_flat_map(|given| (Just(given.clone()), Just(given).prop_shuffle())),
        caller in callers(), name in names(), action in prop::sample::select(vec!["pull", "push", "delete"]),
        issue in any::<bool>(),
    ) {
        let stage = if issue { Stage::Issue } else { Stage::Use };
        let question = ask(&caller, action, name);
        let (given, shuffled) = (rules(given.iter().map(build).collect()), rules(shuffled.iter().map(build).collect()));
        let decision = given.decide(&question, stage).decision;
        prop_assert_eq!(decision, shuffled.decide(&question, stage).decision);
        prop_assert_eq!(decision, without_index(&given, &question, stage));
        prop_assert_eq!(decision, given.explain(&question, stage).decision);
    }

    #[test]
    fn an_allow_never_takes_away_and_a_deny_never_adds(
        given in prop::collection::vec(parts(), 0..6), more in parts(),
        caller in callers(), name in names(), action in prop::sample::select(vec!["pull", "push", "delete"]),
    ) {
        let question = ask(&caller, action, name);
        let decide = |all: &[Parts]| rules(all.iter().map(build).collect()).decide(&question, Stage::Use);
        let before = decide(&given);
        let mut with = given;
        let is_allow = more.0 == "allow";
        with.push(more);
        let after = decide(&with);
        if is_allow {
            prop_assert!(!before.is_allowed() || after.is_allowed());
        } else {
            prop_assert!(before.is_allowed() || !after.is_allowed());
        }
    }

    #[test]
    fn a_deny_of_everything_leaves_nothing(
        given in prop::collection::vec(parts(), 0..6), caller in callers(), name in names(),
    ) {
        let mut all: Vec<_> = given.iter().map(build).collect();
        all.push(rule("deny", &["anyone"], &["**"], "pull,push,delete"));
        let all = rules(all);
        for action in ["pull", "push", "delete"] {
            prop_assert_eq!(all.decide(&ask(&caller, action, name), Stage::Use).decision, Decision::Denied);
        }
    }

    #[test]
    fn a_users_namespace_is_theirs_alone(owner in "[a-z*./@A-Z${}-]{1,8}", name in "[a-z]{1,3}(/[a-z]{1,3}){1,2}") {
        let Ok(parsed) = crate::subject::UserName::parse(&owner) else { return Ok(()) };
        let all = rules(vec![rule("allow", &["authenticated"], &["${user}/**"], "pull,push")]);
        let allowed = super::verdict(&all, &known(parsed.as_str(), &[]), "push", &name) == Decision::Allowed;
        let theirs = name.split_once('/').is_some_and(|(first, _)| first == owner);
        prop_assert_eq!(allowed, theirs);
        Result::<(), TestCaseError>::Ok(())?;
    }
}
