//! `tidegate doctor` in front of Debian's docker-registry: it says nothing where all agrees, and names what does not.

use std::path::Path;

use tempfile::TempDir;

use crate::site::{ALICE, directory, settings};
use crate::support::gateway::{Gateway, Ports, cli};
use crate::support::port;
use crate::support::registry::Registry;

/// A gateway and a registry. Fields are dropped in their order.
struct Stand {
    gateway: Gateway,
    _registry: Registry,
    dir: TempDir,
}

impl Stand {
    /// With `credentials` for the registry, whose `auth` section is what `export distribution` prints, changed; none for none.
    fn start(credentials: &str, auth: Option<&dyn Fn(String) -> String>) -> Self {
        (0..20).find_map(|_| Self::try_start(credentials, auth)).expect("no ports stayed free until they were bound")
    }

    fn try_start(credentials: &str, auth: Option<&dyn Fn(String) -> String>) -> Option<Self> {
        let dir = directory();
        let (ports, registry) = (Ports::free(), port::free());
        let mut settings = settings(registry);
        settings.upstream = format!("credentials = \"{credentials}\"");
        settings.token = String::from("key_id = \"libtrust\"");
        let config = dir.path().join("gateway.toml");
        std::fs::write(&config, settings.render(ports)).unwrap();
        let export = ["export", "distribution", "--config", "{config}", "--target", "2"];
        let auth = auth.map(|change| change(cli(&config, &export).ok().stdout)).unwrap_or_default();
        let registry = Registry::try_start(dir.path(), registry, &auth)?;
        let gateway = Gateway::try_start(dir.path(), ports, &|ports| settings.render(ports))?;
        Some(Self { gateway, _registry: registry, dir })
    }

    /// The codes of what is wrong.
    #[track_caller]
    fn wrong(&self) -> Vec<String> {
        wrong(&self.gateway.config)
    }

    /// The same with a line of the configuration changed.
    #[track_caller]
    fn wrong_with(&self, old: &str, new: &str) -> Vec<String> {
        let text = std::fs::read_to_string(&self.gateway.config).unwrap();
        assert!(text.contains(old), "{text}");
        let config = self.dir.path().join("changed.toml");
        std::fs::write(&config, text.replacen(old, new, 1)).unwrap();
        wrong(&config)
    }
}

#[track_caller]
fn wrong(config: &Path) -> Vec<String> {
    let ran = cli(config, &["doctor", "--config", "{config}", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let findings = value["groups"].as_array().unwrap().iter().flat_map(|group| group["findings"].as_array().unwrap());
    let bad = |finding: &&serde_json::Value| matches!(finding["severity"].as_str(), Some("warning" | "error"));
    let codes: Vec<String> = findings.filter(bad).map(|finding| finding["code"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ran.status.code(), Some(i32::from(!codes.is_empty())), "{ran:?}");
    assert!(!ran.stdout.contains("eyJ") && !ran.stdout.contains(ALICE.1), "a secret in {ran:?}");
    codes
}

const NOTHING: [&str; 0] = [];

#[test]
fn nothing_is_wrong_where_all_agrees() {
    assert_eq!(Stand::start("identity", None).wrong(), NOTHING);
    for credentials in ["forward-token", "mint-token"] {
        let stand = Stand::start(credentials, Some(&|auth| auth));
        assert_eq!(stand.wrong(), NOTHING);
        let text = cli(&stand.gateway.config, &["doctor", "--config", "{config}"]).ok().stdout;
        assert!(text.contains("product: CNCF distribution"), "{text}");
    }
}

#[test]
fn a_registry_that_checks_nothing_is_open() {
    assert_eq!(Stand::start("forward-token", None).wrong(), ["upstream-open"]);
}

#[test]
fn a_registry_that_wants_tokens_gets_none() {
    assert_eq!(Stand::start("identity", Some(&|auth| auth)).wrong(), ["upstream-wants-credentials"]);
}

#[test]
fn issuer_service_and_keys_have_to_agree() {
    let issuer = Stand::start("forward-token", Some(&|auth| auth.replace("issuer: \"http", "issuer: \"other-http")));
    assert_eq!(issuer.wrong(), ["token-refused"]);
    let service = Stand::start("forward-token", Some(&|auth| auth.replace("service: \"", "service: \"other-")));
    assert_eq!(service.wrong(), ["service"]);
    let good = Stand::start("mint-token", Some(&|auth| auth));
    // The registry knows the key by the other id alone.
    assert_eq!(good.wrong_with("key_id = \"libtrust\"", ""), ["token-refused", "other-keys", "token-refused"]);
}

#[test]
fn it_is_no_pulp() {
    let stand = Stand::start("identity", None);
    assert_eq!(stand.wrong_with("name = \"registry\"", "name = \"registry\"\nkind = \"pulp\""), ["wrong-kind"]);
}

#[test]
fn an_account_has_to_be_known() {
    // The hash is of `secret`, by htpasswd.
    let dir = directory();
    let file = dir.path().join("htpasswd");
    std::fs::write(&file, format!("gateway:{}\n", bcrypt::hash("secret", 4).unwrap().replace("$2b$", "$2y$"))).unwrap();
    let auth = format!("auth:\n  htpasswd: {{realm: x, path: {}}}\n", file.display());
    let stand = Stand::start("identity", Some(&|_| auth.clone()));
    let account =
        |password| format!("credentials = {{ basic = {{ username = \"gateway\", password = \"{password}\" }} }}");
    assert_eq!(stand.wrong(), ["upstream-wants-credentials"]);
    assert_eq!(stand.wrong_with("credentials = \"identity\"", &account("secret")), NOTHING);
    assert_eq!(stand.wrong_with("credentials = \"identity\"", &account("wrong")), ["account-refused"]);
}
