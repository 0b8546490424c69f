//! From a question to a verdict.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use http::Method;
use ipnet::IpNet;
use serde::Serialize;

use super::index::{About, Index};
use super::{Effect, Methods, Rule, Split, Target, Variables};
use crate::document::{Document, Kind, RequestAction, RequestFacts};
use crate::registry::{AccessSet, Action, Actions, Resource, Scope};
use crate::subject::Caller;

/// One question: may this caller do this?
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The service that the token is for, or the default one.
    pub service: &'a str,
    /// What is asked for. `action` is the one action that is judged: an upload is two questions, pull and push.
    pub facts: RequestFacts<'a>,
    /// The client's address, if it is known. With none, an allow with `from` does not match and a deny does.
    pub client: Option<IpAddr>,
}

/// When a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// When a token is issued. Method and reference are not known; if the question holds them, they are not looked at.
    Issue,
    /// When a request is judged.
    Use,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A rule allows it and none denies it.
    Allowed,
    /// A rule denies it.
    Denied,
    /// No rule matches, so nothing is granted.
    NoRule,
}

/// The answer and the rules it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub decision: Decision,
    /// Indexes into [`Rules::rules`] of the rules that decided, ascending: all denies, or else all allows, that match.
    pub rules: Vec<usize>,
}

impl Verdict {
    /// Whether the answer is yes.
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allowed
    }
}

/// All rules of a configuration, filed so that a question looks at few of them.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    index: Index,
}

impl Rules {
    /// Files rules. Their order means nothing.
    pub fn new(rules: Vec<Rule>) -> Self {
        let index = Index::new(&rules);
        Self { rules, index }
    }

    /// The rules in the order in which they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Answers a question.
    pub fn decide(&self, ask: &Ask<'_>, stage: Stage) -> Verdict {
        let case = Case::new(ask, stage);
        let (mut allows, mut denies) = (Vec::new(), Vec::new());
        for number in self.candidates(ask) {
            let Some(rule) = self.rules.get(number) else { continue };
            if case.judge(rule).is_ok() {
                match rule.effect {
                    Effect::Allow => allows.push(number),
                    Effect::Deny => denies.push(number),
                }
            }
        }
        match (denies.is_empty(), allows.is_empty()) {
            (false, _) => Verdict { decision: Decision::Denied, rules: denies },
            (true, false) => Verdict { decision: Decision::Allowed, rules: allows },
            (true, true) => Verdict { decision: Decision::NoRule, rules: Vec::new() },
        }
    }

    /// What of a requested access a token may carry: each action of each resource is asked by itself, at issue.
    pub fn grant(&self, caller: &Caller, service: &str, client: Option<IpAddr>, requested: &AccessSet) -> AccessSet {
        self.grant_by(caller, service, client, requested).0
    }

    /// As [`Rules::grant`], with the indexes into [`Rules::rules`] of the rules that granted or denied, ascending and each once.
    pub fn grant_by(
        &self,
        caller: &Caller,
        service: &str,
        client: Option<IpAddr>,
        requested: &AccessSet,
    ) -> (AccessSet, Vec<usize>) {
        let mut granted = AccessSet::default();
        let mut deciding = Vec::new();
        for Scope { resource, actions } in requested.iter() {
            let actions = match &resource {
                // The catalog's only action is "all".
                Resource::Catalog
                    if self.grants(&Ask { caller, service, facts: catalog_facts(), client }, &mut deciding) =>
                {
                    Actions::ALL
                }
                Resource::Catalog => Actions::NONE,
                Resource::Repository(name) => {
                    let ask = |action| Ask { caller, service, facts: repository_facts(name.as_str(), action), client };
                    actions.iter().filter(|action| self.grants(&ask(*action), &mut deciding)).collect()
                }
            };
            granted.insert(resource, actions);
        }
        deciding.sort_unstable();
        deciding.dedup();
        (granted, deciding)
    }

    /// The answer at issue; the rules that gave it are added to `deciding`.
    fn grants(&self, ask: &Ask<'_>, deciding: &mut Vec<usize>) -> bool {
        let verdict = self.decide(ask, Stage::Issue);
        deciding.extend(&verdict.rules);
        verdict.is_allowed()
    }

    /// Whether the answer may depend on the client's address: a rule that may apply has `from`.
    pub fn reads_client_address(&self, ask: &Ask<'_>) -> bool {
        self.candidates(ask).into_iter().any(|number| self.rules.get(number).is_some_and(|rule| !rule.from.is_empty()))
    }

    /// Numbers of the rules that may apply.
    pub(super) fn candidates(&self, ask: &Ask<'_>) -> Vec<usize> {
        about(&ask.facts).map(|about| self.index.candidates(ask.caller, about)).unwrap_or_default()
    }
}

/// The facts of one action on a repository, as far as they are known when a token is issued.
pub(super) fn repository_facts(name: &str, action: Action) -> RequestFacts<'_> {
    let action = match action {
        Action::Pull => RequestAction::Pull,
        Action::Push => RequestAction::Push,
        Action::Delete => RequestAction::Delete,
    };
    RequestFacts { kind: Kind::Repository, repository: Some(name), reference: None, path: None, action, method: None }
}

/// The facts of the catalog, as far as they are known when a token is issued.
pub(super) fn catalog_facts() -> RequestFacts<'static> {
    let action = RequestAction::Catalog;
    RequestFacts { kind: Kind::Catalog, repository: None, reference: None, path: None, action, method: None }
}

fn about<'a>(facts: &RequestFacts<'a>) -> Option<About<'a>> {
    match facts.kind {
        Kind::Repository => facts.repository.map(About::Repository),
        Kind::Catalog => Some(About::Catalog),
        Kind::Api => facts.path.map(About::Path),
    }
}

/// Why a rule does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// About another kind of thing.
    Kind,
    Who,
    /// Taken out by this entry of `except_who`.
    ExceptWho(String),
    Resource {
        /// The patterns have variables for which the caller has no fitting value.
        variables: bool,
    },
    ExceptRepository(String),
    Action,
    Method,
    From(Option<IpAddr>),
    /// The predicate reads what is known only at use.
    JudgedAtUse,
    WhenFalse,
    WhenFailed,
}

/// How a rule came to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Plain,
    /// A deny whose predicate failed.
    ByFailure,
}

/// A question, prepared for many rules.
pub(super) struct Case<'a> {
    caller: &'a Caller,
    facts: RequestFacts<'a>,
    client: Option<IpAddr>,
    stage: Stage,
    document: Document<'a>,
    resource: Option<Split<'a>>,
    pub(super) variables: Variables<'a>,
}

impl<'a> Case<'a> {
    pub(super) fn new(ask: &Ask<'a>, stage: Stage) -> Self {
        let mut facts = ask.facts;
        if stage == Stage::Issue {
            facts.method = None;
            facts.reference = None;
        }
        let resource = match about(&facts) {
            Some(About::Repository(name)) => Some(Split::repository(name)),
            Some(About::Path(path)) => Some(Split::path(path)),
            Some(About::Catalog) | None => None,
        };
        Self {
            caller: ask.caller,
            facts,
            client: ask.client,
            stage,
            document: Document::new(ask.caller, ask.service, &facts),
            resource,
            variables: Variables::of(ask.caller),
        }
    }

    /// Whether a rule matches, and how or why not.
    pub(super) fn judge(&self, rule: &Rule) -> Result<Match, Mismatch> {
        self.who(rule)?;
        self.target(rule)?;
        self.from(rule)?;
        self.when(rule)
    }

    pub(super) fn who(&self, rule: &Rule) -> Result<(), Mismatch> {
        if !rule.who.iter().any(|who| who.matches(self.caller)) {
            return Err(Mismatch::Who);
        }
        match rule.except_who.iter().find(|who| who.matches(self.caller)) {
            Some(except) => Err(Mismatch::ExceptWho(except.to_string())),
            None => Ok(()),
        }
    }

    pub(super) fn target(&self, rule: &Rule) -> Result<(), Mismatch> {
        match (&rule.target, self.facts.kind) {
            (Target::Catalog, Kind::Catalog) => Ok(()),
            (Target::Repositories { patterns, except, actions }, Kind::Repository) => {
                let name = self.resource.as_ref().ok_or(Mismatch::Kind)?;
                if !patterns.iter().any(|pattern| pattern.matches(name, &self.variables)) {
                    return Err(self.other_resource(patterns.iter().any(super::RepositoryPattern::has_variables)));
                }
                if let Some(except) = except.iter().find(|pattern| pattern.matches(name, &self.variables)) {
                    return Err(Mismatch::ExceptRepository(except.to_string()));
                }
                let action = match self.facts.action {
                    RequestAction::Pull => Action::Pull,
                    RequestAction::Push => Action::Push,
                    RequestAction::Delete => Action::Delete,
                    RequestAction::Catalog | RequestAction::Read | RequestAction::Write => return Err(Mismatch::Kind),
                };
                if actions.contains(action) { Ok(()) } else { Err(Mismatch::Action) }
            }
            (Target::Paths { patterns, methods }, Kind::Api) => {
                let path = self.resource.as_ref().ok_or(Mismatch::Kind)?;
                if !patterns.iter().any(|pattern| pattern.matches(path, &self.variables)) {
                    return Err(self.other_resource(patterns.iter().any(super::PathPattern::has_variables)));
                }
                // Without a method the question is about reading or writing as such.
                let method = self.facts.method.unwrap_or(match self.facts.action {
                    RequestAction::Read => &Method::GET,
                    _ => &Method::POST,
                });
                match methods {
                    Methods::Any => Ok(()),
                    Methods::Only(only) if only.contains(method) => Ok(()),
                    Methods::Only(_) => Err(Mismatch::Method),
                }
            }
            _ => Err(Mismatch::Kind),
        }
    }

    fn other_resource(&self, has_variables: bool) -> Mismatch {
        let lacking = self.caller.subject().is_none() || !self.variables.unfit().is_empty();
        Mismatch::Resource { variables: has_variables && lacking }
    }

    fn from(&self, rule: &Rule) -> Result<(), Mismatch> {
        let matches = match self.client {
            _ if rule.from.is_empty() => true,
            Some(client) => rule.from.iter().any(|network| contains(network, client)),
            None => rule.effect == Effect::Deny,
        };
        if matches { Ok(()) } else { Err(Mismatch::From(self.client)) }
    }

    fn when(&self, rule: &Rule) -> Result<Match, Mismatch> {
        let Some(when) = &rule.when else { return Ok(Match::Plain) };
        if self.stage == Stage::Issue && when.reads_use_only_facts() {
            return Err(Mismatch::JudgedAtUse);
        }
        match (when.holds(&self.document), rule.effect) {
            (Ok(true), _) => Ok(Match::Plain),
            (Ok(false), _) => Err(Mismatch::WhenFalse),
            (Err(_), Effect::Deny) => Ok(Match::ByFailure),
            (Err(_), Effect::Allow) => Err(Mismatch::WhenFailed),
        }
    }
}

/// Whether an address is in a network, where `::ffff:10.0.0.1` and `10.0.0.1` are the same on either side.
fn contains(network: &IpNet, client: IpAddr) -> bool {
    let client = client.to_canonical();
    let mapped = |v4: Ipv4Addr| IpAddr::V6(v4.to_ipv6_mapped());
    network.contains(&client) || matches!(client, IpAddr::V4(v4) if network.contains(&mapped(v4)))
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::NoRule => "not allowed by any rule",
        })
    }
}
