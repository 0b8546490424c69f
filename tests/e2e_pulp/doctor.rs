//! `tidegate doctor` in front of real Pulp, with the example profiles: it finds nothing where all agrees, and each thing that
//! does not, and no other.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::example::{self, WRITER_PASSWORD};
use crate::support::gateway::{Gateway, cli};
use crate::support::middle::{Change, Middle, replace};
use crate::support::process::Finished;
use crate::support::pulp::{App, Pulp, lasting};

const NOTHING: [&str; 0] = [];

/// An example profile with `old` of Pulp's settings replaced by `new`, once for each pair.
fn start(name: &str, changes: &[(&str, &str)]) -> Site {
    let change = |mut settings: String| {
        for (old, new) in changes {
            assert!(settings.contains(old), "{settings}");
            settings = settings.replace(old, new);
        }
        settings
    };
    let (gateway, api) = example::start(name, &change);
    Site { gateway, api }
}

fn public_key(config: &Path) -> String {
    cli(config, &["keys", "export", "--config", "{config}", "--format", "pem"]).ok().stdout
}

/// A running set-up.
struct Site {
    gateway: Gateway,
    api: App,
}

impl Site {
    /// The identity header for all, shared by the tests that change nothing of it.
    fn header() -> &'static Self {
        static SITE: OnceLock<Site> = OnceLock::new();
        SITE.get_or_init(|| lasting(|| start("header", &[])))
    }

    /// Tokens for images, shared likewise.
    fn token() -> &'static Self {
        static SITE: OnceLock<Site> = OnceLock::new();
        SITE.get_or_init(|| lasting(|| start("token", &[])))
    }

    /// The codes of what is wrong.
    #[track_caller]
    fn wrong(&self) -> Vec<String> {
        wrong(&self.gateway.config, &[])
    }

    /// The same by another public URL.
    #[track_caller]
    fn wrong_at(&self, port: u16) -> Vec<String> {
        wrong(&self.gateway.config, &["--url", &format!("http://127.0.0.1:{port}")])
    }

    /// The same with a configuration that the gateway does not run with.
    #[track_caller]
    fn wrong_with(&self, old: &str, new: &str) -> Vec<String> {
        wrong(&self.changed(old, new), &[])
    }

    /// The same with something between the gateway and Pulp.
    #[track_caller]
    fn wrong_behind(&self, middle: &Middle) -> Vec<String> {
        self.wrong_with(&local(self.api.port), &local(middle.port))
    }

    #[track_caller]
    fn changed(&self, old: &str, new: &str) -> PathBuf {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let text = std::fs::read_to_string(&self.gateway.config).unwrap();
        assert!(text.contains(old), "{text}");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let config = self.gateway.config.with_file_name(format!("changed-{number}.toml"));
        std::fs::write(&config, text.replace(old, new)).unwrap();
        config
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[track_caller]
fn wrong(config: &Path, options: &[&str]) -> Vec<String> {
    let args = [&["doctor", "--config", "{config}", "--json", "--timeout", "20s"], options].concat();
    let Finished { stdout, status, stderr, .. } = cli(config, &args);
    let value: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    let findings = value["groups"].as_array().unwrap().iter().flat_map(|group| group["findings"].as_array().unwrap());
    let bad = |finding: &&serde_json::Value| matches!(finding["severity"].as_str(), Some("warning" | "error"));
    let mut codes: Vec<String> = Vec::new();
    for finding in findings.filter(bad) {
        assert!(!finding["mend"].as_str().unwrap().is_empty(), "{finding}");
        codes.push(finding["code"].as_str().unwrap().to_owned());
    }
    codes.sort();
    codes.dedup();
    assert_eq!(status.code(), Some(i32::from(!codes.is_empty())), "{stdout}");
    assert_eq!(value["ok"], codes.is_empty());
    assert!(!stdout.contains(WRITER_PASSWORD) && !stdout.contains("eyJ"), "a secret in {stdout}");
    codes
}

#[test]
fn nothing_is_wrong_with_the_example_profiles_and_no_account_is_made() {
    let hybrid = start("hybrid", &[]);
    for site in [Site::header(), Site::token(), &hybrid] {
        assert_eq!(site.wrong(), NOTHING);
        let text = cli(&site.gateway.config, &["doctor", "--config", "{config}", "--timeout", "20s"]).ok().stdout;
        assert!(text.contains("product: Pulp 3.") && text.ends_with("0 errors, 0 warnings\n"), "{text}");
    }
    // They share a database.
    let users = Site::token().api.users();
    assert!(!users.iter().any(|user| user.starts_with("tidegate-doctor")), "{users:?}");
}

#[test]
fn pulp_reads_another_header_and_content_comes_around_the_gateway() {
    let other = "HTTP_X_OTHER\"\nCONTENT_ORIGIN = \"http://127.0.0.1:9";
    let site = start("header", &[("HTTP_X_AUTHENTICATION_SERVICE", other)]);
    assert_eq!(site.wrong(), ["content-origin", "header-ignored"]);
}

#[test]
fn pulp_looks_elsewhere_in_the_header_and_takes_passwords_too() {
    let both = "JSONHeaderRemoteAuthentication\", \"pulpcore.app.authentication.BasicAuthentication\"";
    let changes = [("JSONHeaderRemoteAuthentication\"", both), (".identity.user.username", ".identity.username")];
    let site = start("header", &changes);
    assert_eq!(site.wrong(), ["basic-listed", "header-filter"]);
}

#[test]
fn pulp_has_another_token_server_and_hands_out_tokens_itself() {
    let private = "PRIVATE_KEY_PATH = PUBLIC_KEY_PATH.replace(\"pulp-public-key\", \"signing-key\")";
    let site = start("token", &[("/token\"", "/token/\""), ("PRIVATE_KEY_PATH = None", private)]);
    assert_eq!(site.wrong(), ["own-tokens", "token-server"]);
}

#[test]
fn pulp_has_the_key_of_somebody_else() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("gateway.toml");
    std::fs::write(&config, "[server]\nlisten = '127.0.0.1:0'\npublic_url = 'http://127.0.0.1:5000'\n").unwrap();
    let other = dir.path().join("other.pem");
    std::fs::write(&other, public_key(&config)).unwrap();
    let setting = format!("PUBLIC_KEY_PATH = {other:?}\n#");
    let site = start("token", &[("PUBLIC_KEY_PATH =", &setting)]);
    assert_eq!(site.wrong(), ["token-refused"]);
}

#[test]
fn pulp_wants_another_kind_of_credentials() {
    let (token, identity) = ("credentials = \"forward-token\"", "credentials = \"identity\"");
    assert_eq!(Site::token().wrong_with(token, identity), ["token-auth-on"]);
    let route = "prefix = \"/v2/\"\nupstream = \"pulp\"\n";
    assert_eq!(Site::header().wrong_with(route, &format!("{route}{token}\n")), ["token-auth-off"]);
    let password = "password = { file = \"registry-writer-password\" }";
    assert_eq!(Site::token().wrong_with(password, "password = \"wrong\""), ["account-refused"]);
}

#[test]
fn the_configuration_takes_pulp_for_what_it_is_not() {
    let site = Site::header();
    let kind = "\nkind = \"pulp\"\n";
    assert_eq!(site.wrong_with(kind, "\nkind = \"pulp\"\napi_root = \"/moved/\"\n"), ["pulp-paths"]);
    assert_eq!(site.wrong_with(kind, "\nkind = \"pulp\"\ndomains = true\n"), ["pulp-paths"]);
    assert_eq!(site.wrong_with(kind, "\n"), ["wrong-kind"]);
    let content = Pulp::shared().content().port;
    assert_eq!(site.wrong_with(&local(site.api.port), &local(content)), ["wrong-kind"]);
    // Nobody listens on port 9 of loopback.
    assert_eq!(site.wrong_with(&local(site.api.port), &local(9)), ["unreachable"]);
    let blobs = "[[route]]\nprefix = \"/pulp/container/\"\nupstream = \"content\"\nauth = \"public\"\n";
    assert_eq!(site.wrong_with(blobs, ""), ["content-route"]);
}

/// To one port, with another Host, or another Date in the answer.
struct Rewrites {
    to: u16,
    host: Option<String>,
    date: Option<&'static str>,
}

impl Change for Rewrites {
    fn request(&self, head: &mut String) -> u16 {
        if let Some(host) = &self.host {
            replace(head, "host", host);
        }
        self.to
    }

    fn answer(&self, head: &mut String) {
        if let Some(date) = self.date {
            replace(head, "date", date);
        }
    }
}

#[test]
fn a_proxy_before_pulp_changes_host() {
    let site = Site::token();
    let host = Some(format!("127.0.0.1:{}", site.api.port));
    let middle = Middle::start(Ipv4Addr::LOCALHOST, Rewrites { to: site.api.port, host, date: None });
    assert_eq!(site.wrong_behind(&middle), ["host-rewritten"]);
}

#[test]
fn the_clock_of_pulp_is_wrong() {
    let site = Site::header();
    let date = Some("Mon, 01 Jan 2024 00:00:00 GMT");
    let middle = Middle::start(Ipv4Addr::LOCALHOST, Rewrites { to: site.api.port, host: None, date });
    assert_eq!(site.wrong_behind(&middle), ["clock"]);
}

#[test]
fn pulp_listens_on_all_addresses() {
    let site = Site::header();
    let middle = Middle::start(Ipv4Addr::UNSPECIFIED, Rewrites { to: site.api.port, host: None, date: None });
    // On a host that nobody can reach, no address leads around the gateway. Nothing is sent by this.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let reachable = socket.connect(("203.0.113.1", 9)).is_ok();
    assert_eq!(site.wrong_behind(&middle), if reachable { &["around"][..] } else { &[] });
    // Tokens are Pulp's to check, whoever comes.
    let site = Site::token();
    let middle = Middle::start(Ipv4Addr::UNSPECIFIED, Rewrites { to: site.api.port, host: None, date: None });
    assert_eq!(site.wrong_behind(&middle), NOTHING);
}

/// As a proxy in front that was there before the gateway: the REST API still goes to Pulp itself.
struct OldRoutes {
    gateway: u16,
    pulp: u16,
}

impl OldRoutes {
    fn of(site: &Site) -> Middle {
        Middle::start(Ipv4Addr::LOCALHOST, Self { gateway: site.gateway.port, pulp: site.api.port })
    }
}

impl Change for OldRoutes {
    fn request(&self, head: &mut String) -> u16 {
        if head.split(' ').nth(1).is_some_and(|path| path.starts_with("/pulp/api/")) { self.pulp } else { self.gateway }
    }
}

/// The port of the proxy is not in `public_url`, which is a mistake of its own.
#[test]
fn a_proxy_in_front_leads_around_the_gateway() {
    let (header, token) = (Site::header(), Site::token());
    assert_eq!(header.wrong_at(OldRoutes::of(header).port), ["realm", "smuggled"]);
    assert_eq!(token.wrong_at(OldRoutes::of(token).port), ["bypass", "realm"]);
}

#[test]
fn clients_know_the_gateway_by_another_port() {
    let site = Site::header();
    let front = Middle::start(Ipv4Addr::LOCALHOST, Rewrites { to: site.gateway.port, host: None, date: None });
    assert_eq!(site.wrong_at(front.port), ["realm"]);
    let closed = front.port;
    drop(front);
    assert_eq!(site.wrong_at(closed), ["gateway-unreachable"]);
    assert_eq!(site.wrong_at(site.api.port), ["not-the-gateway"]);
}

#[test]
fn the_gateway_runs_with_another_configuration() {
    let config = Site::header().changed("state_dir = \"state\"", "state_dir = \"other-state\"");
    assert_eq!(wrong(&config, &[]), ["no-keys"]);
    public_key(&config);
    assert_eq!(wrong(&config, &[]), ["other-keys", "token-refused"]);
}
