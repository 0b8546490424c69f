//! A gateway with an upstream and a directory of their own, and the requests that most tests make.

use std::path::Path;
use std::time::Duration;

use crate::support::gateway::{Gateway, Ports, Settings};
use crate::support::http::{Reply, Request};
use crate::support::until;
use crate::upstream::{self, Answer, Seen, Upstream};

/// A name and a password.
pub(crate) type Account = (&'static str, &'static str);

pub(crate) const ALICE: Account = ("alice", "wonderland-7");
pub(crate) const BOB: Account = ("bob", "the-builder-8");
pub(crate) const CAROL: Account = ("carol", "a-christmas-9");

/// A blob's name.
pub(crate) const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Rules that most tests can live with: members of `dev` have their own namespace, all who are logged in pull `shared`,
/// everybody pulls `public`, and `ops` list the catalog.
pub(crate) const RULES: &str = r#"
[[access]]
who = ["group:dev"]
repositories = ["${user}/**"]
actions = ["*"]

[[access]]
who = ["authenticated"]
repositories = ["shared/**"]
actions = ["pull"]

[[access]]
who = ["anyone"]
repositories = ["public/**"]
actions = ["pull"]

[[access]]
who = ["group:ops"]
registry = ["catalog"]
actions = ["*"]
"#;

/// The member that knows the three users.
pub(crate) const USERS: &str = "[[authn]]\nkind = \"users\"\n";

/// What runs for one test. Its parts end in this order.
pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Upstream,
    pub(crate) dir: tempfile::TempDir,
}

/// The settings that tests change: alice of `dev`, bob of nothing, carol of `ops`, and the usual rules.
pub(crate) fn settings() -> Settings {
    Settings {
        hosts: vec!["127.0.0.1"],
        server: String::new(),
        token: String::new(),
        upstream_port: 0,
        upstream: String::new(),
        users: vec![(ALICE.0, ALICE.1, &["dev"]), (BOB.0, BOB.1, &[]), (CAROL.0, CAROL.1, &["ops"])],
        rest: format!("{USERS}{RULES}"),
    }
}

/// Adds sections at the end of a configuration.
pub(crate) fn add(settings: &mut Settings, sections: &str) {
    settings.rest.push_str(sections);
}

/// The text of an htpasswd file.
pub(crate) fn htpasswd(users: &[Account]) -> String {
    let line = |(name, password): &Account| format!("{name}:{}\n", bcrypt::hash(password, 4).unwrap());
    users.iter().map(line).collect::<Vec<_>>().concat()
}

impl Site {
    /// With the usual rules.
    pub(crate) fn start() -> Self {
        Self::with(|_, _| {})
    }

    /// With other rules.
    pub(crate) fn with_rules(rules: &str) -> Self {
        Self::with(|settings, _| settings.rest = format!("{USERS}{rules}"))
    }

    /// With settings changed, and files put beside the configuration.
    pub(crate) fn with(change: impl FnOnce(&mut Settings, &Path)) -> Self {
        Self::in_front_of(upstream::OK, change)
    }

    /// With an upstream that answers this.
    pub(crate) fn in_front_of(answer: Answer, change: impl FnOnce(&mut Settings, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let upstream = Upstream::start(answer);
        let mut settings = Settings { upstream_port: upstream.port, ..settings() };
        change(&mut settings, dir.path());
        let gateway = Gateway::start(dir.path(), &settings);
        Self { gateway, upstream, dir }
    }

    /// With a configuration written out whole; `render` is given the ports and that of the upstream.
    pub(crate) fn rendered(answer: Answer, files: impl FnOnce(&Path), render: &dyn Fn(Ports, u16) -> String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path());
        let upstream = Upstream::start(answer);
        let gateway = (0..20)
            .find_map(|_| Gateway::try_start(dir.path(), Ports::free(), &|ports| render(ports, upstream.port)))
            .expect("no ports stayed free until the gateway bound them");
        Self { gateway, upstream, dir }
    }

    /// Ends the gateway and starts another one with a changed configuration, on the same ports.
    pub(crate) fn restart(&mut self, change: impl Fn(String) -> String) {
        let ports = Ports { main: self.gateway.port, admin: self.gateway.admin };
        self.gateway.stop();
        let config = change(std::fs::read_to_string(&self.gateway.config).unwrap());
        self.gateway = Gateway::try_start(self.dir.path(), ports, &|_| config.clone()).expect("the ports were taken");
    }

    /// `method target` to the main listener.
    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.gateway.port, method, target)
    }

    /// `GET target`.
    pub(crate) fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// A token for `user` with what is granted of `scopes`.
    #[track_caller]
    pub(crate) fn token(&self, user: Option<Account>, scopes: &[&str]) -> String {
        self.gateway.token(user, scopes)
    }

    /// A form to the token endpoint.
    pub(crate) fn form(&self, form: &str) -> Reply {
        let request = self.request("POST", "/token").header("Content-Type", "application/x-www-form-urlencoded");
        request.body(form.as_bytes()).send()
    }

    /// What reached the upstream since the last call.
    pub(crate) fn forwarded(&self) -> Vec<Seen> {
        self.upstream.take()
    }

    /// The one request that reached the upstream since the last call.
    #[track_caller]
    pub(crate) fn the_forwarded(&self) -> Seen {
        let mut seen = self.forwarded();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// Asserts that nothing reached the upstream since the last call.
    #[track_caller]
    pub(crate) fn nothing_forwarded(&self) {
        let seen = self.forwarded();
        assert!(seen.is_empty(), "{seen:?}");
    }

    /// `http://127.0.0.1:port/token`.
    pub(crate) fn realm(&self) -> String {
        format!("http://{}/token", self.gateway.host())
    }
}

/// Asks again until `probe` says yes: for what takes effect within a second or two.
#[track_caller]
pub(crate) fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    until(what, Duration::from_secs(20), || probe().then_some(()));
}

/// The parameters of a challenge, in their order, taken apart by RFC 9110's grammar (quoted strings only).
#[track_caller]
pub(crate) fn parameters<'a>(scheme: &str, challenge: &'a str) -> Vec<(&'a str, String)> {
    let mut rest = challenge.strip_prefix(scheme).unwrap_or_else(|| panic!("not {scheme}: {challenge}")).trim_start();
    let mut parameters = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("not quoted: {challenge}"));
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("no closing quote: {challenge}")) {
                (at, '"') => break at,
                (_, '\\') => value.extend(chars.next().map(|(_, char)| char)),
                (_, char) => value.push(char),
            }
        };
        parameters.push((name, value));
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    parameters
}

/// The one challenge of an answer, which must stand on one header line.
#[track_caller]
pub(crate) fn the_challenge(reply: &Reply) -> &str {
    let mut lines = reply.headers.iter().filter(|(name, _)| name == "www-authenticate").map(|(_, value)| value);
    let challenge = lines.next().unwrap_or_else(|| panic!("no challenge: {reply:?}"));
    assert_eq!(lines.next(), None, "{reply:?}");
    challenge
}

/// The parameter `name` of the bearer challenge of an answer.
#[track_caller]
pub(crate) fn challenged(reply: &Reply, name: &str) -> Option<String> {
    let parameters = parameters("Bearer", the_challenge(reply));
    parameters.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The code of the first error of an OCI error body.
#[track_caller]
pub(crate) fn code(reply: &Reply) -> String {
    reply.json()["errors"][0]["code"].as_str().unwrap_or_else(|| panic!("no code: {}", reply.text())).to_owned()
}

/// Text as it stands in a query or a form.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
}
