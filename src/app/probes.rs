//! The probes of upstreams: one for each that a route leads to, for as long as that is so.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::server::{Upstream, keep_probing};
use crate::status::Status;

/// The probes that run, by the name of their upstream.
#[derive(Debug)]
pub(super) struct Probes {
    status: Status,
    running: BTreeMap<Arc<str>, (Arc<Upstream>, AbortHandle)>,
}

impl Probes {
    pub(super) fn new(status: Status) -> Self {
        Self { status, running: BTreeMap::new() }
    }

    /// Probes these from now on, within the current runtime, and no others.
    pub(super) fn follow(&mut self, upstreams: &[Arc<Upstream>]) {
        let is_wanted = |upstream: &Arc<Upstream>| upstreams.iter().any(|wanted| Arc::ptr_eq(wanted, upstream));
        self.running.retain(|name, (upstream, probe)| {
            let stays = is_wanted(upstream);
            if !stays {
                probe.abort();
                // A successor of the same name begins with what was known of it.
                if !upstreams.iter().any(|wanted| wanted.settings().name == *name) {
                    self.status.forget_upstream(name);
                }
            }
            stays
        });
        for upstream in upstreams {
            let name = &upstream.settings().name;
            if !self.running.contains_key(name) {
                let probe = keep_probing(Arc::clone(upstream), self.status.upstream(name));
                let probe = tokio::spawn(probe).abort_handle();
                self.running.insert(Arc::clone(name), (Arc::clone(upstream), probe));
            }
        }
    }
}
