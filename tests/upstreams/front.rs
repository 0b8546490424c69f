//! A gateway in front of the upstream of a test, and of another one that is always well, so that it gets ready whatever the first does.

use std::io::Write as _;

use tempfile::TempDir;

use crate::backend::Backend;
use crate::site::{ALICE, SETUP, Setup, UPLOAD, blob, start};
use crate::support::gateway::Gateway;
use crate::support::http::Request;
use crate::support::until;
use crate::upstream::{Upstream, ok};
use crate::wire::{Body, Head, LIMIT, Wire, basic};

/// How an upload is framed that breaks off after `5\r\nhello\r\n`.
pub(crate) const BROKEN: [&str; 2] = ["Content-Length: 100", "Transfer-Encoding: chunked"];

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

    /// Uploads of 20 MB that the upstream answers with 413 and `early` before they have come: each client reads that.
    #[track_caller]
    pub(crate) fn hears_early_answers(&self) {
        for round in 0..20 {
            let mut client = self.connect();
            let mut writer = client.writer();
            client.send(format!("{}Content-Length: 20000000\r\n\r\n", self.begin("PATCH", UPLOAD)));
            let sending = std::thread::spawn(move || {
                // It is told to stop somewhere in the middle.
                let _ = writer.write_all(&vec![b'x'; 20_000_000]);
            });
            let (head, body) = client.reply();
            assert_eq!((head.status(), body.text().as_str()), (413, "early"), "round {round}");
            client.leave(false);
            sending.join().unwrap();
        }
    }

    /// An upload with this framing whose client leaves in the middle: the upstream does not take it for whole.
    #[track_caller]
    pub(crate) fn breaks_an_upload_off(&self, backend: &Backend, framing: &str) {
        let before = backend.bodies().len();
        let mut client = self.connect();
        client.send(format!("{}{framing}\r\n\r\n", self.begin("PATCH", UPLOAD)));
        client.send("5\r\nhello\r\n");
        until("the upstream hears of it", LIMIT, || (backend.records().len() > before).then_some(()));
        client.leave(false);
        until("the body ends", LIMIT, || (backend.bodies().len() > before).then_some(()));
        assert!(!backend.bodies()[before].1, "{framing}: {:?}", backend.bodies());
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
