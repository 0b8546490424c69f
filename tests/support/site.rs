//! The gateway's binary in front of an upstream of ours, with the people and rules that the tests share.

use std::sync::OnceLock;

use tempfile::TempDir;

use super::gateway::{Gateway, Ports};
use super::upstream::{Then, Upstream};
use super::wire::{Body, Head, LIMIT, Wire, basic};
use super::{port, until};

/// May do everything.
pub(crate) const ALICE: (&str, &str) = ("alice", "alice-secret");
/// May pull from `team/`, and nothing else.
pub(crate) const BOB: (&str, &str) = ("bob", "bob-secret");

/// A digest of the right form.
pub(crate) const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What differs between the configurations of the tests: lines of TOML.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// `public_url`, with `{main}` for the port; by default `http://127.0.0.1:{main}`.
    pub(crate) public_url: &'static str,
    /// Lines of `[server]`.
    pub(crate) server: &'static str,
    /// Lines of `[token]`, with `{spare}` for a free port.
    pub(crate) token: &'static str,
    /// Lines of `[[upstream]]`.
    pub(crate) upstream: &'static str,
    /// Everything else, with `{upstream}` for the upstream's port.
    pub(crate) rest: &'static str,
}

/// `identity`, one worker (so that the pool is one), and no time-out that a test could meet by accident.
pub(crate) const SETUP: Setup = Setup {
    public_url: r#""http://127.0.0.1:{main}""#,
    server: "workers = 1",
    token: "",
    upstream: "credentials = \"identity\"",
    rest: "",
};

const RULES: &str = r#"
[[authn]]
kind = "users"

[[access]]
who = ["user:alice"]
repositories = ["**"]
actions = ["*"]

[[access]]
who = ["user:alice"]
registry = ["catalog"]
actions = ["*"]

[[access]]
who = ["user:bob"]
repositories = ["team/**"]
actions = ["pull"]

[[access]]
who = ["anyone"]
repositories = ["public/**"]
actions = ["pull"]
"#;

/// A gateway and its upstream.
pub(crate) struct Site {
    /// The gateway.
    pub(crate) gateway: Gateway,
    /// The upstream.
    pub(crate) upstream: Upstream,
    /// Where the configuration and the state are.
    pub(crate) dir: TempDir,
}

impl Site {
    /// With the usual configuration.
    pub(crate) fn new(answer: impl Fn(&Head, &mut Wire) -> Then + Send + Sync + 'static) -> Self {
        Self::with(&SETUP, answer)
    }

    /// With a configuration of its own.
    pub(crate) fn with(setup: &Setup, answer: impl Fn(&Head, &mut Wire) -> Then + Send + Sync + 'static) -> Self {
        let upstream = Upstream::start(answer);
        let (gateway, dir) = start(setup, upstream.port);
        Self { gateway, upstream, dir }
    }

    /// With a configuration of its own that names these files: their paths beside it, and their texts.
    pub(crate) fn with_files(
        setup: &Setup,
        files: &[(&str, &str)],
        answer: impl Fn(&Head, &mut Wire) -> Then + Send + Sync + 'static,
    ) -> Self {
        let upstream = Upstream::start(answer);
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            std::fs::write(dir.path().join(path), text).unwrap();
        }
        let gateway = start_in(&dir, setup, upstream.port);
        Self { gateway, upstream, dir }
    }

    /// A connection to the gateway.
    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.gateway.port)
    }

    /// `method target` as alice, up to where further header lines can follow.
    pub(crate) fn begin(&self, method: &str, target: &str) -> String {
        let host = self.gateway.host();
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\n", basic(ALICE))
    }

    /// Asks as alice, with these header lines (each with its end), over a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &str) -> (Head, Body) {
        self.ask_with(method, target, headers, "")
    }

    /// The same with a body; its length is said unless it is empty.
    #[track_caller]
    pub(crate) fn ask_with(&self, method: &str, target: &str, headers: &str, body: &str) -> (Head, Body) {
        let mut client = self.connect();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        client.send(format!("{}{headers}{length}\r\n{body}", self.begin(method, target)));
        let head = client.head();
        let body = if method == "HEAD" { Body::default() } else { client.body(&head) };
        (head, body)
    }

    /// Asks over a connection of its own with these header lines (each with its end) and no credentials but what they hold.
    #[track_caller]
    pub(crate) fn ask_bare(&self, method: &str, target: &str, headers: &str) -> (Head, Body) {
        let mut client = self.connect();
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.gateway.host()));
        let head = client.head();
        let body = if method == "HEAD" { Body::default() } else { client.body(&head) };
        (head, body)
    }

    /// GET of alice's for a blob.
    #[track_caller]
    pub(crate) fn get(&self) -> (Head, Body) {
        self.ask("GET", &blob(), "")
    }

    /// Does what sends a request, and waits until the rules have been asked about it: where there is one worker, whatever is sent from
    /// now on comes later.
    pub(crate) fn judged<T>(&self, begin: impl FnOnce() -> T) -> T {
        let decisions = || self.gateway.log().matches("\"event\":\"decision\"").count();
        let before = decisions();
        let client = begin();
        until("the rules are asked", LIMIT, || (decisions() > before).then_some(()));
        client
    }

    /// Waits until the gateway has written `text` into its log.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        until(&format!("the log holds {text:?}"), LIMIT, || {
            let log = self.gateway.log();
            log.contains(text).then_some(log)
        })
    }
}

/// The path of a blob.
pub(crate) fn blob() -> String {
    format!("/v2/team/app/blobs/{DIGEST}")
}

/// The path of an upload session.
pub(crate) const UPLOAD: &str = "/v2/team/app/blobs/uploads/5b2c3d";

/// Starts a gateway in front of `127.0.0.1:port`.
pub(crate) fn start(setup: &Setup, port: u16) -> (Gateway, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (start_in(&dir, setup, port), dir)
}

fn start_in(dir: &TempDir, setup: &Setup, port: u16) -> Gateway {
    let text = |ports: Ports| render(setup, ports, port);
    (0..20)
        .filter_map(|_| Gateway::try_start(dir.path(), Ports::free(), &text))
        .find(is_listening)
        .expect("no ports stayed free until the gateway bound them")
}

/// Whether it was this gateway that answered as ready, and not another process that took its ports before it.
fn is_listening(gateway: &Gateway) -> bool {
    until("the gateway listens or gives up", LIMIT, || {
        let log = gateway.log();
        log.contains("admin pages").then_some(true).or_else(|| log.contains("already in use").then_some(false))
    })
}

fn render(setup: &Setup, Ports { main, admin }: Ports, upstream_port: u16) -> String {
    let Setup { public_url, server, token, upstream, rest } = setup;
    let routes = if rest.contains("[[route]]") || upstream.is_empty() {
        ""
    } else {
        "[[route]]\nprefix = \"/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n"
    };
    let upstream = if upstream.is_empty() {
        String::new()
    } else {
        format!("[[upstream]]\nname = \"registry\"\nurl = \"http://127.0.0.1:{upstream_port}\"\n{upstream}\n")
    };
    format!(
        "[server]\nlisten = [\"127.0.0.1:{main}\"]\npublic_url = [{public_url}]\nstate_dir = \"state\"\n{server}\n\n\
         [admin]\nlisten = \"127.0.0.1:{admin}\"\n\n[token]\n{token}\n\n{upstream}\n{routes}\n{}\n{RULES}\n{rest}\n",
        users()
    )
    .replace("{main}", &main.to_string())
    .replace("{spare}", &port::free().to_string())
    .replace("{upstream}", &upstream_port.to_string())
}

/// The users, hashed once at the lowest cost.
fn users() -> &'static str {
    static USERS: OnceLock<String> = OnceLock::new();
    USERS.get_or_init(|| {
        [ALICE, BOB]
            .map(|(name, password)| {
                let hash = bcrypt::hash(password, 4).unwrap();
                format!("[users.{name}]\npassword_hash = \"{hash}\"\ngroups = [\"dev\"]\n")
            })
            .concat()
    })
}
