//! What survives a reload. Nothing here remembers a decision: caches of those begin anew with each state.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::authn::{Hasher, NoRandomness};
use crate::config::Config;
use crate::server::{Throttle, Upstream, UpstreamSettings, UpstreamTlsError};

/// How many checks of passwords may wait for each that runs, before log-ins are answered with 429.
const WAITING: usize = 8;

/// What one state hands to the next, by name. A new gateway begins with nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// With its bound on computations at once.
    hasher: Option<(usize, Arc<Hasher>)>,
    throttle: Option<Arc<Throttle>>,
    upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
}

impl Kept {
    /// The one place where passwords are hashed: those that are being hashed count for the new state too.
    pub(super) fn hasher(&mut self, config: &Config) -> Arc<Hasher> {
        let wanted = config.limits.password_hashing;
        match &self.hasher {
            Some((at_once, hasher)) if *at_once == wanted => Arc::clone(hasher),
            _ => {
                let hasher = Arc::new(Hasher::new(wanted, wanted * WAITING));
                self.hasher = Some((wanted, Arc::clone(&hasher)));
                hasher
            }
        }
    }

    /// The one throttle: who has tried too much has done so for the new state too.
    pub(super) fn throttle(&mut self) -> Result<Arc<Throttle>, NoRandomness> {
        if let Some(throttle) = &self.throttle {
            return Ok(Arc::clone(throttle));
        }
        let throttle = Arc::new(Throttle::new()?);
        self.throttle = Some(Arc::clone(&throttle));
        Ok(throttle)
    }

    /// The upstream of these settings: with its connections, its turns and its health, as far as it is the same as before.
    pub(super) fn upstream(
        &mut self,
        settings: UpstreamSettings,
        workers: usize,
    ) -> Result<Arc<Upstream>, UpstreamTlsError> {
        let name = Arc::clone(&settings.name);
        let upstream = match self.upstreams.get(&name) {
            Some(before) if *before.settings() == settings => {
                before.reload_tls()?;
                Arc::clone(before)
            }
            Some(before) => Upstream::succeed(before, settings, workers)?,
            None => Upstream::new(settings, workers)?,
        };
        self.upstreams.insert(name, Arc::clone(&upstream));
        Ok(upstream)
    }

    /// Lets go of upstreams that are not configured any more.
    pub(super) fn forget_others(&mut self, config: &Config) {
        self.upstreams.retain(|name, _| config.upstreams.iter().any(|upstream| upstream.name == *name));
    }
}
