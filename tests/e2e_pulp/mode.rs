//! The ways to stand in front of Pulp: what the gateway is told in each, and what Pulp is.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::stand;
use crate::support::gateway::{Gateway, Ports, Settings, cli};
use crate::support::people::{ALICE, BOB, CAROL, RULES, USERS};
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

/// Who may do what at the REST API.
const ACCESS: &str = r#"
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
        let config = |ports, api| Settings { upstream_port: api, ..settings.clone() }.render(ports);
        let (gateway, api) = stand::start(&config, &|config, ports| self.pulp(config, ports));
        if self.has_tokens() {
            introduce(&api);
        }
        (gateway, api)
    }

    /// Pulp's settings for the gateway with this configuration.
    fn pulp(self, config: &Path, ports: Ports) -> String {
        let mut text = if self.has_rest() { HEADER_MODE.to_owned() } else { String::new() };
        if self.has_tokens() {
            let key = config.with_file_name("public.pem");
            let pem = cli(config, &["keys", "export", "--format", "pem", "--config", "{config}"]).ok().stdout;
            std::fs::write(&key, pem).unwrap();
            let tokens = format!(
                "TOKEN_AUTH_DISABLED = False\nTOKEN_SERVER = \"http://127.0.0.1:{}/token\"\n\
                 TOKEN_SIGNATURE_ALGORITHM = \"ES256\"\nPUBLIC_KEY_PATH = \"{}\"\n",
                ports.main,
                key.display()
            );
            text.push_str(&tokens);
        }
        text
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
            users: USERS.to_vec(),
            rest: rest + if self.has_rest() { IDENTITY } else { "" } + RULES + ACCESS,
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
