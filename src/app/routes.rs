//! Routes, and what each tells its upstream.

use std::sync::Arc;

use super::StartError;
use super::upstreams::{Wired, basic, identity_header};
use crate::config::{self, Config};
use crate::server::{Route, RouteAuth, Routes, Scheme, UploadSettings, UpstreamCredentials};

/// The routes of a configuration, to its upstreams, which stand in the same order.
pub(super) fn routes(config: &Config, upstreams: &[Wired<'_>]) -> Result<Routes, StartError> {
    let mut routes = Vec::new();
    for route in &config.routes {
        let Some(Wired { configured: upstream, running, pulp, newcomers }) = upstreams.get(route.upstream) else {
            continue;
        };
        let credentials = match &route.credentials {
            config::Credentials::Identity => {
                let filter = route.filter.as_ref().unwrap_or(&config.identity.filter);
                UpstreamCredentials::Identity(identity_header(config, upstream, filter)?)
            }
            config::Credentials::ForwardToken => UpstreamCredentials::ForwardToken,
            config::Credentials::MintToken => UpstreamCredentials::MintToken,
            config::Credentials::None => UpstreamCredentials::None,
            config::Credentials::Basic { username, password } => {
                UpstreamCredentials::Basic(basic(upstream, username, password)?)
            }
        };
        let mut own_authorities: Vec<String> =
            upstream.urls.iter().filter_map(|url| url.authority().map(ToOwned::to_owned)).collect();
        own_authorities.extend(upstream.content_origins.iter().map(|origin| origin.authority.clone()));
        routes.push(Route {
            prefix: route.prefix.clone(),
            upstream: Arc::clone(running),
            auth: match route.auth {
                config::RouteAuth::Registry => RouteAuth::Registry,
                config::RouteAuth::Api => RouteAuth::Api,
                config::RouteAuth::Public => RouteAuth::Public,
            },
            challenge: match (route.auth, route.challenge) {
                (config::RouteAuth::Registry | config::RouteAuth::Public, _) | (_, config::Challenge::Bearer) => {
                    Scheme::Bearer
                }
                (_, config::Challenge::Basic) => Scheme::Basic,
                (_, config::Challenge::ApiKey) => Scheme::ApiKey,
            },
            credentials,
            mounts: upstream.mounts,
            signatures: upstream.signatures,
            pulp: pulp.clone(),
            // Only a token can be of somebody whom Pulp does not know; the identity header makes itself known.
            newcomers: newcomers.clone().filter(|_| {
                matches!(route.credentials, config::Credentials::ForwardToken | config::Credentials::MintToken)
            }),
            uploads: UploadSettings { chunk: upstream.chunk_uploads, verify: upstream.verify_digests },
            own_authorities,
        });
    }
    Ok(Routes::new(routes))
}
