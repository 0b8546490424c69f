//! The configuration: `gateway.toml` checked into domain types.
//!
//! [`Config`] is what a correct file means. It can only be had from [`Config::load`] and its like, which report every
//! problem of a file at once, each with file, line, column and what would be right.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Uri};
use ipnet::IpNet;

use crate::authn::PasswordHash;
use crate::authz::Rule;
use crate::jq::Filter;
use crate::keys::KeyIdFormat;
use crate::secret::Secret;
use crate::subject::{GroupName, UserName};

/// A whole, correct configuration.
#[derive(Debug)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[admin]`; none when the section is missing.
    pub admin: Option<Admin>,
    /// `[token]`.
    pub token: Token,
    /// `[[upstream]]`, in file order, names unique.
    pub upstreams: Vec<Upstream>,
    /// `[[route]]`, sorted by prefix, longest first. Empty: a token server alone.
    pub routes: Vec<Route>,
    /// `[identity]`; its defaults when the section is missing.
    pub identity: Identity,
    /// `[[authn]]`, in file order.
    pub authn: Vec<Member>,
    /// `[groups]`: group to members.
    pub groups: Vec<(GroupName, Vec<UserName>)>,
    /// `[[access]]`.
    pub rules: Vec<Rule>,
    /// `[log]`.
    pub log: Log,
    /// `[limits]`.
    pub limits: Limits,
}

/// `[server]`.
#[derive(Debug)]
pub struct Server {
    /// Addresses to listen on; port 0 picks a free one. Never empty.
    pub listen: Vec<SocketAddr>,
    /// What clients call the gateway; the first is the default. Never empty.
    pub public_urls: Vec<PublicUrl>,
    /// Peers whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where the generated key lives.
    pub state_dir: PathBuf,
    /// Worker threads; default: the number of cores.
    pub workers: usize,
    /// How long a client may take to send a request head (default 15 s).
    pub header_timeout: Duration,
    /// How long a kept-alive connection may be idle between requests (default 75 s).
    pub idle_timeout: Duration,
    /// How long a request or response body may stand still (default 60 s).
    pub body_idle_timeout: Duration,
    /// How long in-flight requests may take to finish after SIGTERM (default 30 s).
    pub drain_timeout: Duration,
}

/// A public URL of the gateway: scheme and authority, without path, query or user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// `http` or `https`.
    pub scheme: http::uri::Scheme,
    /// Host and, where it differs from the scheme's, port; lower case.
    pub authority: String,
}

/// `[admin]`.
#[derive(Debug)]
pub struct Admin {
    /// Where `/healthz` and `/readyz` are served.
    pub listen: SocketAddr,
}

/// `[token]`.
#[derive(Debug)]
pub struct Token {
    /// Path of the token endpoint (default `/token`).
    pub path: String,
    /// A listener of its own for the token endpoint and the JWKS; they stay on the main listeners too.
    pub listen: Option<SocketAddr>,
    /// Accepted services, the first is the default. Never empty.
    pub services: Vec<String>,
    /// `iss` (default: the first realm).
    pub issuer: String,
    /// Lifetime of a token; at least 60 s.
    pub ttl: Duration,
    /// PEM files: the first signs, all verify. Empty: one ES256 key is made in `state_dir`.
    pub keys: Vec<PathBuf>,
    /// `kid`: `"rfc7638"` (default) or `"libtrust"`.
    pub key_id: KeyIdFormat,
    /// Whether tokens carry the certificate of their key as `x5c`.
    pub x5c: bool,
}

/// `[[upstream]]`.
#[derive(Debug)]
pub struct Upstream {
    /// Its name, unique.
    pub name: Arc<str>,
    /// `http://host:port`, without a path.
    pub url: Uri,
    /// What it is told about the caller.
    pub credentials: Credentials,
    /// Whether connections are kept and used again (default true).
    pub pool: bool,
    /// How long a pooled connection may be idle (default 4 s; keep it below the upstream's own limit).
    pub pool_idle_timeout: Duration,
    /// Time to connect (default 5 s).
    pub connect_timeout: Duration,
    /// Time from the end of the request to the head of the response (default 5 min).
    pub response_timeout: Duration,
    /// Whether cross-repository mounts are forwarded as such (default true); otherwise they become plain uploads.
    pub mounts: bool,
    /// `X-Registry-Supports-Signatures: 1` on the gateway's own `/v2/` answers.
    pub signatures: bool,
    /// Origins of the upstream's content (`http://host:port`), made path-absolute in `Location` and `Link`.
    pub content_origins: Vec<PublicUrl>,
}

/// What an upstream is told about the caller.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// The identity header.
    Identity,
    /// The client's own bearer token.
    ForwardToken,
    /// A token signed for the one request.
    MintToken,
    /// Nothing.
    None,
    /// One fixed account.
    Basic {
        /// Its name.
        username: String,
        /// Its password.
        password: Secret,
    },
}

/// `[[route]]`.
#[derive(Debug)]
pub struct Route {
    /// Path prefix, matched on segment boundaries; begins with `/`.
    pub prefix: String,
    /// Index into [`Config::upstreams`].
    pub upstream: usize,
    /// How requests are judged.
    pub auth: RouteAuth,
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

/// `[identity]`.
#[derive(Debug)]
pub struct Identity {
    /// The header's name (default `X-Authentication-Service`).
    pub header: HeaderName,
    /// The compiled filter (default `{identity: {user: {username: .subject}}}`).
    pub filter: Arc<Filter>,
    /// Where the upstream looks for the name (default `.identity.user.username`).
    pub username: String,
    /// Names that only the filter may produce; `admin` is always among them.
    pub reserved: Vec<UserName>,
    /// Whether the filter runs for anonymous requests.
    pub anonymous: bool,
    /// Further headers that never reach an upstream, beyond the built-in list.
    pub strip: Vec<HeaderName>,
    /// The longest identity header value in bytes (default 8160).
    pub max_header: usize,
}

/// One entry of `[[authn]]`.
#[derive(Debug)]
pub enum Member {
    /// The inline `[users]`.
    Users(Vec<User>),
    /// An htpasswd file with bcrypt entries.
    Htpasswd {
        /// The file, already resolved against the configuration's directory.
        file: PathBuf,
    },
}

/// One entry of `[users]`.
#[derive(Debug)]
pub struct User {
    /// The name.
    pub name: UserName,
    /// An argon2id or bcrypt hash in its usual text form.
    pub password_hash: PasswordHash,
    /// Groups of this user.
    pub groups: Vec<GroupName>,
}

/// `[log]`.
#[derive(Debug)]
pub struct Log {
    /// `tracing` filter, such as `info` or `tidegate=debug` (default `info`).
    pub level: String,
    /// Format of events and lines on standard error and output.
    pub format: LogFormat,
    /// Where request lines go (default: standard output).
    pub requests: LogTarget,
    /// Where audit lines go (default: standard output).
    pub audit: LogTarget,
}

/// Format of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}

/// `[limits]`.
#[derive(Debug)]
pub struct Limits {
    /// Bytes of a request head (default 32 KiB).
    pub header_bytes: usize,
    /// Number of request headers (default 100).
    pub header_count: usize,
    /// Passwords hashed at once (default: the number of cores); as many again times eight may wait, beyond it 429.
    pub password_hashing: usize,
    /// How long a verified password is remembered under a keyed hash (default 60 s; 0 turns it off).
    pub password_cache: Duration,
    /// Tokens whose verification is remembered (default 10,000).
    pub token_cache: usize,
    /// Scopes in one token request (default 64).
    pub scopes: usize,
}
