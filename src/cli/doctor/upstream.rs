//! One upstream, asked directly: as the gateway would ask it, and as nobody should be able to.

use std::net::IpAddr;

use super::around::{self, Guard};
use super::finding::{Finding, Group};
use super::http::{Header, Outcome, Target};
use super::identity::{self, NAME};
use super::product::{self, Product, PulpStatus};
use super::site::{Site, api, basic, is_minted, upstream_target};
use super::{plain, tokens};
use crate::config::{Credentials, Kind, Pulp, Route, RouteAuth, Upstream, UpstreamUrl};
use crate::server::Address;

/// Where Pulp's REST API is unless it was moved.
const USUAL: &str = "/pulp/api/v3/status/";
/// Where Pulp's registry sends clients for blobs.
const BLOBS: &str = "/pulp/container/";

/// Examines one address of an upstream.
pub(super) async fn examine(site: &Site<'_>, index: usize, upstream: &Upstream, url: &UpstreamUrl) -> Group {
    let mut group = Group::new(format!("upstream {} ({url})", upstream.name));
    let routes: Vec<&Route> = site.config.routes.iter().filter(|route| route.upstream == index).collect();
    if routes.is_empty() {
        group.add([Finding::note("unused", "no route leads to it, so it was not looked at")]);
        return group;
    }
    let target = match upstream_target(url, &upstream.transport) {
        Ok(target) => target,
        Err(error) => {
            group.add([Finding::error("unusable-tls", error, "put right what `tls` names")]);
            return group;
        }
    };
    let asks = Asks { site, target: &target, host: site.host() };
    let asked = asks.product(&upstream.kind).await;
    let ping = match &asked.ping {
        Ok(ping) => ping,
        Err(error) => {
            let mend = "start it, or correct `url`; a firewall may stand between";
            group.add([Finding::error("unreachable", format!("{target}: {error}"), mend)]);
            return group;
        }
    };
    let product = product::identify(&asked);
    let kind = product::check(&product, &upstream.kind);
    let known = !kind.is_wrong();
    group.add([kind]);
    group.add(plain::clock("the upstream", ping, site.clock.now()));
    // Where it is not what it is taken for, the rest would be asked at the wrong paths.
    if known {
        for route in &routes {
            group.add(asks.credentials(route, &product, &upstream.kind, &asked.ping).await);
        }
        if let Product::Pulp(status) = &product {
            group.add(asks.pulp(status, upstream, &routes).await);
        }
    }
    group.add([asks.around(&product, &routes).await]);
    group
}

/// Asks one upstream.
struct Asks<'a> {
    site: &'a Site<'a>,
    target: &'a Target,
    host: String,
}

impl Asks<'_> {
    async fn get(&self, path: &str, headers: &[Header]) -> Outcome {
        self.site.client.get(self.target, &self.host, path, headers).await
    }

    async fn product(&self, kind: &Kind) -> product::Asked {
        let own = match kind {
            Kind::Pulp(pulp) => format!("{}status/", api(pulp)),
            Kind::Registry => USUAL.to_owned(),
        };
        let ping = self.get("/v2/", &[]).await;
        let mut status = self.get(&own, &[]).await;
        let mut usual = None;
        if let Kind::Pulp(pulp) = kind
            && status.as_ref().is_ok_and(|answer| answer.status != 200)
        {
            // The status is also where the other setting of `domains` would have it.
            let other = format!("{}status/", api(&Pulp { domains: !pulp.domains, ..pulp.clone() }));
            let found = self.get(&other, &[]).await;
            if found.as_ref().is_ok_and(|answer| answer.status == 200) {
                status = found;
            } else if own != USUAL {
                usual = Some(self.get(USUAL, &[]).await);
            }
        }
        product::Asked { ping, status, usual, zot: self.get("/v2/_zot/ext/mgmt", &[]).await }
    }

    /// The findings about what one route tells the upstream.
    async fn credentials(&self, route: &Route, product: &Product, kind: &Kind, ping: &Outcome) -> Vec<Finding> {
        if route.auth == RouteAuth::Public {
            return Vec::new();
        }
        let path = match (route.auth, kind) {
            (RouteAuth::Api, Kind::Pulp(pulp)) => format!("{}users/", api(pulp)),
            (RouteAuth::Api, Kind::Registry) => route.prefix.clone(),
            _ => "/v2/".to_owned(),
        };
        let without = if path == "/v2/" { ping.clone() } else { self.get(&path, &[]).await };
        let mut findings = self.brought(route, product, &path, without).await;
        for finding in findings.iter_mut().filter(|finding| finding.is_wrong()) {
            finding.seen = format!("{path}: {}", finding.seen);
        }
        findings
    }

    async fn brought(&self, route: &Route, product: &Product, path: &str, without: Outcome) -> Vec<Finding> {
        if let Some(minted) = is_minted(&route.credentials) {
            return if route.auth == RouteAuth::Registry {
                self.tokens(minted, product, without).await
            } else {
                Vec::new()
            };
        }
        match &route.credentials {
            Credentials::Identity if matches!(product, Product::Pulp(_)) => self.identity(route, path, without).await,
            Credentials::Identity => vec![plain::unguarded(&without, "identity")],
            Credentials::Basic { username, password } => {
                let account: Vec<_> = basic(username, password.expose()).into_iter().collect();
                plain::account(&without, &self.get(path, &account).await)
            }
            _ => vec![plain::unguarded(&without, "none")],
        }
    }

    async fn identity(&self, route: &Route, path: &str, without: Outcome) -> Vec<Finding> {
        let list = |header: Option<Header>| header.into_iter().collect::<Vec<_>>();
        let basic = if route.auth == RouteAuth::Api {
            // Nobody's password, so that nothing but the scheme is tried.
            Some(self.get(path, &list(basic(NAME, &format!("{:x}", self.site.clock.now())))).await)
        } else {
            None
        };
        let seen = identity::Seen {
            without,
            nonsense: self.get(path, &list(self.site.nonsense())).await,
            named: self.get(path, &list(self.site.named(route))).await,
            basic,
        };
        let identity = &self.site.config.identity;
        identity::check(&seen, identity::Expected { header: &identity.header, username: &identity.username })
    }

    async fn tokens(&self, minted: bool, product: &Product, without: Outcome) -> Vec<Finding> {
        let config = self.site.config;
        let own = config.token.services.iter().find(|service| service.eq_ignore_ascii_case(&self.host));
        let default = config.token.services.first();
        let audience = if minted { &self.host } else { own.or(default).unwrap_or(&self.host) };
        let (mut ours, mut foreign) = (None, None);
        if let Some(keys) = &self.site.keys {
            if let Some(token) = keys.brought(minted, audience, false) {
                ours = Some(self.get("/v2/", &[token]).await);
            }
            if let Some(token) = keys.brought(minted, audience, true) {
                foreign = Some(self.get("/v2/", &[token]).await);
            }
        }
        let pulp = matches!(product, Product::Pulp(_) | Product::PulpElsewhere { .. });
        let expected = tokens::Expected { pulp, issuer: &config.token.issuer, host: &self.host, audience };
        tokens::check(&tokens::Seen { without, ours, foreign }, expected)
    }

    /// The findings about what Pulp says of itself.
    async fn pulp(&self, status: &PulpStatus, upstream: &Upstream, routes: &[&Route]) -> Vec<Finding> {
        let registry = routes.iter().any(|route| route.auth == RouteAuth::Registry);
        let tokens = routes.iter().any(|route| is_minted(&route.credentials).is_some());
        let mut findings = Vec::new();
        if registry {
            let public = &self.site.config.server.public_urls;
            let origin = status.content_origin.as_deref();
            let finding = plain::content_origin(origin, public, &upstream.content_origins);
            if !finding.is_wrong() && self.site.route(BLOBS).is_none() {
                findings.push(Finding::error(
                    "content-route",
                    format!("Pulp sends clients to {BLOBS} for blobs, and no route leads there"),
                    format!("add a route with `prefix = \"{BLOBS}\"` and `auth = \"public\"` to the content app"),
                ));
            }
            findings.push(finding);
        }
        if tokens {
            findings.extend(tokens::own_endpoint(&self.get(&format!("/token/?service={}", self.host), &[]).await));
        }
        findings
    }

    /// The finding about ways around the gateway.
    async fn around(&self, product: &Product, routes: &[&Route]) -> Finding {
        let Address::Tcp { host, port } = &self.target.address else {
            return Finding::note(
                "around",
                "who may use its socket is for the mode of the file, and was not looked at",
            );
        };
        if self.target.tls.is_some() {
            // By another address its certificate would be wrong, whoever answers there.
            return Finding::note(
                "around",
                "it speaks TLS: whether it can be reached around the gateway was not looked at",
            );
        }
        // Whoever reaches it is believed, or is asked nothing.
        let relies = |route: &Route| {
            route.auth != RouteAuth::Public && matches!(route.credentials, Credentials::Identity | Credentials::None)
        };
        let guard = if routes.iter().any(|route| relies(route)) { Guard::Gateway } else { Guard::Itself };
        let own = around::addresses();
        let resolved = tokio::net::lookup_host((host.as_str(), *port)).await;
        let resolved: Vec<IpAddr> = resolved.map(|list| list.map(|address| address.ip()).collect()).unwrap_or_default();
        if !resolved.iter().any(|address| address.is_loopback() || own.contains(address)) {
            return around::check(&around::Seen::Elsewhere, guard, *port);
        }
        let mut others = Vec::new();
        for address in own {
            let address_of = Address::Tcp { host: address.to_string(), port: *port };
            let target = Target { address: address_of, ..self.target.clone() };
            let asks = Asks { site: self.site, target: &target, host: self.host.clone() };
            // Another program may listen there: only the same product counts.
            if asks.is(product).await {
                others.push(address);
            }
        }
        around::check(&around::Seen::Here(others), guard, *port)
    }

    async fn is(&self, product: &Product) -> bool {
        let own = self.get("/v2/", &[]).await;
        let Ok(other) = &own else { return false };
        let keys = self.get(crate::server::JWKS_PATH, &[]).await;
        // The gateway itself may have the port at this address.
        if keys.is_ok_and(|keys| keys.status == 200 && keys.json().get("keys").is_some()) {
            return false;
        }
        match product {
            Product::Pulp(_) | Product::PulpElsewhere { .. } => other.headers.contains_key("correlation-id"),
            Product::PulpContent => other.server().contains("aiohttp"),
            Product::Distribution | Product::Zot(_) => other.headers.contains_key("docker-distribution-api-version"),
            Product::Other(_) => true,
        }
    }
}
