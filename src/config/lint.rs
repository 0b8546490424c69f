//! What is correct and likely not meant: warnings of `tidegate check`.
//!
//! Lints of one value stand beside its reader, and those of rules among themselves in `authz`; here are those that see several
//! sections, or files. Those about Pulp have a file of their own.

mod pulp;
mod samples;

use std::collections::BTreeSet;
use std::path::Path;

use super::access::Written;
use super::api::{ApiKey, Client, Named};
use super::reader::{Names, Reader};
use super::source::Span;
use super::upstream::Upstreams;
use super::users::{Member, Users};
use super::{Challenge, Identity, Route, RouteAuth};
use crate::authz::{self, Rule};
use crate::subject::{GroupName, UserName};

/// What the lints read.
pub(super) struct Facts<'a> {
    pub(super) upstreams: &'a Upstreams,
    pub(super) routes: &'a [Route],
    pub(super) identity: Option<&'a Identity>,
    /// Where `[identity]` stands.
    pub(super) identity_span: Option<Span>,
    pub(super) users: &'a Users<'a>,
    pub(super) api_keys: &'a Named<'a, ApiKey>,
    pub(super) clients: &'a Named<'a, Client>,
    pub(super) groups: &'a [(GroupName, Vec<UserName>)],
    pub(super) members: &'a [Member],
    pub(super) rules: &'a [Rule],
    pub(super) written: &'a [Written<'a>],
}

pub(super) fn lint(reader: &Reader<'_>, facts: &Facts<'_>) {
    people(reader, facts);
    programs(reader, facts);
    routing(reader, facts);
    pulp::lint(reader, facts);
    let known = Known::of(facts);
    for rule in facts.written {
        known.unmatched(reader, rule);
        if let (Some(span), false) = (rule.paths, facts.routes.iter().any(|route| route.auth == RouteAuth::Api)) {
            let message = "this rule is never asked: no route has `auth = \"api\"`";
            reader.warn("dead-rule", span, message, "add such a route, or leave the rule out");
        }
    }
    for lint in authz::lint(facts.rules) {
        reader.warn("rule", reader.source.line_span(lint.source.line), lint.message, "");
    }
}

fn people(reader: &Reader<'_>, facts: &Facts<'_>) {
    let has_users = facts.members.iter().any(|member| matches!(member, Member::Users(_)));
    if let (Some(span), false) = (facts.users.span, has_users) {
        let hint = "add an [[authn]] with `kind = \"users\"`";
        reader.warn("unused-users", span, "nobody of [users] can log in: no [[authn]] has `kind = \"users\"`", hint);
    }
    if facts.members.is_empty() && facts.api_keys.list.is_empty() && facts.clients.list.is_empty() {
        let hint = "add [users.NAME] sections, or an [[authn]]";
        reader.warn(
            "nobody",
            Span { start: 0, end: 0 },
            "nobody can log in: there are no [users] and no [[authn]]",
            hint,
        );
    }
}

fn programs(reader: &Reader<'_>, facts: &Facts<'_>) {
    let api_routes = || facts.routes.iter().filter(|route| route.auth == RouteAuth::Api);
    if api_routes().next().is_none() {
        for (span, what) in [(facts.api_keys.span, "API keys"), (facts.clients.span, "tokens of clients")] {
            let Some(span) = span else { continue };
            let message = format!("{what} are good for nothing here: no route has `auth = \"api\"`");
            reader.warn("unused-keys", span, message, "add such a route");
        }
    }
    let asking = api_routes().find(|route| route.challenge == Challenge::ApiKey);
    if let (Some(route), true) = (asking, facts.api_keys.list.is_empty()) {
        let message = format!("the route \"{}\" asks for an API key, and there is none", route.prefix);
        let hint = "add what `tidegate api-key` prints, or choose another `challenge`";
        reader.warn("no-api-keys", Span { start: 0, end: 0 }, message, hint);
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
        let closed = facts.members.iter().all(|member| matches!(member, Member::Users(_)));
        let of_certificates = facts.members.iter().flat_map(|member| match member {
            Member::ClientCertificate { groups, .. } => groups.as_slice(),
            Member::Users(_) | Member::Htpasswd { .. } => &[],
        });
        let of_users = facts.users.list.iter().flat_map(|user| &user.groups);
        let of_keys = facts.api_keys.list.iter().flat_map(|key| &key.groups);
        let of_clients = facts.clients.list.iter().flat_map(|client| &client.groups);
        let names = [facts.users.names, facts.api_keys.names, facts.clients.names];
        let of_groups = facts.groups.iter().filter(|(_, members)| !members.is_empty()).map(|(name, _)| name);
        Self {
            users: closed.then(|| names.into_iter().flat_map(Names::iter).collect()),
            groups: of_users
                .chain(of_keys)
                .chain(of_clients)
                .chain(of_certificates)
                .chain(of_groups)
                .map(GroupName::as_str)
                .collect(),
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
