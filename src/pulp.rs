//! The paths of Pulp's API app that are not judged like any other: what everybody may read, and what would let somebody in past
//! the gateway.
//!
//! Plain functions over decoded paths. Pulp decodes a path once, as [`RequestPath`] does, and what goes upstream is written anew
//! from that; so no spelling is another endpoint here than there. What lies below `/v2/` is the registry's (`registry`).

use http::Method;

use crate::registry::path::{RequestPath, is_at_or_below};

/// The longest name of a user in Pulp, in characters.
pub const LONGEST_NAME: usize = 150;

/// Where the endpoints of one Pulp are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Pulp's `API_ROOT` without its last slash: empty for `/`.
    root: String,
    /// Whether the segment of a domain may follow it (`DOMAIN_ENABLED`).
    domains: bool,
}

/// An endpoint that is not judged like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `status/`: versions, and what is connected.
    Status,
    /// `livez/`: whether the process answers.
    Livez,
    /// `docs/api.json`: the OpenAPI document.
    ApiDocument,
    /// `login/`: a session cookie that is good without the gateway, for as long as Pulp says.
    Login,
    /// Pulp's own ways to log in beside its REST API: `/token/`, `/auth/`, and those of its optional applications.
    Doorway,
}

/// How a request for an endpoint is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As the route says.
    Judged,
    /// It passes as nobody's.
    Public,
    /// There is no such path here.
    Closed,
}

/// First segments of Pulp's doorways: its token server, the log-in of its browsable API, and those of `social_django` (three),
/// `djangosaml2` and Django's administration.
const DOORWAYS: [&str; 7] = ["token", "auth", "login", "complete", "disconnect", "saml2", "admin"];

impl Paths {
    /// The paths of a Pulp with this `API_ROOT`, which begins and ends with `/`.
    pub fn new(api_root: &str, domains: bool) -> Self {
        Self { root: api_root.trim_end_matches('/').to_owned(), domains }
    }

    /// How a request is treated that a route with this prefix takes. A route whose prefix names the endpoint itself, or what lies
    /// below it, was written for it: there the route says.
    pub fn standing(&self, method: &Method, path: &RequestPath, prefix: &str) -> Standing {
        let Some((endpoint, at)) = self.endpoint(path) else { return Standing::Judged };
        if is_at_or_below(prefix, at) {
            return Standing::Judged;
        }
        match endpoint {
            Endpoint::Login | Endpoint::Doorway => Standing::Closed,
            Endpoint::Status | Endpoint::Livez | Endpoint::ApiDocument => {
                let reads = matches!(*method, Method::GET | Method::HEAD);
                if reads { Standing::Public } else { Standing::Judged }
            }
        }
    }

    /// The endpoint of a path, and the part of the path that names it, without a slash at its end.
    ///
    /// Public ones are recognised exactly where this Pulp has them. Of the others it is enough to look like one: below any root
    /// (Pulp can be told by a header to move its own), in any version of the API, and in any case.
    pub fn endpoint<'a>(&self, path: &'a RequestPath) -> Option<(Endpoint, &'a str)> {
        let text = path.as_str();
        let whole = text.strip_suffix('/').unwrap_or(text);
        if let Some(endpoint) = self.public(whole) {
            return Some((endpoint, whole));
        }
        if let Some(at) = login(whole) {
            return Some((Endpoint::Login, at));
        }
        let first = path.segments().next()?;
        let of_root = is_at_or_below(text, &self.root) && !self.root.is_empty();
        let doorway = DOORWAYS.iter().any(|name| name.eq_ignore_ascii_case(first));
        (doorway && !of_root).then(|| (Endpoint::Doorway, &text[..=first.len()]))
    }

    fn public(&self, path: &str) -> Option<Endpoint> {
        let below = path.strip_prefix(&*self.root)?.strip_prefix('/')?;
        let in_domain = || {
            let (domain, rest) = below.split_once('/')?;
            (self.domains && is_slug(domain)).then_some(rest)?.strip_prefix("api/v3/")
        };
        match below.strip_prefix("api/v3/").or_else(in_domain)? {
            "status" => Some(Endpoint::Status),
            "livez" => Some(Endpoint::Livez),
            "docs/api.json" => Some(Endpoint::ApiDocument),
            _ => None,
        }
    }
}

/// The part of a path up to a `login` that is of some version of the API.
fn login(path: &str) -> Option<&str> {
    let (mut two_before, mut before, mut end) = ("", "", 0);
    for segment in path.split('/') {
        end += segment.len();
        if segment.eq_ignore_ascii_case("login") && two_before.eq_ignore_ascii_case("api") {
            return path.get(..end);
        }
        (two_before, before) = (before, segment);
        end += 1;
    }
    None
}

/// A name as Django's `slug` converter takes it.
fn is_slug(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests;
