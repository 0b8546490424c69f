//! What all examinations share: the configuration, the client, our keys, and the requests that are made of them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::uri::Scheme;
use serde_json::{Value, json};

use super::http::{Client, Header, Target, secret_header};
use super::identity::{NAME, impossible_name};
use crate::cli::token::settings;
use crate::clock::Clock;
use crate::config::{Config, Credentials, Kind, PublicUrl, Pulp, Route, Transport, UpstreamUrl};
use crate::document::{self, Document, RequestAction, RequestFacts};
use crate::identity::IdentityHeader;
use crate::keys::{KeyRing, SigningKey};
use crate::registry::AccessSet;
use crate::registry::path::is_at_or_below;
use crate::secret::Secret;
use crate::server::{Address, IdentityFiles, Tls, TlsSettings};
use crate::subject::{Caller, Subject, UserName};
use crate::token::{Grant, Issuer, TokenKind};

/// The set-up that is examined.
pub(super) struct Site<'a> {
    pub(super) config: &'a Config,
    pub(super) client: Client,
    pub(super) clock: Clock,
    /// None where the keys cannot be read.
    pub(super) keys: Option<Keys>,
    /// `--url`.
    pub(super) url: Option<PublicUrl>,
}

/// Our keys, and one that is nobody's.
pub(super) struct Keys {
    ring: Arc<KeyRing>,
    ours: Issuer,
    foreign: Option<Issuer>,
}

impl Keys {
    /// Prepares both.
    pub(super) fn new(config: &Config, ring: KeyRing, clock: &Clock) -> Result<Self, String> {
        let (token, settings) = (&config.token, settings(config));
        let ring = Arc::new(ring);
        let issuer = |ring| Issuer::new(ring, settings.clone(), clock.clone());
        let ours = issuer(Arc::clone(&ring)).map_err(|error| error.to_string())?;
        let foreign = SigningKey::generate(ring.signing().key().algorithm())
            .ok()
            .and_then(|key| KeyRing::new(vec![key], token.key_id, false).ok())
            .and_then(|ring| issuer(Arc::new(ring)).ok());
        Ok(Self { ring, ours, foreign })
    }

    /// The ids of our keys.
    pub(super) fn ids(&self) -> Vec<String> {
        self.ring.iter().map(|key| key.kid().to_owned()).collect()
    }

    /// An anonymous token without any right, as clients get it.
    pub(super) fn issued(&self, audience: &str) -> Option<Header> {
        issued(&self.ours, audience)
    }

    /// The token that a route with these credentials brings, by our key, or by nobody's.
    pub(super) fn brought(&self, minted: bool, audience: &str, foreign: bool) -> Option<Header> {
        let issuer = if foreign { self.foreign.as_ref()? } else { &self.ours };
        if minted {
            return bearer(&issuer.mint(&Caller::Anonymous, audience, &AccessSet::default()).ok()?);
        }
        issued(issuer, audience)
    }
}

fn issued(issuer: &Issuer, audience: &str) -> Option<Header> {
    let access = AccessSet::default();
    let grant = Grant { caller: &Caller::Anonymous, audience, kind: TokenKind::Registry, access: &access };
    bearer(&issuer.issue(&grant).ok()?.token)
}

fn bearer(token: &Secret) -> Option<Header> {
    secret_header(AUTHORIZATION, &format!("Bearer {}", token.expose()))
}

/// The header of an account.
pub(super) fn basic(username: &str, password: &str) -> Option<Header> {
    secret_header(AUTHORIZATION, &format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
}

impl Site<'_> {
    /// The names by which clients reach the gateway, and that requests to upstreams carry as Host.
    pub(super) fn names(&self) -> Vec<PublicUrl> {
        self.url.as_ref().map_or_else(|| self.config.server.public_urls.clone(), |url| vec![url.clone()])
    }

    /// The Host of requests to upstreams.
    pub(super) fn host(&self) -> String {
        self.config.server.public_urls.first().map_or_else(|| "localhost".to_owned(), |url| url.authority.clone())
    }

    /// The setting for the Pulp that a route leads to.
    pub(super) fn pulps(&self) -> impl Iterator<Item = &Pulp> {
        self.config.upstreams.iter().filter_map(|upstream| match &upstream.kind {
            Kind::Pulp(pulp) => Some(pulp),
            Kind::Registry => None,
        })
    }

    /// Our identity header with what is no JSON in it.
    pub(super) fn nonsense(&self) -> Option<Header> {
        secret_header(self.config.identity.header.clone(), &STANDARD.encode(NAME))
    }

    /// The identity header that the filter of a route makes for a reader, with an impossible name in it. A filter that makes no
    /// name of the subject's is left out of it: then the name stands where the upstream looks for it.
    pub(super) fn named(&self, route: &Route) -> Option<Header> {
        let text = self.filtered(route).filter(|text| text.contains(NAME));
        let text = text.map_or_else(|| self.claimed().to_string(), |text| text.replace(NAME, &impossible_name()));
        secret_header(self.config.identity.header.clone(), &STANDARD.encode(text))
    }

    /// What a client could claim: a document with an impossible name.
    pub(super) fn claimed(&self) -> Value {
        let path = self.config.identity.username.split('.').filter(|name| !name.is_empty());
        path.rev().fold(Value::from(impossible_name()), |inner, name| json!({ name: inner }))
    }

    fn filtered(&self, route: &Route) -> Option<String> {
        let identity = &self.config.identity;
        let filter = Arc::clone(route.filter.as_ref().unwrap_or(&identity.filter));
        let header =
            IdentityHeader::new(identity.header.clone(), filter, &identity.username, false, identity.max_header);
        let subject = Subject::new(UserName::parse(NAME).ok()?, Vec::new(), "users".into());
        let api = route.auth == crate::config::RouteAuth::Api;
        let facts = RequestFacts {
            kind: if api { document::Kind::Api } else { document::Kind::Repository },
            repository: (!api).then_some(NAME),
            reference: (!api).then_some("latest"),
            path: api.then_some(route.prefix.as_str()),
            action: if api { RequestAction::Read } else { RequestAction::Pull },
            method: Some(&http::Method::GET),
        };
        let service = self.config.token.services.first().map_or("", String::as_str);
        let value = header.ok()?.value(&Document::new(&Caller::Known(subject.into()), service, &facts)).ok()??;
        String::from_utf8(STANDARD.decode(value.as_bytes()).ok()?).ok()
    }

    /// Whether a path has a route, and which.
    pub(super) fn route(&self, path: &str) -> Option<&Route> {
        // Sorted, the longest first.
        self.config.routes.iter().find(|route| is_at_or_below(path, route.prefix.trim_end_matches('/')))
    }
}

/// Where Pulp's REST API is; with domains, that of the domain that every Pulp has.
pub(super) fn api(pulp: &Pulp) -> String {
    format!("{}{}api/v3/", pulp.api_root, if pulp.domains { "default/" } else { "" })
}

/// Whether tokens are minted for each request; `None` where none are sent.
pub(super) fn is_minted(credentials: &Credentials) -> Option<bool> {
    match credentials {
        Credentials::ForwardToken => Some(false),
        Credentials::MintToken => Some(true),
        Credentials::Identity | Credentials::None | Credentials::Basic { .. } => None,
    }
}

/// Where the connection for a URL goes.
pub(super) fn target(url: &PublicUrl) -> Option<Target> {
    let authority: http::uri::Authority = url.authority.parse().ok()?;
    let default = if url.scheme == Scheme::HTTPS { 443 } else { 80 };
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    Some(Target::plain(host, authority.port_u16().unwrap_or(default)))
}

/// Where the connection for an address of an upstream goes; why nowhere, is text.
pub(super) fn upstream_target(url: &UpstreamUrl, transport: &Transport) -> Result<Target, String> {
    let address = match url {
        UpstreamUrl::Web { host, port, .. } => Address::Tcp { host: host.clone(), port: *port },
        UpstreamUrl::Unix(path) => Address::Unix(path.clone()),
    };
    let tls = &transport.tls;
    let identity = tls.identity.clone().map(|(cert, key)| IdentityFiles { cert, key });
    let settings = TlsSettings { ca: tls.ca.clone(), identity, server_name: tls.server_name.clone() };
    let tls = if url.is_https() {
        Some(Arc::new(Tls::load(&settings, transport.http2).map_err(|error| error.to_string())?))
    } else {
        None
    };
    Ok(Target { address, tls, http2: transport.http2 })
}
