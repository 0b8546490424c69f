//! Which upstream a path leads to, and how requests to it are judged.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Method};

use super::challenge::Scheme;
use super::newcomers::Newcomers;
use super::upload::UploadSettings;
use super::upstream::Upstream;
use crate::identity::IdentityHeader;
use crate::pulp::{Paths, Standing};
use crate::registry::path::{RequestPath, is_at_or_below, is_of_registry};

/// How the requests of a route are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAuth {
    /// By the registry grammar, bearer challenges and repository rules.
    Registry,
    /// By rules with paths and methods.
    Api,
    /// Not at all; `Authorization` is stripped.
    Public,
}

/// What an upstream is told about the caller.
#[derive(Clone)]
pub enum UpstreamCredentials {
    /// The identity header.
    Identity(Arc<IdentityHeader>),
    /// The client's own token; one is minted for callers who came without.
    ForwardToken,
    /// A token signed for the one request.
    MintToken,
    /// Nothing.
    None,
    /// One fixed account; the value of `Authorization`.
    Basic(HeaderValue),
}

impl UpstreamCredentials {
    /// The name of the setting, for logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Identity(_) => "credentials = \"identity\"",
            Self::ForwardToken => "credentials = \"forward-token\"",
            Self::MintToken => "credentials = \"mint-token\"",
            Self::None => "credentials = \"none\"",
            Self::Basic(_) => "credentials = { basic = … }",
        }
    }
}

impl fmt::Debug for UpstreamCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// Path prefix without a slash at its end; it matches on segment boundaries.
    pub prefix: String,
    /// Where it leads.
    pub upstream: Arc<Upstream>,
    /// How its requests are judged.
    pub auth: RouteAuth,
    /// How its callers are challenged.
    pub challenge: Scheme,
    /// What the upstream is told.
    pub credentials: UpstreamCredentials,
    /// Whether mounts are forwarded as such.
    pub mounts: bool,
    /// Whether the gateway's own `/v2/` answers say that the upstream keeps signatures.
    pub signatures: bool,
    /// Where the endpoints of the upstream are, if it is a Pulp.
    pub pulp: Option<Arc<Paths>>,
    /// Makes callers known to a Pulp that takes tokens, if it is to be done.
    pub newcomers: Option<Arc<Newcomers>>,
    /// What becomes of uploads.
    pub uploads: UploadSettings,
    /// Authorities that stand for the gateway in `Location` and `Link`: the upstream's own and its content origins'.
    pub own_authorities: Vec<String>,
}

impl Route {
    /// Whether a request for this path is judged as the route says, or belongs to an endpoint of Pulp's that has its own way.
    pub(crate) fn standing(&self, method: &Method, path: &RequestPath) -> Standing {
        let pulp = self.pulp.as_ref().filter(|_| self.auth != RouteAuth::Registry);
        pulp.map_or(Standing::Judged, |pulp| pulp.standing(method, path, &self.prefix))
    }
}

/// All routes.
#[derive(Debug, Default)]
pub struct Routes(Vec<Arc<Route>>);

impl Routes {
    /// Sorts routes so that the longest prefix is met first.
    pub fn new(mut routes: Vec<Route>) -> Self {
        for route in &mut routes {
            route.prefix.truncate(route.prefix.trim_end_matches('/').len());
        }
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Self(routes.into_iter().map(Arc::new).collect())
    }

    /// The route with the longest prefix of this path.
    ///
    /// What belongs to the registry's grammar is never taken by another kind of route: a public route `/` does not open `/v2/`.
    pub(crate) fn find(&self, path: &RequestPath) -> Option<&Arc<Route>> {
        let path = path.as_str();
        let of_registry = is_of_registry(path);
        self.0
            .iter()
            .find(|route| is_at_or_below(path, &route.prefix))
            .filter(|route| !of_registry || route.auth == RouteAuth::Registry)
    }
}

#[cfg(test)]
mod tests {
    use super::{Route, RouteAuth, Routes, UploadSettings, UpstreamCredentials};
    use crate::registry::path::RequestPath;
    use crate::server::challenge::Scheme;
    use crate::server::upstream::{Upstream, UpstreamSettings};

    fn routes(prefixes: &[&str]) -> Routes {
        let upstream = Upstream::new(UpstreamSettings::plain(&[1]), 1);
        let upstream = upstream.unwrap();
        let route = |prefix: &&str| Route {
            prefix: (*prefix).to_owned(),
            upstream: upstream.clone(),
            auth: if prefix.contains("v2") { RouteAuth::Registry } else { RouteAuth::Public },
            challenge: Scheme::Bearer,
            credentials: UpstreamCredentials::None,
            mounts: true,
            signatures: false,
            pulp: None,
            newcomers: None,
            uploads: UploadSettings::default(),
            own_authorities: vec![],
        };
        Routes::new(prefixes.iter().map(route).collect())
    }

    #[test]
    fn the_longest_prefix_on_a_segment_boundary_wins() {
        let routes = routes(&["/v2/", "/v2/team/", "/pulp/api"]);
        let find = |path: &str| routes.find(&RequestPath::parse(path).unwrap()).map(|route| route.prefix.clone());
        assert_eq!(find("/v2/").as_deref(), Some("/v2"));
        assert_eq!(find("/v2").as_deref(), Some("/v2"));
        assert_eq!(find("/v2/team/app/tags/list").as_deref(), Some("/v2/team"));
        assert_eq!(find("/v2/teams/app/tags/list").as_deref(), Some("/v2"));
        assert_eq!(find("/%76%32/team/x").as_deref(), Some("/v2/team"));
        assert_eq!(find("/v2x/"), None);
        assert_eq!(find("/"), None);
        assert_eq!(find("/pulp/apix"), None);
    }

    #[test]
    fn a_wide_public_route_does_not_open_the_registry() {
        let routes = routes(&["/"]);
        let find = |path: &str| routes.find(&RequestPath::parse(path).unwrap()).is_some();
        assert!(find("/") && find("/v2x") && find("/docs"));
        for path in ["/v2", "/v2/", "/%76%32/a/manifests/v1", "/extensions/v2/a/signatures/x"] {
            assert!(!find(path), "{path}");
        }
    }
}
