//! From a configuration to a running gateway: the only place where the parts are wired together.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::access_log::{self, LogError, LogWriter};
use crate::authn::{
    ApiKeys, Chain, Clients, Groups, Hasher, Htpasswd, HtpasswdError, Member, NewApiKey, NewClient, NewUser,
    NoRandomness, Users,
};
use crate::authz::Rules;
use crate::clock::Clock;
use crate::config::{self, Config, CreateUsers, Kind, UserAccount};
use crate::identity::{IdentityHeader, NameRules, StripList};
use crate::jq::{CompileError, Filter};
use crate::keys::{self, KeyError, KeyFileError, KeyRing, LoadedKey, RingError};
use crate::lifecycle::Running;
use crate::secret::Secret;
use crate::server::admin::{AdminError, AdminServer};
use crate::server::connection::ConnectionSettings;
use crate::server::linger::LingerSettings;
use crate::server::listener::{ListenError, Listeners};
use crate::server::shutdown::Shutdown;
use crate::server::worker::Workers;
use crate::server::{
    Account, BoundSettings, Gateway, Markers, Newcomers, PassedHeader, PublicName, PublicNames, Route, RouteAuth,
    Routes, Scheme, Serves, Shared, SpoolSettings, State, TrustedProxies, UploadSettings, Upstream,
    UpstreamCredentials, UpstreamSettings, keep_probing,
};
use crate::status::Status;
use crate::telemetry::Format;
use crate::token::{self, Cache, IssueError, Issuer, Verifier};

/// How many checks of passwords may wait for each that runs, before log-ins are answered with 429.
const WAITING: usize = 8;
/// How many verified passwords are remembered.
const REMEMBERED: usize = 10_000;

/// Why a correct configuration does not become a running gateway.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The keys together.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// What follows from the keys.
    #[error("a secret cannot be derived from a signing key: {0}")]
    Derive(#[from] KeyError),
    /// The token issuer.
    #[error(transparent)]
    Issuer(#[from] IssueError),
    /// An htpasswd file.
    #[error(transparent)]
    Htpasswd(#[from] HtpasswdError),
    /// The memory of passwords.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// An address to listen on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The admin listener.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The directory of an upstream's `spool`.
    #[error("request bodies cannot be kept in {}: {source}", directory.display())]
    Spool {
        /// Where they should be.
        directory: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The logs.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Threads.
    #[error("cannot start the worker threads: {0}")]
    Threads(#[from] std::io::Error),
    /// `identity.username`.
    #[error("identity.username is no jq path: {0}")]
    Username(CompileError),
    /// A user name or password that cannot stand in a header.
    #[error("the account of upstream {0} cannot stand in an Authorization header")]
    BasicAccount(Arc<str>),
}

/// The keys of a configuration: those of `token.keys`, or the one in `state_dir`, which is made when there is none.
pub fn load_keys(config: &Config) -> Result<Vec<LoadedKey>, KeyFileError> {
    if config.token.keys.is_empty() {
        return Ok(vec![keys::load_or_generate(&config.server.state_dir)?]);
    }
    config.token.keys.iter().map(|path| keys::load_file(path)).collect()
}

/// The ring of keys that were loaded, by the settings of the configuration.
pub fn ring_of(config: &Config, keys: Vec<LoadedKey>) -> Result<KeyRing, RingError> {
    KeyRing::new(keys.into_iter().map(|loaded| loaded.key).collect(), config.token.key_id, config.token.x5c)
}

/// The ring for a gateway that is about to serve; what is to be said about the files goes to the log.
pub fn key_ring(config: &Config) -> Result<KeyRing, StartError> {
    let loaded = load_keys(config)?;
    loaded.iter().for_each(tell_key);
    Ok(ring_of(config, loaded)?)
}

fn tell_key(loaded: &LoadedKey) {
    let path = loaded.path.display();
    if loaded.generated {
        tracing::info!(%path, "made a signing key");
    }
    if let Some(mode) = loaded.exposed {
        tracing::warn!(%path, mode = format!("{mode:o}"), "a signing key can be read by others; hint: chmod 600");
    }
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Started {
    /// What `lifecycle` runs to the end.
    pub running: Running,
    /// Where it listens: `server.listen` in order, then `token.listen`.
    pub addresses: Vec<SocketAddr>,
    /// The request and audit logs, to be flushed at the end.
    pub log: LogWriter,
}

/// Builds everything and begins to listen.
pub fn start(config: Config, ring: KeyRing) -> Result<Started, StartError> {
    let log = LogWriter::start(&log_settings(&config.log))?;
    let settings = connection_settings(&config);
    let workers = NonZeroUsize::new(config.server.workers).unwrap_or(NonZeroUsize::MIN);
    let mut addresses = config.server.listen.clone();
    let main_addresses = addresses.len();
    addresses.extend(config.token.listen);
    let admin_address = config.admin.as_ref().map(|admin| admin.listen);
    let drain_timeout = config.server.drain_timeout;

    let status = Status::new();
    let (state, probes) = state(config, ring, &status)?;
    let listeners = Listeners::bind(&addresses, workers)?;
    let admin =
        admin_address.map(|address| AdminServer::start(address, settings.clone(), status.clone())).transpose()?;
    let shared = Shared::new(state, log.clone());
    let shutdown = Shutdown::new();
    let workers = Workers::start("worker", listeners, settings, &shutdown, move |worker| {
        if worker == 0 {
            for (upstream, status) in &probes {
                tokio::spawn(keep_probing(Arc::clone(upstream), status.clone()));
            }
        }
        let shared = Arc::clone(&shared);
        move |connection: &crate::server::connection::ConnectionInfo| {
            let serves = if connection.listener < main_addresses { Serves::Everything } else { Serves::TokensOnly };
            Gateway::new(Arc::clone(&shared), serves, connection.peer, connection.worker)
        }
    })?;
    let addresses = workers.local_addrs().to_vec();
    Ok(Started { running: Running { workers, shutdown, admin, status, drain_timeout }, addresses, log })
}

type Probes = Vec<(Arc<Upstream>, crate::status::UpstreamStatus)>;

fn state(config: Config, ring: KeyRing, status: &Status) -> Result<(State, Probes), StartError> {
    let clock = Clock::System;
    let ring = Arc::new(ring);
    let token = token::Settings {
        issuer: config.token.issuer.clone(),
        services: config.token.services.clone(),
        ttl: config.token.ttl,
        api_ttl: config.api.token_ttl.unwrap_or(config.token.ttl),
    };
    let chain = chain(&config, &clock)?;
    let names = names(&config);
    let (routes, probes) = routes(&config, &names, status)?;
    // What a key says it says to us; whatever the route, no upstream learns of it.
    let strip = config.identity.strip.iter().chain([&config.api.key_header]);
    let strip = StripList::new(&config.identity.header, strip);
    let rules_read_client = config.rules.iter().any(|rule| !rule.from.is_empty());
    let jwks = ring.jwks().to_string().into();
    let state = State {
        names,
        trusted_proxies: TrustedProxies::new(config.server.trusted_proxies),
        routes,
        chain,
        rules: Rules::new(config.rules),
        rules_read_client,
        markers: Markers::new(&ring)?,
        issuer: Issuer::new(Arc::clone(&ring), token.clone(), clock.clone())?,
        verifier: Verifier::new(ring, token, clock.clone()),
        sessions: Cache::new(config.limits.token_cache),
        key_header: config.api.key_header,
        strip,
        token_path: config.token.path,
        jwks,
        max_scopes: config.limits.scopes,
        form_timeout: config.server.header_timeout,
        clock,
    };
    Ok((state, probes))
}

fn names(config: &Config) -> PublicNames {
    let mut names = config
        .server
        .public_urls
        .iter()
        .map(|url| PublicName::new(url.scheme.clone(), url.authority.clone(), &config.token.path));
    // The configuration has at least one.
    let first =
        names.next().unwrap_or_else(|| PublicName::new(http::uri::Scheme::HTTP, String::new(), &config.token.path));
    PublicNames::new(first, names.collect(), config.token.services.clone())
}

fn chain(config: &Config, clock: &Clock) -> Result<Chain, StartError> {
    let at_once = config.limits.password_hashing;
    let hasher = Arc::new(Hasher::new(at_once, at_once * WAITING));
    let mut members: Vec<Box<dyn Member>> = Vec::new();
    for member in &config.authn {
        members.push(match member {
            config::Member::Users(users) => {
                let users = users.iter().map(|user| NewUser {
                    name: user.name.clone(),
                    hash: user.password_hash.clone(),
                    groups: user.groups.clone(),
                });
                Box::new(Users::new(users, Arc::clone(&hasher)))
            }
            config::Member::Htpasswd { file } => Box::new(Htpasswd::load(file, Arc::clone(&hasher), clock.clone())?),
        });
    }
    let groups = Groups::new(config.groups.iter().cloned());
    let settings = crate::authn::Settings {
        hasher,
        clock: clock.clone(),
        remember: config.limits.password_cache,
        remembered: REMEMBERED,
    };
    let clients = Clients::new(config.clients.iter().map(|client| NewClient {
        name: client.name.clone(),
        secret_hash: client.secret_hash.clone(),
        groups: client.groups.clone(),
    }));
    let keys = config.api_keys.iter().map(|key| NewApiKey {
        name: key.name.clone(),
        hash: key.hash,
        groups: key.groups.clone(),
        expires: key.expires,
    });
    let keys = ApiKeys::new(keys, clock.clone());
    Ok(Chain::new(members, groups, &config.identity.reserved, settings)?.with(clients, keys))
}

fn routes(config: &Config, names: &PublicNames, status: &Status) -> Result<(Routes, Probes), StartError> {
    let identity = &config.identity;
    let header = |filter: &Arc<Filter>, upstream: &config::Upstream| {
        let (name, filter) = (identity.header.clone(), Arc::clone(filter));
        let rules = NameRules::new(&identity.reserved, matches!(upstream.kind, Kind::Pulp(_)));
        IdentityHeader::new(name, filter, &identity.username, identity.anonymous, identity.max_header)
            .map(|header| Arc::new(header.with_names(rules)))
            .map_err(StartError::Username)
    };
    let mut probes = Probes::new();
    let mut upstreams = Vec::new();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        let settings = upstream_settings(config, index, upstream);
        if let Some(spool) = &settings.spool {
            let failed = |source| StartError::Spool { directory: spool.directory.clone(), source };
            spool.prepare().map_err(failed)?;
        }
        let running = Upstream::new(settings, config.server.workers);
        if config.routes.iter().any(|route| route.upstream == index) {
            probes.push((Arc::clone(&running), status.upstream(&upstream.name)));
        }
        let newcomers = upstream.create_users.as_ref().map(|CreateUsers { path, account }| {
            let account = match account {
                UserAccount::Identity => Account::Identity(header(&identity.filter, upstream)?),
                UserAccount::Basic { username, password } => Account::Basic(basic(upstream, username, password)?),
            };
            Ok::<_, StartError>(Newcomers::new(Arc::clone(&running), path.clone(), account, names.for_host("")))
        });
        let pulp = match &upstream.kind {
            Kind::Pulp(pulp) => Some(Arc::new(pulp.paths())),
            Kind::Registry => None,
        };
        upstreams.push((upstream, running, pulp, newcomers.transpose()?));
    }
    let mut routes = Vec::new();
    for route in &config.routes {
        let Some((upstream, running, pulp, newcomers)) = upstreams.get(route.upstream) else { continue };
        let credentials = match &route.credentials {
            config::Credentials::Identity => {
                UpstreamCredentials::Identity(header(route.filter.as_ref().unwrap_or(&identity.filter), upstream)?)
            }
            config::Credentials::ForwardToken => UpstreamCredentials::ForwardToken,
            config::Credentials::MintToken => UpstreamCredentials::MintToken,
            config::Credentials::None => UpstreamCredentials::None,
            config::Credentials::Basic { username, password } => {
                UpstreamCredentials::Basic(basic(upstream, username, password)?)
            }
        };
        let mut own_authorities: Vec<String> = upstream.url.authority().map(ToString::to_string).into_iter().collect();
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
    Ok((Routes::new(routes), probes))
}

/// The value of `Authorization` for an account of the gateway's own.
fn basic(upstream: &config::Upstream, username: &str, password: &Secret) -> Result<HeaderValue, StartError> {
    let pair = Zeroizing::new(format!("{username}:{}", password.expose()));
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&value).map_err(|_| StartError::BasicAccount(Arc::clone(&upstream.name)))?;
    value.set_sensitive(true);
    Ok(value)
}

fn upstream_settings(config: &Config, index: usize, upstream: &config::Upstream) -> UpstreamSettings {
    let of_registry =
        config.routes.iter().any(|route| route.upstream == index && route.auth == config::RouteAuth::Registry);
    let prefix = config.routes.iter().find(|route| route.upstream == index).map(|route| route.prefix.clone());
    let guards = &upstream.guards;
    UpstreamSettings {
        name: Arc::clone(&upstream.name),
        host: upstream.url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
        port: upstream.url.port_u16().unwrap_or(80),
        pool: upstream.pool,
        pool_idle_timeout: upstream.pool_idle_timeout,
        connect_timeout: upstream.connect_timeout,
        response_timeout: upstream.response_timeout,
        body_idle_timeout: config.server.body_idle_timeout,
        probe_path: if of_registry { "/v2/".to_owned() } else { prefix.unwrap_or_else(|| "/".to_owned()) },
        bound: (guards.max_concurrent > 0).then_some(BoundSettings {
            at_once: guards.max_concurrent,
            queue: guards.queue,
            timeout: guards.queue_timeout,
        }),
        spool: guards.spool.as_ref().map(|spool| SpoolSettings {
            memory: spool.memory,
            directory: spool.directory.clone().unwrap_or_else(|| config.server.state_dir.join("spool")),
            limit: spool.limit,
        }),
        retry_after: retry_after(guards.retry_after),
        passed_headers: guards.pass_headers.iter().map(|header| passed_header(*header)).collect(),
    }
}

/// The value of `Retry-After`, which is in whole seconds.
fn retry_after(time: Duration) -> Option<HeaderValue> {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    (seconds > 0).then(|| HeaderValue::from(seconds))
}

fn passed_header(header: config::PassHeader) -> PassedHeader {
    match header {
        config::PassHeader::Cookie => PassedHeader::Cookie,
        config::PassHeader::Authorization => PassedHeader::Authorization,
        config::PassHeader::ScriptName => PassedHeader::ScriptName,
        config::PassHeader::Underscores => PassedHeader::Underscores,
    }
}

fn connection_settings(config: &Config) -> ConnectionSettings {
    ConnectionSettings {
        header_timeout: config.server.header_timeout,
        idle_timeout: config.server.idle_timeout,
        write_timeout: config.server.body_idle_timeout,
        max_headers: config.limits.header_count,
        max_header_size: config.limits.header_bytes,
        linger: LingerSettings::default(),
    }
}

/// The format of events and lines.
pub fn log_format(log: &config::Log) -> Format {
    match log.format {
        config::LogFormat::Auto => Format::Auto,
        config::LogFormat::Human => Format::Human,
        config::LogFormat::Json => Format::Json,
    }
}

fn log_settings(log: &config::Log) -> access_log::Settings {
    let target = |target: &config::LogTarget| match target {
        config::LogTarget::Off => access_log::Target::Off,
        config::LogTarget::Stdout => access_log::Target::Stdout,
        config::LogTarget::File(path) => access_log::Target::File(path.clone()),
    };
    access_log::Settings { requests: target(&log.requests), audit: target(&log.audit), format: log_format(log) }
}
