//! A gateway in front of the upstream of a test, and of another one that is always well, so that it gets ready whatever the first does.

use tempfile::TempDir;

use crate::site::{ALICE, SETUP, Setup, blob, start};
use crate::support::gateway::Gateway;
use crate::support::http::Request;
use crate::support::until;
use crate::upstream::{Upstream, ok};
use crate::wire::{Body, Head, LIMIT, Wire, basic};

/// The gateway.
pub(crate) struct Front {
    /// The process.
    pub(crate) gateway: Gateway,
    _well: Upstream,
    _dir: TempDir,
}

impl Front {
    /// In front of these URLs, with further lines of `[[upstream]]`, and one worker.
    pub(crate) fn new(urls: &[String], more: &str) -> Self {
        let well = Upstream::start(ok);
        let rest = format!(
            "[[upstream]]\nname = \"registry\"\nurl = {urls:?}\n{more}\n\
             [[upstream]]\nname = \"well\"\nurl = \"http://127.0.0.1:{{upstream}}\"\n\
             [[route]]\nprefix = \"/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n\
             [[route]]\nprefix = \"/files/\"\nupstream = \"registry\"\nauth = \"public\"\n\
             [[route]]\nprefix = \"/well/\"\nupstream = \"well\"\nauth = \"public\"\n"
        );
        let setup = Setup { upstream: "", rest: rest.leak(), ..SETUP };
        let (gateway, dir) = start(&setup, well.port);
        Self { gateway, _well: well, _dir: dir }
    }

    /// The beginning of a request of alice's, up to where further header lines can follow.
    pub(crate) fn begin(&self, method: &str, target: &str) -> String {
        let host = self.gateway.host();
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\n", basic(ALICE))
    }

    /// A connection to the gateway.
    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.gateway.port)
    }

    /// Asks as alice over a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, target: &str, body: &str) -> (Head, Body) {
        let mut client = self.connect();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        client.send(format!("{}{length}\r\n{body}", self.begin(method, target)));
        client.reply()
    }

    /// GET of alice's for a blob.
    #[track_caller]
    pub(crate) fn get(&self) -> (Head, Body) {
        self.ask("GET", &blob(), "")
    }

    /// Waits until the gateway has written `text` into its log.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        until(&format!("the log holds {text:?}"), LIMIT, || self.gateway.log().contains(text).then_some(()));
    }

    /// Waits until `/readyz` says something that fits.
    #[track_caller]
    pub(crate) fn wait_for_ready(&self, what: &str, fits: impl Fn(&str) -> bool) {
        until(what, LIMIT, || {
            let reply = Request::new(self.gateway.admin, "GET", "/readyz").send();
            (reply.status == 200 && fits(&reply.text())).then_some(())
        });
    }
}
