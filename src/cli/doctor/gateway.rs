//! The running gateway, asked as clients ask it: by each of its public URLs.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::Scheme;

use super::certificate::Own;
use super::finding::{Finding, Group};
use super::http::{Answer, Header, Outcome, Target};
use super::public::{self, Expected, Seen};
use super::site::{Site, api, target};
use super::smuggle::{self, spellings};
use super::{identity, plain};
use crate::authz::{RepositoryPattern, Target as RuleTarget};
use crate::config::{self, Listener, PublicUrl, RouteAuth};
use crate::server::tls::ClientAuth;
use crate::server::{Address, JWKS_PATH, Tls};

/// Most repositories of the rules that are tried without credentials.
const REPOSITORIES: usize = 3;

/// Examines the gateway by one of its names.
pub(super) async fn examine(site: &Site<'_>, url: &PublicUrl) -> Group {
    let shown = format!("{}://{}", url.scheme, url.authority);
    let mut group = Group::new(format!("gateway {shown}"));
    let Some(mut way) = target(url) else { return group };
    let mut own = None;
    if url.scheme == Scheme::HTTPS {
        let secured = site.config.server.tls.as_ref().zip(listener(site, true));
        let Some(listen) = secured.map(|(_, listen)| listen).or_else(|| listener(site, false)) else { return group };
        let Target { address: Address::Tcp { host, .. }, .. } = &way else { return group };
        let name = host.clone();
        way = here(listen);
        match secured.map(|(tls, _)| speak(tls, &name)) {
            Some(Ok((certificate, tls))) => (own, way.tls) = (Some(certificate), Some(tls)),
            Some(Err(finding)) => {
                group.add([finding]);
                return group;
            }
            // TLS ends in a proxy in front: its way to the gateway is taken instead.
            None => group.add([Finding::note(
                "https-not-checked",
                format!("TLS ends in a proxy in front, which was not checked: {way} was asked in its name"),
            )]),
        }
    }
    let asks = Asks { site, way, host: url.authority.clone() };
    if let Some(own) = &own
        && site.config.server.tls.as_ref().is_some_and(|tls| tls.client_auth == ClientAuth::Required)
    {
        // The listener shows its certificate before it refuses.
        let _ = asks.get(JWKS_PATH, &[]).await;
        group.add(own.findings(site.clock.now()));
        group.add([Finding::note(
            "client-certificate",
            "not checked further: clients must show a certificate, and the doctor has none",
        )]);
        return group;
    }
    let expected = asks.expected(url, shown);
    let seen = asks.see(url).await;
    group.add(own.iter().flat_map(|own| own.findings(site.clock.now())));
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

/// The TCP listener that clients come to, by TLS or not; one that reads PROXY headers only where there is no other.
fn listener(site: &Site<'_>, secured: bool) -> Option<SocketAddr> {
    let listeners = site.config.server.listen.iter().filter(|listener| !secured || listener.tls != Some(false));
    let (plain, proxied): (Vec<&Listener>, _) = listeners.partition(|listener| !listener.proxy_protocol);
    plain.into_iter().chain(proxied).find_map(Listener::tcp)
}

/// How a listener of this host is reached from here.
fn here(listen: SocketAddr) -> Target {
    let ip = listen.ip();
    let host = if !ip.is_unspecified() {
        ip.to_string()
    } else if ip.is_ipv6() {
        "::1".into()
    } else {
        "127.0.0.1".into()
    };
    Target::plain(host, listen.port())
}

/// TLS with the gateway itself, which is asked for this name.
fn speak(tls: &config::Tls, name: &str) -> Result<(Arc<Own>, Arc<Tls>), Finding> {
    let own = Own::read(tls, name)?;
    let tls = own.tls()?;
    Ok((own, tls))
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
        let query = |path: &str, service: &str| format!("{path}?service={service}");
        match service {
            Some((location, service)) if url.scheme == Scheme::HTTP => {
                if let Some((target, host, path)) = split(&location) {
                    realm = Some(self.site.client.get(&target, &host, &query(&path, &service), &[]).await);
                }
            }
            // By the same way, where that is the gateway's own.
            Some((location, service)) if self.way.tls.is_some() => {
                let path = location.strip_prefix("https://").and_then(|rest| rest.strip_prefix(self.host.as_str()));
                if let Some(path) = path.filter(|path| path.starts_with('/')) {
                    realm = Some(self.get(&query(path, &service), &[]).await);
                }
            }
            _ => {}
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
