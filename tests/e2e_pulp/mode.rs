//! The ways to stand in front of Pulp: what the gateway is told in each, and what Pulp is.

use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::site::{ALICE, BOB, CAROL};
use crate::support::gateway::{Gateway, Ports, Settings, cli};
use crate::support::port;
use crate::support::pulp::{App, HEADER_MODE, Pulp};

/// How the gateway stands in front of Pulp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// An identity header on all paths; Pulp checks no tokens.
    Header,
    /// The gateway is Pulp's token server, and clients' tokens are passed on.
    Token,
    /// The gateway is Pulp's token server, and signs a token for each request.
    Minted,
    /// An identity header for the REST API, tokens for the registry.
    Hybrid,
}

const ACCESS: &str = r#"
[[authn]]
kind = "users"

[[access]]
who = ["group:dev"]
repositories = ["team/**", "public/**"]
actions = ["pull", "push"]

[[access]]
who = ["user:alice"]
repositories = ["team/**"]
actions = ["delete"]

[[access]]
who = ["user:bob"]
repositories = ["team/**"]
actions = ["pull"]

[[access]]
who = ["user:carol"]
repositories = ["private/**"]
actions = ["pull", "push"]

[[access]]
who = ["anyone"]
repositories = ["public/**"]
actions = ["pull"]

[[access]]
who = ["group:dev"]
paths = ["/pulp/api/v3/**"]
methods = ["*"]

[[access]]
who = ["user:bob"]
paths = ["/pulp/api/v3/**"]
methods = ["read"]
"#;

/// Approved pushes and deletes as the elevated name, all else as who asks.
pub(crate) const IDENTITY: &str = r#"
[identity]
header = "X-Authentication-Service"
filter = '''
{identity: {user: {username: (
  if (.request.action | IN("push", "delete")) then "registry-writer" else .subject end
)}}}
'''
elevated = ["registry-writer"]
"#;

impl Mode {
    /// Whether Pulp verifies tokens.
    pub(crate) fn has_tokens(self) -> bool {
        self != Self::Header
    }

    /// Whether the REST API is reached through the gateway.
    pub(crate) fn has_rest(self) -> bool {
        matches!(self, Self::Header | Self::Hybrid)
    }

    /// A Pulp in this mode, and a gateway in front of it.
    pub(crate) fn start(self) -> (Gateway, App) {
        self.start_with(&self.settings())
    }

    /// Like [`Mode::start`], with what a test has changed in [`Mode::settings`].
    pub(crate) fn start_with(self, settings: &Settings) -> (Gateway, App) {
        (0..20).find_map(|_| self.try_start(settings)).expect("no ports stayed free until they were bound")
    }

    fn try_start(self, settings: &Settings) -> Option<(Gateway, App)> {
        let pulp = Pulp::shared();
        let (dir, ports) = (pulp.new_dir(), Ports::free());
        let mut settings = settings.clone();
        settings.upstream_port = port::free();
        let render = |ports| settings.render(ports);
        let config = dir.join("gateway.toml");
        std::fs::write(&config, render(ports)).unwrap();
        let mut text = if self.has_rest() { HEADER_MODE.to_owned() } else { String::new() };
        if self.has_tokens() {
            let key = dir.join("public.pem");
            let pem = cli(&config, &["keys", "export", "--format", "pem", "--config", "{config}"]).ok().stdout;
            std::fs::write(&key, pem).unwrap();
            let tokens = format!(
                "TOKEN_AUTH_DISABLED = False\nTOKEN_SERVER = \"http://127.0.0.1:{}/token\"\n\
                 TOKEN_SIGNATURE_ALGORITHM = \"ES256\"\nPUBLIC_KEY_PATH = \"{}\"\n",
                ports.main,
                key.display()
            );
            text.push_str(&tokens);
        }
        let api = pulp.try_api(settings.upstream_port, &text)?;
        if self.has_tokens() {
            introduce(&api);
        }
        let gateway = Gateway::try_start(&dir, ports, &render)?;
        Some((gateway, api))
    }

    /// A gateway in front of a Pulp that a test has started itself, with `settings` but for Pulp's port.
    pub(crate) fn in_front_of(api: &App, settings: &Settings) -> Gateway {
        let settings = Settings { upstream_port: api.port, ..settings.clone() };
        Gateway::start(&Pulp::shared().new_dir(), &settings)
    }

    /// What the gateway is told, but for its ports and Pulp's.
    pub(crate) fn settings(self) -> Settings {
        let content = Pulp::shared().content().port;
        let credentials = match self {
            Self::Header => "identity",
            Self::Token | Self::Hybrid => "forward-token",
            Self::Minted => "mint-token",
        };
        let upstream = format!(
            "kind = \"pulp\"\ncredentials = \"{credentials}\"\ncontent_origins = [\"http://127.0.0.1:{content}\"]"
        );
        let mut rest = format!(
            r#"
[[upstream]]
name = "content"
url = "http://127.0.0.1:{content}"
credentials = "none"

[[route]]
prefix = "/extensions/v2/"
upstream = "registry"
auth = "registry"

[[route]]
prefix = "/pulp/container/"
upstream = "content"
auth = "public"

[[route]]
prefix = "/pulp/content/"
upstream = "content"
auth = "public"
"#
        );
        if self.has_rest() {
            rest += r#"
[[route]]
prefix = "/pulp/api/v3/"
upstream = "registry"
auth = "api"
credentials = "identity"
"#;
        }
        Settings {
            hosts: vec!["127.0.0.1"],
            server: String::new(),
            token: String::new(),
            upstream_port: 0,
            upstream,
            users: vec![(ALICE.0, ALICE.1, &["dev"]), (BOB.0, BOB.1, &[]), (CAROL.0, CAROL.1, &[])],
            rest: rest + if self.has_rest() { IDENTITY } else { "" } + ACCESS,
        }
    }
}

/// Makes the users that tests log in as: Pulp refuses the tokens of whom it does not know.
pub(crate) fn introduce(api: &App) {
    // Two that make the same user at once meet an error of the database.
    static LOCK: Mutex<()> = Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, _) in [ALICE, BOB, CAROL] {
        let answer = api.rest("POST", "users/", Some(&json!({"username": name})));
        let text = answer.text();
        assert!(answer.status == 201 || text.contains("This field must be unique"), "{} {text}", answer.status);
    }
}
