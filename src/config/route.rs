//! `[[route]]`: which paths go to which upstream, and how they are judged.

use std::sync::Arc;

use super::filter::filter;
use super::item::Item;
use super::reader::{Section, Title};
use super::tree::Value;
use super::upstream::{Credentials, Upstreams, credentials};
use crate::jq::Filter;
use crate::registry::path::is_of_registry;

/// `[[route]]`.
#[derive(Debug)]
pub struct Route {
    /// Path prefix, matched on segment boundaries; begins with `/`.
    pub prefix: String,
    /// Index into `Config::upstreams`.
    pub upstream: usize,
    /// How requests are judged.
    pub auth: RouteAuth,
    /// What a 401 names; for API routes only.
    pub challenge: Challenge,
    /// What the upstream is told; the upstream's own setting unless the route overrides it.
    pub credentials: Credentials,
    /// A filter of its own; the `[identity]` filter otherwise.
    pub filter: Option<Arc<Filter>>,
}

/// How the requests of a route are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAuth {
    /// By the registry grammar, bearer challenges and repository rules.
    Registry,
    /// By rules with `paths` and `methods`.
    Api,
    /// Not at all; `Authorization` is stripped.
    Public,
}

/// How callers of an API route are asked to say who they are. What is accepted does not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Challenge {
    /// With a name and a password.
    #[default]
    Basic,
    /// With a token from the token endpoint.
    Bearer,
    /// With an API key.
    ApiKey,
}

/// Reads the routes, and sorts them by prefix, longest first.
pub(super) fn routes(sections: Vec<Section<'_>>, upstreams: &Upstreams) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    let mut prefixes: Vec<String> = Vec::new();
    for section in sections {
        routes.extend(route(section, upstreams, &mut prefixes));
    }
    routes.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then_with(|| a.prefix.cmp(&b.prefix)));
    routes
}

fn route(mut section: Section<'_>, upstreams: &Upstreams, prefixes: &mut Vec<String>) -> Option<Route> {
    let prefix_item = section.require("prefix", "\"/v2/\"");
    let upstream_item = section.require("upstream", "\"registry\"");
    let auth_item = section.require("auth", "\"registry\"");
    let challenge_item = section.take("challenge");
    let credentials_item = section.take("credentials");
    let identity_item = section.take("identity");
    section.finish();

    let prefix = prefix_item.and_then(|item| prefix(&item, prefixes));
    let words = [("registry", RouteAuth::Registry), ("api", RouteAuth::Api), ("public", RouteAuth::Public)];
    let auth = auth_item.and_then(|item| item.word(&words));
    if let (Some(item), Some(prefix), Some(auth)) = (prefix_item, &prefix, auth) {
        fits(&item, prefix, auth);
    }
    let challenge = challenge_item.map_or(Some(Challenge::Basic), |item| challenge(&item, auth));
    let index = upstream_item.and_then(|item| upstream(&item, upstreams));
    let own = credentials_item.map(|item| credentials(&item));
    let own_filter = identity_item.map(|item| own_filter(&item));

    let (prefix, index, auth) = (prefix?, index?, auth?);
    let credentials = match own {
        Some(own) => own?,
        None => upstreams.list.get(index)?.credentials.clone(),
    };
    let credentials = suits(auth, credentials, credentials_item, upstream_item?)?;
    let filter = match own_filter {
        Some(filter) => Some(filter?),
        None => None,
    };
    if let (Some(item), false) = (identity_item, matches!(credentials, Credentials::Identity)) {
        let message = "this filter is never run: the route's upstream is not told the identity";
        item.reader.warn(
            "unused-filter",
            item.key,
            message,
            "set `credentials = \"identity\"` on this route, or leave the filter out",
        );
    }
    Some(Route { prefix, upstream: index, auth, challenge: challenge?, credentials, filter })
}

fn prefix(item: &Item<'_>, prefixes: &mut Vec<String>) -> Option<String> {
    let text = item.text()?;
    if !is_normal_path(text) {
        let message = format!("\"{}\" is no path prefix", item.shown());
        item.fail(
            "wrong-value",
            message,
            "begin it with `/`, without empty, `.` and `..` segments and without escapes, as in \"/v2/\"",
        );
        return None;
    }
    // `/v2` and `/v2/` cover the same paths: prefixes match whole segments.
    let key = text.trim_end_matches('/').to_owned();
    if prefixes.contains(&key) {
        item.fail("duplicate", format!("there is another route for \"{text}\""), "a prefix goes to one upstream");
        return None;
    }
    prefixes.push(key);
    Some(text.to_owned())
}

/// Whether a path is absolute, unescaped, and would survive normalization as it is.
pub(super) fn is_normal_path(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte);
    let Some(rest) = text.strip_prefix('/') else { return false };
    let segments = rest.strip_suffix('/').unwrap_or(rest);
    let normal = rest.is_empty() || segments.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    text.bytes().all(plain) && normal
}

/// The registry's paths are for registry routes, and registry routes are for them.
fn fits(item: &Item<'_>, prefix: &str, auth: RouteAuth) {
    let within = is_of_registry(prefix);
    match auth {
        RouteAuth::Registry if !within => {
            let message = format!("a route with `auth = \"registry\"` cannot have the prefix \"{prefix}\"");
            item.fail(
                "wrong-value",
                message,
                "the registry is at \"/v2/\" or \"/extensions/v2/\"; for other paths set `auth = \"api\"`",
            );
        }
        RouteAuth::Api | RouteAuth::Public if within => {
            let message = format!("\"{prefix}\" belongs to the registry, and this route is not judged by its grammar");
            item.fail("wrong-value", message, "set `auth = \"registry\"`, or choose another prefix");
        }
        _ => {}
    }
}

fn challenge(item: &Item<'_>, auth: Option<RouteAuth>) -> Option<Challenge> {
    if let Some(RouteAuth::Registry | RouteAuth::Public) = auth {
        let message = "only a route with `auth = \"api\"` has a choice of challenges";
        item.fail("wrong-value", message, "leave it out: registry clients know Bearer, and a public route asks nobody");
        return None;
    }
    item.word(&[("basic", Challenge::Basic), ("bearer", Challenge::Bearer), ("api-key", Challenge::ApiKey)])
}

fn upstream(item: &Item<'_>, upstreams: &Upstreams) -> Option<usize> {
    let text = item.text()?;
    if let Some(index) = upstreams.names.get(text) {
        return *index;
    }
    let names = || upstreams.names.keys().map(String::as_str);
    let hint = match super::nearest::nearest(text, names()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None if upstreams.names.is_empty() => "add an [[upstream]] with this name".into(),
        None => format!("the upstreams are {}", names().collect::<Vec<_>>().join(", ")),
    };
    item.fail("unknown-upstream", format!("there is no upstream \"{}\"", item.shown()), hint);
    None
}

/// Tokens that go upstream say what a registry operation needs, and a public route has no caller to speak of.
fn suits(auth: RouteAuth, credentials: Credentials, own: Option<Item<'_>>, upstream: Item<'_>) -> Option<Credentials> {
    let token = matches!(credentials, Credentials::ForwardToken | Credentials::MintToken);
    match (auth, own) {
        (RouteAuth::Public, None) if token => Some(Credentials::None),
        (RouteAuth::Api | RouteAuth::Public, own) if token => {
            let message = "only a route with `auth = \"registry\"` can send a token upstream";
            let hint = "set `credentials = \"identity\"` or \"none\" on this route";
            own.unwrap_or(upstream).fail("wrong-credentials", message, hint);
            None
        }
        _ => Some(credentials),
    }
}

/// `identity` of a route: a filter, or `{ filter = … }`.
fn own_filter(item: &Item<'_>) -> Option<Arc<Filter>> {
    if let Value::String(_) = item.value {
        return filter(item);
    }
    let mut section = item.section(Title::Text("`identity` of a route"))?;
    let text = section.require("filter", "\"{identity: {user: {username: .subject}}}\"");
    section.finish();
    filter(&text?)
}
