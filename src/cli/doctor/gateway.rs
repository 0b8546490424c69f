//! The running gateway, asked as clients ask it: by each of its public URLs.

use http::HeaderValue;
use http::uri::Scheme;

use super::finding::{Finding, Group};
use super::http::{Answer, Header, Outcome, Target};
use super::public::{self, Expected, Seen};
use super::site::{Site, api, target};
use super::smuggle::{self, spellings};
use super::{identity, plain};
use crate::authz::{RepositoryPattern, Target as RuleTarget};
use crate::config::{Listener, PublicUrl, RouteAuth};
use crate::server::JWKS_PATH;

/// Most repositories of the rules that are tried without credentials.
const REPOSITORIES: usize = 3;

/// Examines the gateway by one of its names.
pub(super) async fn examine(site: &Site<'_>, url: &PublicUrl) -> Group {
    let shown = format!("{}://{}", url.scheme, url.authority);
    let mut group = Group::new(format!("gateway {shown}"));
    let Some(mut way) = target(url) else { return group };
    if url.scheme == Scheme::HTTPS {
        // TLS ends in a proxy in front, and is not spoken here: its way to the gateway is taken instead.
        let Some(listen) = site.config.server.listen.iter().find_map(Listener::tcp) else { return group };
        let ip = listen.ip();
        let host = if !ip.is_unspecified() {
            ip.to_string()
        } else if ip.is_ipv6() {
            "::1".into()
        } else {
            "127.0.0.1".into()
        };
        way = Target::plain(host, listen.port());
        group.add([Finding::note(
            "https-not-checked",
            format!("TLS is not spoken by the doctor yet: {way} was asked in its name, and the proxy in front was not checked"),
        )]);
    }
    let asks = Asks { site, way, host: url.authority.clone() };
    let expected = asks.expected(url, shown);
    let seen = asks.see(url).await;
    if let Ok(keys) = &seen.keys {
        group.add(plain::clock("the gateway", keys, site.clock.now()));
    }
    let findings = public::check(&seen, &expected);
    let there =
        findings.first().is_some_and(|finding| !matches!(finding.code, "gateway-unreachable" | "not-the-gateway"));
    group.add(findings);
    if there {
        group.add(asks.smuggle().await);
        group.add(asks.pulp_name(&expected.url).await);
    }
    group
}

/// Asks the gateway by one name.
struct Asks<'a> {
    site: &'a Site<'a>,
    way: Target,
    host: String,
}

impl Asks<'_> {
    async fn get(&self, path: &str, headers: &[Header]) -> Outcome {
        self.site.client.get(&self.way, &self.host, path, headers).await
    }

    fn expected(&self, url: &PublicUrl, shown: String) -> Expected {
        let config = self.site.config;
        let known = config.server.public_urls.contains(url);
        let named = if known { Some(url) } else { config.server.public_urls.first() }.unwrap_or(url);
        Expected {
            url: shown,
            known,
            registry: config.routes.iter().any(|route| route.auth == RouteAuth::Registry),
            realm: format!("{}://{}{}", named.scheme, named.authority, config.token.path),
            services: config.token.services.clone(),
            issuer: config.token.issuer.clone(),
            keys: self.site.keys.as_ref().map(super::site::Keys::ids),
        }
    }

    async fn see(&self, url: &PublicUrl) -> Seen {
        let ping = self.get("/v2/", &[]).await;
        let service =
            ping.as_ref().ok().and_then(Answer::challenge).map(|challenge| (challenge.realm, challenge.service));
        let mut ours = None;
        if let Some(keys) = &self.site.keys
            && let Some(service) = self.site.config.token.services.first()
            && let Some(token) = keys.issued(service)
        {
            ours = Some(self.get("/v2/", &[token]).await);
        }
        let mut realm = None;
        if url.scheme == Scheme::HTTP
            && let Some((location, service)) = service
            && let Some((target, host, path)) = split(&location)
        {
            realm = Some(self.site.client.get(&target, &host, &format!("{path}?service={service}"), &[]).await);
        }
        Seen { ping, ours, keys: self.get(JWKS_PATH, &[]).await, realm }
    }

    /// Tries an identity header of our own making, as a client could.
    async fn smuggle(&self) -> Vec<Finding> {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let claimed = STANDARD.encode(self.site.claimed().to_string());
        let Ok(value) = HeaderValue::from_str(&claimed) else { return Vec::new() };
        let spellings = spellings(&self.site.config.identity.header, &value);
        let mut seen = Vec::new();
        for path in self.paths() {
            let plain = self.get(&path, &[]).await;
            let mut smuggled = Vec::new();
            for spelling in &spellings {
                smuggled.push((spelling.what.clone(), self.get(&path, &spelling.headers).await));
            }
            seen.push(smuggle::Seen { path, plain, smuggled });
        }
        smuggle::check(&seen)
    }

    /// Where Pulp would read an identity: its accounts, its registry, and what the rules may open to everybody.
    fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.site.pulps().map(|pulp| format!("{}users/", api(pulp))).collect();
        if paths.is_empty() {
            return paths;
        }
        paths.push("/v2/".to_owned());
        let patterns = self.site.config.rules.iter().filter_map(|rule| match &rule.target {
            RuleTarget::Repositories { patterns, .. } => Some(patterns),
            _ => None,
        });
        let names = patterns.flatten().map(RepositoryPattern::as_str).filter(|text| !text.contains('$'));
        for name in names.take(REPOSITORIES) {
            let name = name.replace("**", "*").replace('*', identity::NAME);
            paths.push(format!("/v2/{name}/tags/list"));
        }
        paths.dedup();
        paths
    }

    /// What Pulp takes itself for, where its description may be read by everybody.
    async fn pulp_name(&self, url: &str) -> Option<Finding> {
        let pulp = self.site.pulps().next()?;
        let path = format!("{}docs/api.json", api(pulp));
        self.site.route(&path)?;
        public::pulp_name(&self.get(&path, &[]).await, url)
    }
}

/// A URL over plain http, as where to connect, whom to call, and what to ask for.
fn split(url: &str) -> Option<(Target, String, String)> {
    let uri: http::Uri = url.parse().ok()?;
    if uri.scheme() != Some(&Scheme::HTTP) {
        return None;
    }
    let authority = uri.authority()?;
    let public = PublicUrl { scheme: Scheme::HTTP, authority: authority.to_string() };
    Some((target(&public)?, authority.to_string(), uri.path().to_owned()))
}
