//! A reload: the configuration is read again and checked, a state built aside from it, and the running one swapped for that.
//!
//! Until the swap nothing has changed, so whatever is wrong leaves everything as it was. When it happens is for `lifecycle` to say.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::file::{ConfigFile, read_by_themselves};
use super::fixed::Fixed;
use super::kept::Kept;
use super::keys::reloaded_key_ring;
use super::probes::Probes;
use super::state::{Built, state};
use super::{StartError, descriptors, settings};
use crate::clock::Clock;
use crate::config::{Config, Diagnostic, Report};
use crate::keys::KeyRing;
use crate::lifecycle::{Configuration, Timing};
use crate::metrics::{self, Metrics};
use crate::server::connection::LiveSettings;
use crate::server::tls::{Prepared, Tls};
use crate::server::{Shared, Upstream};
use crate::status::Status;
use crate::telemetry;
use crate::watch::Watch;

/// How often certificates are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(2);

/// Why the configuration on disk was not put in force.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("{0}")]
    Invalid(Report),
    #[error(transparent)]
    Unusable(#[from] StartError),
}

impl ReloadError {
    /// One line that says where to look.
    fn headline(&self) -> String {
        match self {
            Self::Invalid(report) => report.diagnostics().first().map_or_else(String::new, Diagnostic::headline),
            Self::Unusable(error) => error.to_string(),
        }
    }
}

/// A running gateway, as far as a reload reaches.
pub(super) struct Reloads {
    /// None where the configuration is no file.
    pub(super) file: Option<ConfigFile>,
    pub(super) fixed: Fixed,
    pub(super) kept: Kept,
    /// The keys, if they are not those of `token.keys` but the one of `state_dir`.
    pub(super) own_key: Option<Arc<KeyRing>>,
    /// Those that are probed once the gateway runs.
    pub(super) upstreams: Vec<Arc<Upstream>>,
    pub(super) probes: Probes,
    /// What clients are shown, where listeners speak TLS.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) shared: Arc<Shared>,
    pub(super) settings: LiveSettings,
    pub(super) admin_settings: LiveSettings,
    pub(super) status: Status,
    pub(super) metrics: Metrics,
}

impl Configuration for Reloads {
    fn begin(&mut self) {
        self.probes.follow(&self.upstreams);
        if let Some(tls) = &self.tls {
            tokio::spawn(Arc::clone(tls).follow(CERTIFICATES_EVERY));
        }
    }

    fn reload(&mut self) -> Result<Timing, String> {
        let Some(mut file) = self.file.take() else {
            let why = "there is no file to read again: the configuration was given by arguments";
            tracing::warn!("{why}");
            return Err(why.to_owned());
        };
        let outcome = self.reload_from(&mut file);
        self.file = Some(file);
        let now = Clock::System.now();
        match outcome {
            Ok(timing) => {
                self.metrics.reloaded(metrics::Reload::Success, now);
                Ok(timing)
            }
            Err(error) => {
                let line = error.headline();
                tracing::error!("the configuration on disk is not put in force, and the one before stays:\n{error}");
                self.status.set_misconfigured(&line, SystemTime::now());
                self.metrics.reloaded(metrics::Reload::Failure, now);
                Err(line)
            }
        }
    }

    fn reopen_logs(&mut self) {
        self.shared.log.reopen();
    }

    fn watch(&self) -> Watch {
        self.file.as_ref().map_or_else(|| Watch::new([]), ConfigFile::watch)
    }
}

impl Reloads {
    fn reload_from(&mut self, file: &mut ConfigFile) -> Result<Timing, ReloadError> {
        let mut config = file.load().map_err(ReloadError::Invalid)?;
        let waiting = self.fixed.hold(&mut config);
        let (timing, settings) = (timing(&config), settings::connection_settings(&config, &self.metrics));
        let certificates = match (&self.tls, settings::tls_settings(&config)) {
            (Some(tls), Some(settings)) => Some((tls, Prepared::load(settings).map_err(StartError::from)?)),
            _ => None,
        };
        let level = telemetry::level(&config.log.level).map_err(StartError::from)?;
        let connections = config.limits.connections;
        let others = read_by_themselves(&config);
        // Where it cannot be put in force, one of those may be the reason, and its change the mend.
        let built = self.build(config, file).inspect_err(|_| {
            file.also_watch(others);
        })?;

        // Nothing fails from here on.
        if let Some((tls, prepared)) = certificates {
            tls.install(prepared);
        }
        self.admin_settings.set(settings::of_admin(&settings));
        self.settings.set(settings);
        telemetry::set_level(level);
        self.shared.state.store(Arc::new(built.state));
        self.metrics.expiries(metrics::Usage::SigningKey, built.expiries);
        self.kept = built.kept;
        self.own_key = built.own_key;
        self.upstreams = built.upstreams;
        self.probes.follow(&self.upstreams);
        descriptors::compare(connections);
        if waiting.is_empty() {
            tracing::info!("the configuration was read again and is in force");
        } else {
            tracing::warn!(
                keys = waiting.join(", "),
                "the configuration was read again and is in force, but for these keys, which take a restart"
            );
        }
        self.status.set_configured(waiting);
        Ok(timing)
    }

    fn build(&self, config: Config, file: &ConfigFile) -> Result<Built, StartError> {
        let ring = reloaded_key_ring(&config, file, self.own_key.as_deref())?;
        state(config, ring, &self.kept, &self.metrics)
    }
}

/// How the end goes by this configuration.
pub(super) fn timing(config: &Config) -> Timing {
    Timing { drain_delay: config.server.drain_delay, drain_timeout: config.server.drain_timeout }
}
