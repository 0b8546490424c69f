//! Changing the configuration of a running gateway, and waiting until it has heard.

use rustix::process::{Pid, Signal, kill_process};

use crate::support::gateway::Gateway;
use crate::support::http::Request;
use crate::support::site::Site;
use crate::support::until;
use crate::support::wire::LIMIT;

/// What the log says of a reload that is in force, and of one that is not.
const IN_FORCE: &str = "was read again and is in force";
const REFUSED: &str = "is not put in force, and the one before stays";

/// Sends a signal to a process.
pub(crate) fn signal(id: u32, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

/// A running gateway whose configuration a test changes.
pub(crate) trait Change {
    fn gateway(&self) -> &Gateway;

    /// Writes a changed configuration, at once.
    fn write(&self, change: impl FnOnce(String) -> String) {
        let path = &self.gateway().config;
        let text = change(std::fs::read_to_string(path).unwrap());
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// Asks for a reload, and waits until another one is in force.
    #[track_caller]
    fn reload(&self) {
        let before = self.reloads();
        signal(self.gateway().id(), Signal::HUP);
        self.reloaded_since(before);
    }

    /// Waits until there have been more reloads than `before`.
    #[track_caller]
    fn reloaded_since(&self, before: usize) {
        until("the new configuration is in force", LIMIT, || (self.reloads() > before).then_some(()));
    }

    /// Changes the configuration and puts it in force.
    #[track_caller]
    fn change(&self, change: impl FnOnce(String) -> String) {
        self.write(change);
        self.reload();
    }

    /// Replaces a text of the configuration, which must be there, and puts that in force.
    #[track_caller]
    fn replace(&self, from: &str, to: &str) {
        self.change(|text| {
            assert!(text.contains(from), "{from:?} is not in {text}");
            text.replace(from, to)
        });
    }

    /// Asks for a reload that is refused, and gives back the log.
    #[track_caller]
    fn reload_in_vain(&self) -> String {
        let refused = || self.gateway().log().matches(REFUSED).count();
        let before = refused();
        signal(self.gateway().id(), Signal::HUP);
        until("the new configuration is refused", LIMIT, || (refused() > before).then_some(()));
        self.gateway().log()
    }

    /// How many reloads have put a configuration in force.
    fn reloads(&self) -> usize {
        self.gateway().log().matches(IN_FORCE).count()
    }

    /// The text of `/readyz`, which is 200.
    #[track_caller]
    fn readyz(&self) -> String {
        Request::new(self.gateway().admin, "GET", "/readyz").send().expect(200).text()
    }
}

impl Change for Site {
    fn gateway(&self) -> &Gateway {
        &self.gateway
    }
}

impl Change for Gateway {
    fn gateway(&self) -> &Gateway {
        self
    }
}
