//! Rules and questions in few words.

use http::Method;

use crate::authz::{Ask, Decision, Effect, Methods, Rule, Rules, Source, Stage, Target};
use crate::document::{Kind, RequestAction, RequestFacts};
use crate::registry::{AccessSet, Action, Actions, RepositoryName, Resource};
use crate::subject::{Caller, GroupName, Subject, UserName};

pub(super) fn known(name: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().map(|group| GroupName::parse(group).unwrap()).collect();
    Caller::Known(Subject::new(UserName::parse(name).unwrap(), groups, "users".into()).into())
}

fn actions(text: &str) -> Actions {
    text.split(',').map(|action| action.parse::<Action>().unwrap()).collect()
}

fn with_target(effect: &str, who: &[&str], target: Target) -> Rule {
    Rule {
        source: Source { file: "gateway.toml".into(), line: 0 },
        effect: if effect == "deny" { Effect::Deny } else { Effect::Allow },
        who: who.iter().map(|who| who.parse().unwrap()).collect(),
        except_who: Vec::new(),
        target,
        from: Vec::new(),
        when: None,
    }
}

pub(super) fn rule(effect: &str, who: &[&str], repositories: &[&str], allowed: &str) -> Rule {
    let patterns = repositories.iter().map(|pattern| pattern.parse().unwrap()).collect();
    with_target(effect, who, Target::Repositories { patterns, except: Vec::new(), actions: actions(allowed) })
}

pub(super) fn except(rule: &mut Rule, repositories: &[&str]) {
    if let Target::Repositories { except, .. } = &mut rule.target {
        *except = repositories.iter().map(|pattern| pattern.parse().unwrap()).collect();
    }
}

pub(super) fn catalog(effect: &str, who: &[&str]) -> Rule {
    with_target(effect, who, Target::Catalog)
}

pub(super) fn path(effect: &str, who: &[&str], paths: &[&str], methods: Methods) -> Rule {
    let patterns = paths.iter().map(|pattern| pattern.parse().unwrap()).collect();
    with_target(effect, who, Target::Paths { patterns, methods })
}

/// Files rules; each stands in the line of its number, from 1.
pub(super) fn rules(mut all: Vec<Rule>) -> Rules {
    for (n, rule) in all.iter_mut().enumerate() {
        rule.source.line = n + 1;
    }
    Rules::new(all)
}

pub(super) fn ask<'a>(caller: &'a Caller, action: &str, repository: &'a str) -> Ask<'a> {
    let action = match action {
        "pull" => RequestAction::Pull,
        "push" => RequestAction::Push,
        _ => RequestAction::Delete,
    };
    let facts = RequestFacts {
        kind: Kind::Repository,
        repository: Some(repository),
        reference: None,
        path: None,
        action,
        method: None,
    };
    Ask { caller, service: "registry.example", facts, client: None }
}

pub(super) fn ask_path<'a>(caller: &'a Caller, method: &'a Method, path: &'a str) -> Ask<'a> {
    let facts = RequestFacts {
        kind: Kind::Api,
        repository: None,
        reference: None,
        path: Some(path),
        action: if *method == Method::GET { RequestAction::Read } else { RequestAction::Write },
        method: Some(method),
    };
    Ask { caller, service: "registry.example", facts, client: None }
}

pub(super) fn verdict(rules: &Rules, caller: &Caller, action: &str, repository: &str) -> Decision {
    rules.decide(&ask(caller, action, repository), Stage::Use).decision
}

/// What is granted of space-separated scopes, printed the same way.
pub(super) fn grant(rules: &Rules, caller: &Caller, scopes: &str) -> String {
    grant_from(rules, caller, None, scopes)
}

pub(super) fn grant_from(rules: &Rules, caller: &Caller, client: Option<&str>, scopes: &str) -> String {
    let mut requested = AccessSet::default();
    for scope in scopes.split(' ') {
        let mut parts = scope.split(':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("registry"), Some("catalog"), Some("*")) => requested.insert(Resource::Catalog, Actions::ALL),
            (Some("repository"), Some(name), Some(wanted)) => {
                let wanted = if wanted == "*" { Actions::ALL } else { actions(wanted) };
                requested.insert(Resource::Repository(RepositoryName::parse(name).unwrap()), wanted);
            }
            _ => panic!("{scope}"),
        }
    }
    let client = client.map(|client| client.parse().unwrap());
    let granted = rules.grant(caller, "registry.example", client, &requested);
    granted.iter().map(|scope| scope.to_string()).collect::<Vec<_>>().join(" ")
}
