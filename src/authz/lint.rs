//! Rules that are correct and yet hardly what was meant.

use super::{Effect, Rule, Source, Target, Who};
use crate::registry::{Action, Actions};

/// A remark on one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// The rule.
    pub source: Source,
    /// What is remarkable, and what would be right.
    pub message: String,
}

/// Looks for rules that can never match, that a deny takes back altogether, that grant a push without a pull, and that
/// grant nothing when a token is issued. Says only what is certain.
pub fn lint(rules: &[Rule]) -> Vec<Lint> {
    let denies: Vec<_> = rules.iter().filter(|rule| rule.effect == Effect::Deny && is_plain(rule)).collect();
    let mut lints = Vec::new();
    for rule in rules {
        let mut say = |message: String| lints.push(Lint { source: rule.source.clone(), message });
        if let Some(why) = never_matches(rule) {
            say(format!("this rule can never match: {why}"));
            continue;
        }
        if rule.effect == Effect::Deny {
            continue;
        }
        if let Some(deny) = denies.iter().find(|deny| shadows(deny, rule)) {
            say(format!(
                "the deny at {}:{} takes back all that this rule allows; remove one of the two",
                deny.source.file, deny.source.line
            ));
            continue;
        }
        if rule.when.as_ref().is_some_and(crate::jq::Predicate::reads_use_only_facts) {
            say("`when` reads request.method or request.reference, which are null when a token is issued: this rule \
                 never puts anything into a token, and so helps only callers with Basic credentials or none; allow \
                 without them, and deny what is not wanted"
                .into());
        }
        if pushes_without_pull(rule, rules) {
            say("this rule allows push without pull, and clients ask for both to push; add \"pull\"".into());
        }
    }
    lints
}

fn never_matches(rule: &Rule) -> Option<String> {
    if let Some(except) = whole(&rule.except_who, &rule.who, covers_who) {
        return Some(format!("`except_who = [\"{except}\"]` takes out everyone it is for"));
    }
    let only_anonymous = rule.who.iter().all(|who| *who == Who::Anonymous);
    match &rule.target {
        Target::Repositories { patterns, except, actions } => {
            if actions.is_empty() {
                return Some("it has no actions".into());
            }
            if only_anonymous && patterns.iter().all(super::RepositoryPattern::has_variables) {
                return Some("variables stand for nobody when the caller is anonymous".into());
            }
            let covers = |wide: &super::RepositoryPattern, narrow: &super::RepositoryPattern| {
                wide.matches_all() || wide == narrow
            };
            whole(except, patterns, covers)
                .map(|except| format!("`except_repositories = [\"{except}\"]` takes out all it is about"))
        }
        Target::Paths { patterns, .. } => {
            let variables = only_anonymous && patterns.iter().all(super::PathPattern::has_variables);
            variables.then(|| "variables stand for nobody when the caller is anonymous".into())
        }
        Target::Catalog => None,
    }
}

/// The first of `wide`, if together they certainly cover each of `narrow`.
fn whole<'a, T>(wide: &'a [T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> Option<&'a T> {
    let all = narrow.iter().all(|narrow| wide.iter().any(|wide| covers(wide, narrow)));
    wide.first().filter(|_| all)
}

fn covers_who(wide: &Who, narrow: &Who) -> bool {
    match (wide, narrow) {
        (Who::Anyone, _) | (Who::Authenticated, Who::User(_) | Who::Group(_)) => true,
        (wide, narrow) => wide == narrow,
    }
}

/// Whether a rule matches whoever and whatever it names, at any time and from anywhere.
fn is_plain(rule: &Rule) -> bool {
    let excepts = match &rule.target {
        Target::Repositories { except, .. } => !except.is_empty(),
        Target::Catalog | Target::Paths { .. } => false,
    };
    rule.from.is_empty() && rule.when.is_none() && rule.except_who.is_empty() && !excepts
}

fn shadows(deny: &Rule, allow: &Rule) -> bool {
    let who = allow.who.iter().all(|narrow| deny.who.iter().any(|wide| covers_who(wide, narrow)));
    who && match (&deny.target, &allow.target) {
        (Target::Catalog, Target::Catalog) => true,
        (
            Target::Repositories { patterns: wide, actions: more, .. },
            Target::Repositories { patterns: narrow, actions: fewer, .. },
        ) => {
            let covered = |narrow: &super::RepositoryPattern| {
                wide.iter().any(|wide| wide.matches_all() || wide == narrow || names(wide, narrow))
            };
            more.covers(*fewer) && narrow.iter().all(covered)
        }
        (Target::Paths { patterns: wide, methods: more }, Target::Paths { patterns: narrow, methods: fewer }) => {
            let covered = |narrow: &super::PathPattern| wide.iter().any(|wide| wide.matches_all() || wide == narrow);
            (*more == super::Methods::Any || more == fewer) && narrow.iter().all(covered)
        }
        _ => false,
    }
}

/// Whether the narrow pattern is a plain name that the wide one matches.
fn names(wide: &super::RepositoryPattern, narrow: &super::RepositoryPattern) -> bool {
    let plain = narrow.literal_prefix() == narrow.as_str();
    plain
        && !wide.has_variables()
        && wide.matches(&super::Split::repository(narrow.as_str()), &super::Variables::default())
}

fn pushes_without_pull(rule: &Rule, rules: &[Rule]) -> bool {
    let Target::Repositories { patterns, actions, .. } = &rule.target else { return false };
    if !actions.contains(Action::Push) || actions.contains(Action::Pull) {
        return false;
    }
    let pulls = |other: &&Rule| {
        other.effect == Effect::Allow
            && matches!(&other.target, Target::Repositories { actions, .. } if actions.covers(Actions::only(Action::Pull)))
    };
    // Each pattern may get its pull from another rule that is at least as wide.
    let pulled = |narrow: &super::RepositoryPattern, narrow_who: &Who| {
        rules.iter().filter(pulls).any(|other| {
            let Target::Repositories { patterns, .. } = &other.target else { return false };
            other.who.iter().any(|wide| covers_who(wide, narrow_who))
                && patterns.iter().any(|wide| wide.matches_all() || wide == narrow || names(wide, narrow))
        })
    };
    !patterns.iter().all(|pattern| rule.who.iter().all(|who| pulled(pattern, who)))
}
