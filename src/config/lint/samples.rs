//! Made-up callers and requests, over which filters are run to see what they make.

use std::sync::Arc;

use http::Method;

use super::Facts;
use crate::authz::{Effect, Target, Who};
use crate::document::{Kind, RequestAction, RequestFacts};
use crate::registry::{Action, RepositoryName};
use crate::subject::{Caller, GroupName, Subject, UserName};

/// The most pushers that are looked at: enough for every sensible configuration, and few enough for the others.
const MOST: usize = 200;

/// Somebody who may push, and where to.
pub(super) struct Pusher {
    pub(super) caller: Caller,
    pub(super) repository: String,
}

/// A user of this name without groups.
pub(super) fn plain(name: &str) -> Caller {
    user(name, Vec::new(), "users").unwrap_or(Caller::Anonymous)
}

/// One pusher for each `who` and pattern of the rules that allow a push. Those whom a deny stops may be among them.
pub(super) fn pushers(facts: &Facts<'_>) -> Vec<Pusher> {
    let mut pushers = Vec::new();
    for rule in facts.rules.iter().filter(|rule| rule.effect == Effect::Allow) {
        let Target::Repositories { patterns, actions, .. } = &rule.target else { continue };
        if !actions.contains(Action::Push) {
            continue;
        }
        for caller in rule.who.iter().filter_map(|who| caller(who, facts)) {
            for pattern in patterns {
                if let Some(repository) = repository(pattern.as_str(), &caller) {
                    pushers.push(Pusher { caller: caller.clone(), repository });
                }
            }
        }
        if pushers.len() >= MOST {
            break;
        }
    }
    pushers
}

/// Somebody who is meant, with the groups that the file gives them.
fn caller(who: &Who, facts: &Facts<'_>) -> Option<Caller> {
    let text = who.to_string();
    let member = if facts.users.list.is_empty() { "htpasswd" } else { "users" };
    match who {
        Who::Anonymous => None,
        Who::Anyone | Who::Authenticated => user("sample", Vec::new(), member),
        Who::Group(_) => {
            let group = GroupName::parse(&filled(text.strip_prefix("group:")?)).ok()?;
            user("sample", vec![group], member)
        }
        Who::User(_) => {
            let name = filled(text.strip_prefix("user:")?);
            let known = facts.users.list.iter().find(|user| user.name.as_str() == name);
            let own = known.map(|user| user.groups.clone()).unwrap_or_default();
            let given = facts.groups.iter().filter(|(_, members)| members.iter().any(|user| user.as_str() == name));
            user(&name, own.into_iter().chain(given.map(|(group, _)| group.clone())).collect(), member)
        }
    }
}

fn user(name: &str, groups: Vec<GroupName>, member: &str) -> Option<Caller> {
    let name = UserName::parse(name).ok()?;
    Some(Caller::Known(Arc::new(Subject::new(name, groups, member.into()))))
}

/// A repository that a pattern may mean.
fn repository(pattern: &str, caller: &Caller) -> Option<String> {
    let subject = caller.subject()?;
    let group = subject.groups.first().map_or("sample", GroupName::as_str);
    let text = filled(&pattern.replace("${user}", subject.name.as_str()).replace("${group}", group));
    RepositoryName::parse(&text).is_ok().then_some(text)
}

/// A pattern with its stars filled in.
fn filled(pattern: &str) -> String {
    pattern.replace("**", "*").replace('*', "sample")
}

pub(super) fn pull(repository: &str) -> RequestFacts<'_> {
    of_repository(repository, Some("v1"), RequestAction::Pull, &Method::GET)
}

/// The requests of a push.
pub(super) fn push(repository: &str) -> [RequestFacts<'_>; 4] {
    let facts = |method, reference| of_repository(repository, reference, RequestAction::Push, method);
    let session = Some("5b2c3d4e-0000-4000-8000-000000000000");
    [
        facts(&Method::POST, None),
        facts(&Method::PATCH, session),
        facts(&Method::PUT, session),
        facts(&Method::PUT, Some("v1")),
    ]
}

fn of_repository<'a>(
    repository: &'a str,
    reference: Option<&'a str>,
    action: RequestAction,
    method: &'a Method,
) -> RequestFacts<'a> {
    let kind = Kind::Repository;
    RequestFacts { kind, repository: Some(repository), reference, path: None, action, method: Some(method) }
}

pub(super) fn catalog() -> RequestFacts<'static> {
    RequestFacts {
        kind: Kind::Catalog,
        repository: None,
        reference: None,
        path: None,
        action: RequestAction::Catalog,
        method: Some(&Method::GET),
    }
}

/// A request of an API route.
pub(super) fn reading<'a>(path: &'a str, method: &'a Method) -> RequestFacts<'a> {
    RequestFacts {
        kind: Kind::Api,
        repository: None,
        reference: None,
        path: Some(path),
        action: RequestAction::Read,
        method: Some(method),
    }
}
