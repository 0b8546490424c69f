//! What is correct and does not get along with Pulp: warnings about upstreams with `kind = "pulp"`.
//!
//! Pulp lets only superusers push, so an identity filter has to make one of whoever pushes, and of nobody else. What a filter
//! makes is seen by running it over samples: of everybody whom a rule allows to push, and of a plain user.

use std::collections::BTreeSet;

use http::Method;

use super::Facts;
use super::samples::{self, Pusher};
use crate::config::reader::Reader;
use crate::config::source::Span;
use crate::config::{Credentials, Identity, Kind, Route, RouteAuth, Upstream, UserAccount};
use crate::document::{Document, RequestAction, RequestFacts};
use crate::identity::IdentityHeader;
use crate::jq::Filter;
use crate::registry::path::is_at_or_below;
use crate::subject::Caller;

/// The most that gunicorn takes of one header: its name, a colon, a space, the value and the end of the line.
const HEADER_LINE: usize = 8190;
/// Where Pulp sends those who pull a blob.
const CONTENT: &str = "/pulp/container/blob";

pub(super) fn lint(reader: &Reader<'_>, facts: &Facts<'_>) {
    let mut said = BTreeSet::new();
    for (index, (upstream, header)) in facts.upstreams.list.iter().zip(&facts.upstreams.headers).enumerate() {
        if !matches!(upstream.kind, Kind::Pulp(_)) {
            continue;
        }
        let routes: Vec<&Route> = facts.routes.iter().filter(|route| route.upstream == index).collect();
        let say = &mut |code: &'static str, span: Span, message: String, hint: &str| {
            if said.insert((code, message.clone())) {
                reader.warn(code, span, message, hint);
            }
        };
        connections(upstream, *header, &routes, say);
        if routes.iter().any(|route| route.auth == RouteAuth::Registry) {
            content(upstream, index, *header, facts.routes, say);
        }
        users(upstream, *header, &routes, facts, say);
        for route in routes.iter().filter(|route| matches!(route.credentials, Credentials::Identity)) {
            let Some(told) = Told::by(route, facts) else { continue };
            let span = facts.identity_span.filter(|_| route.filter.is_none()).unwrap_or(*header);
            told.length(span, say);
            match route.auth {
                RouteAuth::Registry => told.registry(&route.prefix, span, facts, say),
                RouteAuth::Api => told.api(span, facts, say),
                RouteAuth::Public => {}
            }
        }
    }
}

/// Says a warning, unless the same was said before.
type Say<'a> = dyn FnMut(&'static str, Span, String, &str) + 'a;

fn connections(upstream: &Upstream, span: Span, routes: &[&Route], say: &mut Say<'_>) {
    let name = &upstream.name;
    if upstream.pool {
        let message =
            format!("`pool = true`, and \"{name}\" is a Pulp: a kept connection blocks one of its few workers");
        say("pulp-pool", span, message, "leave it out: Pulp closes each connection after its answer anyway");
    }
    if !routes.iter().any(|route| route.auth == RouteAuth::Registry) {
        return;
    }
    if !upstream.chunk_uploads {
        let message =
            format!("`chunk_uploads = false`, and \"{name}\" is a Pulp: it stores an upload that breaks off as whole");
        say("pulp-uploads", span, message, "leave it out");
    }
    if !upstream.verify_digests {
        let message = format!(
            "`verify_digests = false`, and \"{name}\" is a Pulp: it stores a blob under any digest that it is told"
        );
        say("pulp-digests", span, message, "leave it out");
    }
}

/// Pulls of blobs end at the content app.
fn content(upstream: &Upstream, index: usize, span: Span, routes: &[Route], say: &mut Say<'_>) {
    // The longest prefix comes first.
    let message = match routes.iter().find(|route| is_at_or_below(CONTENT, &route.prefix)) {
        None => format!("\"{}\" sends those who pull to its content app, and no route leads there", upstream.name),
        Some(route) if route.upstream == index => {
            format!(
                "the route \"{}\" takes the paths of Pulp's content app to \"{}\", its API app",
                route.prefix, upstream.name
            )
        }
        Some(_) => return,
    };
    let hint = "add an [[upstream]] for it, and routes for \"/pulp/container/\" and \"/pulp/content/\" with `auth = \"public\"`; \
                unless CONTENT_ORIGIN leads clients there by another way";
    say("pulp-content", span, message, hint);
}

fn users(upstream: &Upstream, span: Span, routes: &[&Route], facts: &Facts<'_>, say: &mut Say<'_>) {
    let Some(create) = &upstream.create_users else { return };
    let token = |route: &&&Route| matches!(route.credentials, Credentials::ForwardToken | Credentials::MintToken);
    if !routes.iter().any(|route| token(&route)) {
        let message = format!("`create_users` of \"{}\" is never used: no route sends it tokens", upstream.name);
        let hint = "leave it out: with the identity header Pulp creates users itself";
        say("pulp-users", span, message, hint);
        return;
    }
    let Some(identity) = facts.identity.filter(|_| matches!(create.account, UserAccount::Identity)) else { return };
    let Some(header) = Told::header(identity, &identity.filter) else { return };
    let caller = samples::plain("sample");
    let made = header.username(&document(&caller, &samples::reading(create.path.path(), &Method::GET)));
    if !made.is_ok_and(|name| name.as_deref() == Some("sample")) {
        let message =
            "`create_users` asks with the identity header, and the filter calls users of API routes by other names \
                       than their tokens do"
                .to_owned();
        say("pulp-users", span, message, "create them with { basic = … }, or let the filter tell `.subject`");
    }
}

fn document<'a>(caller: &'a Caller, facts: &RequestFacts<'a>) -> Document<'a> {
    Document::new(caller, "sample", facts)
}

/// What a route tells Pulp.
struct Told<'a> {
    identity: &'a Identity,
    filter: &'a Filter,
    header: IdentityHeader,
}

impl<'a> Told<'a> {
    fn by(route: &'a Route, facts: &Facts<'a>) -> Option<Self> {
        let identity = facts.identity?;
        let filter = route.filter.as_ref().unwrap_or(&identity.filter);
        Some(Self { identity, filter, header: Self::header(identity, filter)? })
    }

    fn header(identity: &Identity, filter: &std::sync::Arc<Filter>) -> Option<IdentityHeader> {
        let (name, filter, max) = (identity.header.clone(), std::sync::Arc::clone(filter), identity.max_header);
        IdentityHeader::new(name, filter, &identity.username, identity.anonymous, max).ok()
    }

    fn length(&self, span: Span, say: &mut Say<'_>) {
        let line = self.identity.header.as_str().len() + ": \r\n".len() + self.identity.max_header;
        if let Some(over) = line.checked_sub(HEADER_LINE).filter(|over| *over > 0) {
            let fits = self.identity.max_header - over;
            let message = "Pulp answers 431 to an identity header of `max_header` bytes".to_owned();
            say("pulp-header", span, message, &format!("set it to {fits} or less, or leave it out"));
        }
    }

    /// The name that Pulp would read; none too where the filter fails, since then nothing is sent.
    fn name(&self, caller: &Caller, facts: &RequestFacts<'_>) -> Option<String> {
        self.header.username(&document(caller, facts)).ok().flatten()
    }

    fn is_elevated(&self, name: &str) -> bool {
        self.identity.reserved.iter().any(|reserved| reserved.as_str() == name)
    }

    fn registry(&self, prefix: &str, span: Span, facts: &Facts<'_>, say: &mut Say<'_>) {
        let here = |pusher: &Pusher| is_at_or_below(&format!("/v2/{}", pusher.repository), prefix);
        let pushers: Vec<Pusher> = samples::pushers(facts).into_iter().filter(here).collect();
        let mut fails = !pushers.is_empty();
        for Pusher { caller, repository } in &pushers {
            let read = self.name(caller, &samples::pull(repository));
            let writes: Vec<_> = samples::push(repository).iter().map(|facts| self.name(caller, facts)).collect();
            // A push is several requests, and each has to pass.
            let raised = |name: &Option<String>| {
                name.as_deref().is_some_and(|name| self.is_elevated(name) || read.as_deref() != Some(name))
            };
            fails &= !writes.iter().all(raised);
            for name in writes.iter().filter(|name| **name != read).flatten().filter(|name| !self.is_elevated(name)) {
                let message =
                    format!("the filter tells Pulp of a push as \"{name}\", and nothing keeps users from that name");
                say("unlisted-elevated", span, message, "add it to `identity.elevated`");
            }
        }
        // Nobody knows what claims a user will have, nor what Pulp thinks of the one name that everybody gets.
        let everybody =
            ["sample", "other-sample"].map(|name| self.name(&samples::plain(name), &samples::pull("sample/app")));
        if fails && everybody[0] != everybody[1] && !self.filter.text().contains("claims") {
            let message =
                "every push would fail: Pulp lets only superusers push, and the filter makes none of those who may"
                    .to_owned();
            let hint = "give approved writes the name of a superuser: `if (.request.action | IN(\"push\", \"delete\")) then \
                        \"registry-writer\" else .subject end`, with `elevated = [\"registry-writer\"]`";
            say("pulp-push", span, message, hint);
        }
        let repository = "sample/app";
        let reads = [samples::pull(repository), samples::catalog()];
        self.reads(&reads, &pushers, span, say);
    }

    fn api(&self, span: Span, facts: &Facts<'_>, say: &mut Say<'_>) {
        self.reads(&[samples::reading("/pulp/api/v3/users/", &Method::GET)], &samples::pushers(facts), span, say);
    }

    /// What changes nothing needs no superuser.
    fn reads(&self, reads: &[RequestFacts<'_>], pushers: &[Pusher], span: Span, say: &mut Say<'_>) {
        let plain = ["sample", "other-sample"].map(samples::plain);
        let names = |caller: &Caller| reads.iter().map(|facts| self.name(caller, facts)).collect::<Vec<_>>();
        let [one, other] = plain.each_ref().map(names);
        for (name, _) in one.iter().zip(&other).filter(|(one, other)| one == other) {
            if let Some(name) = name.as_deref().filter(|name| !self.is_elevated(name)) {
                let message =
                    format!("the filter tells Pulp of everybody as \"{name}\", and nothing keeps users from that name");
                say("unlisted-elevated", span, message, "add it to `identity.elevated`");
            }
        }
        for caller in plain.iter().chain([&Caller::Anonymous]).chain(pushers.iter().map(|pusher| &pusher.caller)) {
            for (facts, name) in reads.iter().zip(names(caller)) {
                if let Some(name) = name {
                    self.read(&name, facts.action, span, say);
                }
            }
        }
    }

    fn read(&self, name: &str, action: RequestAction, span: Span, say: &mut Say<'_>) {
        if self.is_elevated(name) {
            let what = match action {
                RequestAction::Catalog => "who lists the catalog",
                RequestAction::Read => "who reads the API",
                _ => "who pulls",
            };
            let message = format!("the filter makes \"{name}\" of {what}, though only a write needs that");
            say("elevated-read", span, message, "give the name to `.request.action | IN(\"push\", \"delete\")` alone");
        }
    }
}
