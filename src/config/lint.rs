//! What is correct and likely not meant: warnings of `tidegate check`.
//!
//! Lints of one value stand beside its reader; here are those that see several sections. They go by what is written, not by
//! what patterns match: what they warn of is certain, what they do not see may still be wrong.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::access::Written;
use super::reader::{Item, Reader};
use super::source::Span;
use super::upstream::Upstreams;
use super::users::{Member, Users};
use super::{Route, RouteAuth};
use crate::authz::Effect;
use crate::registry::{Action, Actions};
use crate::subject::{GroupName, UserName};

/// What the lints read.
pub(super) struct Facts<'a> {
    pub(super) upstreams: &'a Upstreams,
    pub(super) routes: &'a [Route],
    pub(super) users: &'a Users,
    pub(super) groups: &'a [(GroupName, Vec<UserName>)],
    pub(super) members: &'a [Member],
    pub(super) rules: &'a [Written<'a>],
}

pub(super) fn lint(reader: &Reader<'_>, facts: &Facts<'_>) {
    people(reader, facts);
    routing(reader, facts);
    let known = Known::of(facts);
    let allows = Cover::of(facts.rules.iter().filter(|rule| rule.effect == Effect::Allow));
    let denies = Cover::of(facts.rules.iter().filter(|rule| rule.effect == Effect::Deny && !rule.conditional));
    for rule in facts.rules {
        known.unmatched(reader, rule);
        excluded(reader, rule);
        if rule.effect == Effect::Allow {
            push_without_pull(reader, rule, &allows);
            shadowed(reader, rule, &denies);
        }
        if let (Some(span), false) = (rule.paths, facts.routes.iter().any(|route| route.auth == RouteAuth::Api)) {
            reader.warn(
                "dead-rule",
                span,
                "this rule is never asked: no route has `auth = \"api\"`",
                "add such a route, or leave the rule out",
            );
        }
    }
}

fn people(reader: &Reader<'_>, facts: &Facts<'_>) {
    let has_users = facts.members.iter().any(|member| matches!(member, Member::Users(_)));
    if let (Some(span), false) = (facts.users.span, has_users) {
        let hint = "add an [[authn]] with `kind = \"users\"`";
        reader.warn("unused-users", span, "nobody of [users] can log in: no [[authn]] has `kind = \"users\"`", hint);
    }
    if facts.members.is_empty() {
        let hint = "add [users.NAME] sections, or an [[authn]]";
        reader.warn(
            "nobody",
            Span { start: 0, end: 0 },
            "nobody can log in: there are no [users] and no [[authn]]",
            hint,
        );
    }
}

fn routing(reader: &Reader<'_>, facts: &Facts<'_>) {
    for (index, (upstream, span)) in facts.upstreams.list.iter().zip(&facts.upstreams.headers).enumerate() {
        if !facts.routes.iter().any(|route| route.upstream == index) {
            let message = format!("no route leads to the upstream \"{}\"", upstream.name);
            reader.warn(
                "unused-upstream",
                *span,
                message,
                format!("add a [[route]] with `upstream = \"{}\"`", upstream.name),
            );
        }
    }
    let judged = facts.routes.iter().find(|route| route.auth != RouteAuth::Public);
    if let (Some(route), true) = (judged, facts.rules.is_empty()) {
        let span = facts.upstreams.headers.get(route.upstream).copied().unwrap_or(Span { start: 0, end: 0 });
        reader.warn(
            "no-rules",
            span,
            "there is no [[access]] rule, so nobody may do anything here",
            "add one: what no rule allows is refused",
        );
    }
}

/// The names that can log in or be members, when they are all in this file.
struct Known<'a> {
    users: Option<BTreeSet<&'a str>>,
    groups: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(facts: &Facts<'a>) -> Self {
        let closed = !facts.members.iter().any(|member| matches!(member, Member::Htpasswd { .. }));
        let of_users = facts.users.list.iter().flat_map(|user| &user.groups);
        let of_groups = facts.groups.iter().filter(|(_, members)| !members.is_empty()).map(|(name, _)| name);
        Self {
            users: closed.then(|| facts.users.names.iter().map(String::as_str).collect()),
            groups: of_users.chain(of_groups).map(GroupName::as_str).collect(),
        }
    }

    /// Warns of names in `who` that nobody has.
    fn unmatched(&self, reader: &Reader<'_>, rule: &Written<'_>) {
        for item in &rule.who {
            let Some(text) = item.text() else { continue };
            if text.contains('*') {
                continue;
            }
            let (kind, name, known) = match (text.strip_prefix("user:"), text.strip_prefix("group:")) {
                (Some(name), _) => ("user", name, self.users.as_ref()),
                (_, Some(name)) => ("group", name, Some(&self.groups)),
                _ => continue,
            };
            let Some(known) = known.filter(|known| !known.contains(name)) else { continue };
            let message = match kind {
                "user" => format!("there is no user \"{name}\""),
                _ => format!("the group \"{name}\" has no members"),
            };
            let hint = super::nearest::nearest(name, known.iter().copied());
            let hint = hint.map_or_else(String::new, |near| format!("did you mean \"{kind}:{near}\"?"));
            reader.warn("unmatched-who", item.span, message, hint);
        }
    }
}

/// Rules whose exceptions take everything away.
fn excluded(reader: &Reader<'_>, rule: &Written<'_>) {
    let within = |items: &[Item<'_>], except: &[Item<'_>], everything: &[&str]| {
        let except: BTreeSet<&str> = except.iter().filter_map(Item::text).collect();
        let all = everything.iter().any(|word| except.contains(word));
        !items.is_empty()
            && !except.is_empty()
            && items.iter().filter_map(Item::text).all(|text| all || except.contains(text))
    };
    if within(&rule.who, &rule.except_who, &["anyone"])
        || within(&rule.repositories, &rule.except_repositories, &["**"])
    {
        reader.warn("dead-rule", rule.header, "this rule can never match: its exceptions take everything away", "");
    }
}

/// A push begins with reads of what is there already: clients ask for both, and pushes need both.
fn push_without_pull(reader: &Reader<'_>, rule: &Written<'_>, allows: &Cover<'_>) {
    let Some((actions, span)) = rule.actions else { return };
    if actions.contains(Action::Push)
        && !actions.contains(Action::Pull)
        && !allows.covers(rule, Actions::only(Action::Pull))
    {
        let hint = "every push needs pull too: add \"pull\"";
        reader.warn("push-without-pull", span, "this rule grants push without pull", hint);
    }
}

fn shadowed(reader: &Reader<'_>, rule: &Written<'_>, denies: &Cover<'_>) {
    let Some((actions, _)) = rule.actions else { return };
    if denies.covers(rule, actions) {
        let hint = "any matching deny wins: narrow the deny, or leave this rule out";
        reader.warn("shadowed-rule", rule.header, "whatever this rule allows is denied by another", hint);
    }
}

/// Per entry of `who`, per repository pattern: what some rules say about it.
struct Cover<'a>(HashMap<&'a str, HashMap<&'a str, Actions>>);

impl<'a> Cover<'a> {
    fn of(rules: impl Iterator<Item = &'a Written<'a>>) -> Self {
        let mut cover: HashMap<&str, HashMap<&str, Actions>> = HashMap::new();
        for rule in rules.filter(|rule| rule.except_who.is_empty() && rule.except_repositories.is_empty()) {
            let Some((actions, _)) = rule.actions else { continue };
            for who in rule.who.iter().filter_map(Item::text) {
                let by_pattern = cover.entry(who).or_default();
                for pattern in rule.repositories.iter().filter_map(Item::text) {
                    let known = by_pattern.entry(pattern).or_default();
                    *known = known.union(actions);
                }
            }
        }
        Self(cover)
    }

    /// Whether these actions are spoken of for everybody and everything that the rule names.
    fn covers(&self, rule: &Written<'_>, actions: Actions) -> bool {
        let who: Vec<_> = rule.who.iter().filter_map(Item::text).collect();
        let patterns: Vec<_> = rule.repositories.iter().filter_map(Item::text).collect();
        let every = |who: &str| patterns.iter().all(|pattern| self.said(who, pattern).covers(actions));
        !who.is_empty() && !patterns.is_empty() && who.into_iter().all(every)
    }

    fn said(&self, who: &str, pattern: &str) -> Actions {
        let wider: &[&str] = match who {
            "anyone" => &[],
            "anonymous" | "authenticated" => &["anyone"],
            _ => &["anyone", "authenticated"],
        };
        let mut said = Actions::NONE;
        for by_pattern in std::iter::once(who).chain(wider.iter().copied()).filter_map(|who| self.0.get(who)) {
            let mut add = |pattern: &str| said = said.union(by_pattern.get(pattern).copied().unwrap_or_default());
            add(pattern);
            add("**");
            for (at, _) in pattern.match_indices('/') {
                add(&format!("{}/**", &pattern[..at]));
            }
        }
        said
    }
}

/// Warns of secrets in files that every user of the host can read. `path` is the configuration itself.
pub(super) fn file_modes(reader: &Reader<'_>, path: &Path) {
    if let Some(span) = reader.inline_secret()
        && world_readable(path)
    {
        let message = "the configuration holds secrets, and every user of this host can read it";
        reader.warn(
            "readable-secret",
            span,
            message,
            format!("chmod o-r {}, or move the secret to {{ file = … }} or {{ env = … }}", path.display()),
        );
    }
    for (path, span) in reader.secret_files() {
        if let Err(error) = std::fs::metadata(&path) {
            reader.warn(
                "unreadable-file",
                span,
                format!("{} cannot be read: {error}", path.display()),
                "make it before the gateway starts",
            );
        } else if world_readable(&path) {
            let message = format!("every user of this host can read {}", path.display());
            reader.warn("readable-secret", span, message, format!("chmod o-r {}", path.display()));
        }
    }
}

#[cfg(unix)]
fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn world_readable(_path: &Path) -> bool {
    false
}
