//! From a configuration to a running gateway: the only place where the parts are wired together.
//!
//! There is one file for each thing that is wired: `keys`, `chain` (who people are), `routes` and `upstreams`, `state` (all that a
//! request is judged by), `settings` of the server, `logs`. Here they are started, in order; `reload` does it again, from a `file`
//! that changed, with what is `kept` of the state before and what is `fixed`.

mod chain;
mod descriptors;
mod error;
mod file;
mod fixed;
mod kept;
mod keys;
mod logs;
mod probes;
mod reload;
mod routes;
mod settings;
mod state;
mod upstreams;

use std::num::NonZeroUsize;
use std::sync::Arc;

pub use error::StartError;
pub use file::ConfigFile;
use fixed::Fixed;
use kept::Kept;
pub use keys::{key_ring, load_keys, ring_of};
pub use logs::log_format;
use probes::Probes;
use reload::Reloads;
use state::Built;

use crate::access_log::LogWriter;
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::KeyRing;
use crate::lifecycle::Running;
use crate::metrics::{Metrics, Usage};
use crate::server::admin::{AdminServer, Pages};
use crate::server::connection::{ConnectionInfo, LiveSettings};
use crate::server::listener::{Address, Bound, Inherited, Listeners};
use crate::server::shutdown::Shutdown;
use crate::server::tls::{Prepared, Tls};
use crate::server::worker::Workers;
use crate::server::{Gateway, Serves, Shared};
use crate::status::Status;
use crate::telemetry::Tracer;
use crate::watch::Watch;

/// A gateway that listens.
#[derive(Debug)]
pub struct Started {
    /// What `lifecycle` runs to the end.
    pub running: Running,
    /// Where it listens: `server.listen` in order, then `token.listen`.
    pub addresses: Vec<Bound>,
    /// The request and audit logs, to be flushed at the end.
    pub log: LogWriter,
}

/// Builds everything and begins to listen. `file` is where the configuration was read from, if a reload is to read it again.
pub fn start(config: Config, ring: KeyRing, file: Option<ConfigFile>) -> Result<Started, StartError> {
    let mut addresses: Vec<Address> = config.server.listen.iter().map(|listener| listener.address.clone()).collect();
    let passed_on = addresses.iter().any(|address| matches!(address, Address::Inherited(_)));
    // Before there are threads.
    let inherited = if passed_on { Inherited::from_environment() } else { Inherited::none() };
    descriptors::raise();
    descriptors::compare(config.limits.connections);
    let log = LogWriter::start(&logs::log_settings(&config.log))?;
    let tracer = config.tracing.clone().map_or_else(|| Ok(Tracer::default()), Tracer::start)?;
    let (status, metrics) = (Status::new(), Metrics::new());
    let settings = settings::connection_settings(&config, &metrics);
    let tls = tls(&config, &metrics)?;
    let secured = tls.as_ref().map_or_else(Vec::new, |tls| settings::secured(&config, tls));
    let workers = NonZeroUsize::new(config.server.workers).unwrap_or(NonZeroUsize::MIN);
    let main_addresses = addresses.len();
    addresses.extend(config.token.listen.map(Address::from));
    let admin_address = config.admin.as_ref().map(|admin| admin.listen);
    let (timing, fixed) = (reload::timing(&config), Fixed::of(&config));

    let Built { state, kept, own_key, expiries, upstreams } = state::state(config, ring, &Kept::default(), &metrics)?;
    let listeners = Listeners::open(&addresses, inherited, workers)?.secured(secured);
    let pages = Pages { status: status.clone(), metrics: metrics.clone(), log: log.clone() };
    let admin_settings = LiveSettings::from(settings::of_admin(&settings));
    let admin = admin_address.map(|address| AdminServer::start(address, admin_settings.clone(), pages)).transpose()?;
    // Not ready before each has been asked once.
    for upstream in &upstreams {
        status.upstream(&upstream.settings().name);
    }
    metrics.expiries(Usage::SigningKey, expiries);
    metrics.configured(Clock::System.now());
    let shared = Shared::new(state, log.clone(), metrics.clone(), tracer);
    let settings = LiveSettings::from(settings);
    let probes = Probes::new(status.clone());
    let configuration = Reloads {
        file,
        fixed,
        kept,
        own_key,
        upstreams,
        probes,
        tls,
        shared: Arc::clone(&shared),
        settings: settings.clone(),
        admin_settings,
        status: status.clone(),
        metrics,
    };
    let shutdown = Shutdown::new();
    let workers = Workers::start("worker", listeners, settings, &shutdown, move |_worker| {
        let shared = Arc::clone(&shared);
        move |connection: &ConnectionInfo| {
            let serves = if connection.listener < main_addresses { Serves::Everything } else { Serves::TokensOnly };
            Gateway::new(Arc::clone(&shared), serves, connection)
        }
    })?;
    let addresses = workers.bound().to_vec();
    let configuration = Box::new(configuration);
    Ok(Started { running: Running { workers, shutdown, admin, status, timing, configuration }, addresses, log })
}

/// TLS with the certificates of the configuration, where there are any.
fn tls(config: &Config, metrics: &Metrics) -> Result<Option<Arc<Tls>>, StartError> {
    let Some(settings) = settings::tls_settings(config) else { return Ok(None) };
    // Before the files are read: what changes in between is then seen.
    let watch = Watch::new(settings.files().cloned());
    Ok(Some(Tls::new(Prepared::load(settings)?, watch, Clock::System, metrics.clone())))
}
