//! How the gateway is doing: what `/readyz` answers from.
//!
//! Only the shared state is here. Who listens, drains or checks upstreams reports it; who asks is the admin listener.

mod configuration;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use configuration::Configuration;

/// The state of one gateway process. Clones are the same state.
#[derive(Clone, Debug, Default)]
pub struct Status(Arc<State>);

#[derive(Debug, Default)]
struct State {
    listening: AtomicBool,
    draining: AtomicBool,
    upstreams: RwLock<BTreeMap<Arc<str>, Health>>,
    configuration: Mutex<Configuration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Health {
    Unchecked,
    Healthy,
    /// It answers at some of its addresses.
    InPart(String),
    Unhealthy(String),
}

impl Health {
    fn answers(&self) -> bool {
        matches!(self, Self::Healthy | Self::InPart(_))
    }
}

impl Status {
    /// Neither listening nor draining, without upstreams: what a token server alone begins with.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether requests are accepted.
    pub fn set_listening(&self, listening: bool) {
        self.0.listening.store(listening, Relaxed);
    }

    /// Says that the gateway is ending. There is no way back.
    pub fn set_draining(&self) {
        self.0.draining.store(true, Relaxed);
    }

    /// Says that the configuration on disk is in force, but for some keys, such as `server.listen`, which wait for a restart.
    pub fn set_configured(&self, waiting: Vec<&'static str>) {
        self.0.configuration.lock().unwrap_or_else(PoisonError::into_inner).applied(waiting);
    }

    /// Says that the configuration on disk is not in force, and why: one line for an operator, without secrets. That is no reason
    /// not to send requests here: they are answered by the one before.
    pub fn set_misconfigured(&self, why: &str, now: SystemTime) {
        self.0.configuration.lock().unwrap_or_else(PoisonError::into_inner).refused(why, now);
    }

    /// The slot of the upstream `name`, for whoever checks it. A new one counts as not answering until its first check; asking
    /// again for the same name gives the same slot.
    pub fn upstream(&self, name: &str) -> UpstreamStatus {
        let name: Arc<str> = name.into();
        self.upstreams_mut(|upstreams| {
            upstreams.entry(Arc::clone(&name)).or_insert(Health::Unchecked);
        });
        UpstreamStatus { state: self.clone(), name }
    }

    /// Forgets an upstream that is no longer configured.
    pub fn forget_upstream(&self, name: &str) {
        self.upstreams_mut(|upstreams| {
            upstreams.remove(name);
        });
    }

    /// Whether requests should be sent here, and what speaks against it.
    ///
    /// One upstream that answers is enough: taking the whole gateway out of service because one of several registries is down
    /// would take the others down with it.
    pub fn readiness(&self) -> Readiness {
        let mut lines = Vec::new();
        let draining = self.0.draining.load(Relaxed);
        let listening = self.0.listening.load(Relaxed);
        if draining {
            lines.push("draining: the gateway is ending".to_owned());
        } else if !listening {
            lines.push("not listening yet".to_owned());
        }
        let upstreams = self.0.upstreams.read().unwrap_or_else(PoisonError::into_inner);
        let answering = upstreams.is_empty() || upstreams.values().any(Health::answers);
        for (name, health) in upstreams.iter() {
            match health {
                Health::Healthy => {}
                Health::Unchecked => lines.push(format!("upstream {name}: not checked yet")),
                Health::InPart(reason) | Health::Unhealthy(reason) => lines.push(format!("upstream {name}: {reason}")),
            }
        }
        lines.extend(self.0.configuration.lock().unwrap_or_else(PoisonError::into_inner).lines());
        Readiness { ready: listening && !draining && answering, lines }
    }

    fn upstreams_mut(&self, change: impl FnOnce(&mut BTreeMap<Arc<str>, Health>)) {
        change(&mut self.0.upstreams.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The slot of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamStatus {
    state: Status,
    name: Arc<str>,
}

impl UpstreamStatus {
    /// Says that the upstream answered.
    pub fn set_healthy(&self) {
        self.set(Health::Healthy);
    }

    /// Says that it answered, though not at all of its addresses, and why not.
    pub fn set_healthy_in_part(&self, reason: impl fmt::Display) {
        self.set(Health::InPart(line(reason)));
    }

    /// Says that it did not, and why: one line for an operator, without secrets.
    pub fn set_unhealthy(&self, reason: impl fmt::Display) {
        self.set(Health::Unhealthy(line(reason)));
    }

    fn set(&self, health: Health) {
        self.state.upstreams_mut(|upstreams| {
            // A late answer about a forgotten upstream does not bring it back.
            if let Some(slot) = upstreams.get_mut(&self.name) {
                *slot = health;
            }
        });
    }
}

fn line(reason: impl fmt::Display) -> String {
    reason.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What `/readyz` answers; displayed as its plain-text body.
#[derive(Debug, PartialEq, Eq)]
pub struct Readiness {
    ready: bool,
    lines: Vec<String>,
}

impl Readiness {
    /// Whether requests should be sent here.
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", if self.ready { "ready" } else { "not ready" })?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn a_token_server_alone_is_ready_when_it_listens() {
        let status = Status::new();
        assert_eq!(status.readiness().to_string(), "not ready\nnot listening yet\n");
        status.set_listening(true);
        assert!(status.readiness().is_ready());
        assert_eq!(status.readiness().to_string(), "ready\n");
    }

    #[test]
    fn one_upstream_that_answers_is_enough_and_the_others_are_still_named() {
        let status = Status::new();
        status.set_listening(true);
        let (first, second) = (status.upstream("first"), status.upstream("second"));
        assert_eq!(
            status.readiness().to_string(),
            "not ready\nupstream first: not checked yet\nupstream second: not checked yet\n"
        );
        first.set_healthy();
        second.set_unhealthy("connection refused\r\nready");
        let readiness = status.readiness();
        assert!(readiness.is_ready());
        assert_eq!(readiness.to_string(), "ready\nupstream second: connection refused  ready\n");
        first.set_unhealthy("timed out");
        assert!(!status.readiness().is_ready());
        // The same name is the same slot, and asking for it does not reset it.
        status.upstream("second").set_healthy();
        assert!(status.readiness().is_ready());
    }

    #[test]
    fn a_wrong_configuration_on_disk_is_told_and_changes_nothing() {
        let status = Status::new();
        status.set_listening(true);
        status.set_misconfigured("gateway.toml:1:1: unknown key", std::time::UNIX_EPOCH);
        let readiness = status.readiness();
        assert!(readiness.is_ready());
        assert!(readiness.to_string().starts_with("ready\nconfiguration: what is on disk is invalid"), "{readiness}");
        status.set_configured(vec![]);
        assert_eq!(status.readiness().to_string(), "ready\n");
    }

    #[test]
    fn draining_outweighs_everything() {
        let status = Status::new();
        status.set_listening(true);
        status.upstream("registry").set_healthy();
        status.set_draining();
        status.set_listening(true);
        assert_eq!(status.readiness().to_string(), "not ready\ndraining: the gateway is ending\n");
    }

    #[test]
    fn a_forgotten_upstream_stays_forgotten() {
        let status = Status::new();
        status.set_listening(true);
        let gone = status.upstream("gone");
        status.forget_upstream("gone");
        gone.set_unhealthy("late");
        assert_eq!(status.readiness().to_string(), "ready\n");
    }
}
