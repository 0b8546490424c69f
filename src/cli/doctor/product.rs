//! What kind of server an upstream is, from what it answers, and whether that is what the configuration says.

use serde_json::Value;

use super::finding::{Finding, shown};
use super::http::{Answer, Outcome};
use crate::config::Kind;

/// What was asked of an upstream to learn what it is.
#[derive(Debug)]
pub(super) struct Asked {
    /// `/v2/`.
    pub(super) ping: Outcome,
    /// Pulp's status below the configured `api_root`, or below the usual one.
    pub(super) status: Outcome,
    /// Pulp's status below the usual `api_root`, where another one is configured.
    pub(super) usual: Option<Outcome>,
    /// zot's extension that says what it is.
    pub(super) zot: Outcome,
}

/// What an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Product {
    /// Pulp's API app, at the root where it was looked for.
    Pulp(PulpStatus),
    /// Pulp's API app, with its REST API below the usual root though another is configured, or at an unknown one.
    PulpElsewhere { usual: bool },
    /// Pulp's content app.
    PulpContent,
    /// CNCF distribution, or what answers like it.
    Distribution,
    /// zot.
    Zot(String),
    /// Something else; what it calls itself.
    Other(String),
}

/// What Pulp says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PulpStatus {
    /// Components with their versions.
    pub(super) versions: Vec<(String, String)>,
    /// `CONTENT_ORIGIN`; none for relative redirects.
    pub(super) content_origin: Option<String>,
    /// `DOMAIN_ENABLED`.
    pub(super) domains: bool,
}

impl PulpStatus {
    fn read(answer: &Answer) -> Option<Self> {
        let json = answer.json();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let versions = json.get("versions")?.as_array()?;
        let version = |one: &Value| Some((text(&one["component"])?, text(&one["version"])?));
        (answer.status == 200).then(|| Self {
            versions: versions.iter().filter_map(version).collect(),
            content_origin: text(&json["content_settings"]["content_origin"]).filter(|origin| !origin.is_empty()),
            domains: json["domain_enabled"].as_bool().unwrap_or_default(),
        })
    }

    fn version(&self, component: &str) -> Option<&str> {
        self.versions.iter().find(|(name, _)| name == component).map(|(_, version)| version.as_str())
    }
}

/// Reads the answers.
pub(super) fn identify(asked: &Asked) -> Product {
    if let Some(status) = asked.status.as_ref().ok().and_then(PulpStatus::read) {
        return Product::Pulp(status);
    }
    if asked.usual.as_ref().and_then(|usual| PulpStatus::read(usual.as_ref().ok()?)).is_some() {
        return Product::PulpElsewhere { usual: true };
    }
    let Ok(ping) = &asked.ping else { return Product::Other(String::new()) };
    if ping.headers.contains_key("correlation-id") && ping.server().contains("gunicorn") {
        return Product::PulpElsewhere { usual: false };
    }
    if ping.server().contains("aiohttp") {
        return Product::PulpContent;
    }
    if let Ok(zot) = &asked.zot
        && let (200, Some(version)) = (zot.status, zot.json()["distSpecVersion"].as_str())
    {
        return Product::Zot(shown(version));
    }
    if ping.header("docker-distribution-api-version").is_some_and(|version| version.starts_with("registry/2")) {
        return Product::Distribution;
    }
    Product::Other(shown(ping.server()))
}

/// Whether the product is what the configuration says.
pub(super) fn check(product: &Product, kind: &Kind) -> Finding {
    let pulp = match kind {
        Kind::Pulp(pulp) => Some(pulp),
        Kind::Registry => None,
    };
    let settings = "take Pulp's API_ROOT for `api_root`, and its DOMAIN_ENABLED for `domains`";
    match (product, pulp) {
        (Product::Pulp(status), Some(pulp)) if status.domains != pulp.domains => {
            let seen = format!("DOMAIN_ENABLED is {} in Pulp, `domains` {}", status.domains, pulp.domains);
            Finding::error("pulp-paths", seen, settings)
        }
        (Product::Pulp(status), Some(_)) => Finding::ok("product", name(status)),
        (Product::Pulp(status), None) => Finding::warning(
            "wrong-kind",
            format!("this is {}, and `kind` says that it is a registry", name(status)),
            "set `kind = \"pulp\"`: it covers weak spots of Pulp that other registries do not have",
        ),
        (Product::PulpElsewhere { usual }, Some(pulp)) => {
            let found = if *usual { "; it is below /pulp/" } else { "" };
            Finding::error("pulp-paths", format!("Pulp's REST API is not below {}{found}", pulp.api_root), settings)
        }
        (other, Some(_)) => Finding::error(
            "wrong-kind",
            format!("`kind` says that this is Pulp's API app, and it is {}", described(other)),
            "set `url` to the address of pulpcore-api, or leave `kind` out",
        ),
        (Product::Other(_), None) => Finding::note("product", format!("it is {}", described(product))),
        (other, None) => Finding::ok("product", described(other)),
    }
}

fn name(status: &PulpStatus) -> String {
    let core = status.version("core").unwrap_or("of unknown version");
    match status.version("container") {
        Some(container) => format!("Pulp {}, container plugin {}", shown(core), shown(container)),
        None => format!("Pulp {}, without the container plugin", shown(core)),
    }
}

fn described(product: &Product) -> String {
    match product {
        Product::Pulp(status) => name(status),
        Product::PulpElsewhere { .. } => "Pulp's API app".to_owned(),
        Product::PulpContent => "Pulp's content app".to_owned(),
        Product::Distribution => "CNCF distribution, or what answers like it; it does not tell its release".to_owned(),
        Product::Zot(version) => format!("zot, distribution specification {version}"),
        Product::Other(server) if server.is_empty() => "no registry that is known here".to_owned(),
        Product::Other(server) => format!("no registry that is known here; it calls itself {server}"),
    }
}

#[cfg(test)]
#[expect(clippy::unnecessary_wraps, reason = "the answers of tests are outcomes as they come")]
mod tests {
    use super::{Asked, Product, check, identify};
    use crate::cli::doctor::finding::Severity;
    use crate::cli::doctor::http::{Answer, NoAnswer, Outcome};
    use crate::config::{Kind, Pulp};

    const STATUS: &str = r#"{"versions": [{"component": "core", "version": "3.123.1"},
        {"component": "container", "version": "2.30.0"}], "content_settings": {"content_origin": null}, "domain_enabled": false}"#;

    fn none() -> Outcome {
        Ok(Answer::of(404, &[], ""))
    }

    fn pulp(domains: bool) -> Kind {
        Kind::Pulp(Pulp { api_root: "/pulp/".into(), domains })
    }

    fn asked(ping: Answer, status: Outcome) -> Asked {
        Asked { ping: Ok(ping), status, usual: None, zot: none() }
    }

    #[test]
    fn pulp_says_what_it_is() {
        let product = identify(&asked(Answer::of(401, &[], ""), Ok(Answer::of(200, &[], STATUS))));
        let finding = check(&product, &pulp(false));
        assert_eq!((finding.severity, finding.seen.as_str()), (Severity::Ok, "Pulp 3.123.1, container plugin 2.30.0"));
        assert_eq!(check(&product, &pulp(true)).code, "pulp-paths");
        assert_eq!(check(&product, &Kind::Registry).severity, Severity::Warning);
    }

    #[test]
    fn a_moved_pulp_is_told_from_no_pulp() {
        let gunicorn = Answer::of(401, &[("server", "gunicorn"), ("correlation-id", "x")], "");
        let mut moved = asked(gunicorn, none());
        assert_eq!(identify(&moved), Product::PulpElsewhere { usual: false });
        moved.usual = Some(Ok(Answer::of(200, &[], STATUS)));
        let product = identify(&moved);
        assert_eq!(check(&product, &pulp(false)).code, "pulp-paths");
        assert!(check(&product, &pulp(false)).seen.ends_with("it is below /pulp/"));
    }

    #[test]
    fn others_are_told_apart() {
        let registry = Answer::of(200, &[("docker-distribution-api-version", "registry/2.0")], "{}");
        assert_eq!(identify(&asked(registry.clone(), none())), Product::Distribution);
        assert_eq!(check(&Product::Distribution, &pulp(false)).code, "wrong-kind");
        assert_eq!(check(&Product::Distribution, &Kind::Registry).severity, Severity::Ok);
        let mut zot = asked(registry, none());
        zot.zot = Ok(Answer::of(200, &[], r#"{"distSpecVersion": "1.1.1"}"#));
        assert_eq!(identify(&zot), Product::Zot("1.1.1".into()));
        let content = Answer::of(404, &[("server", "Python/3.11 aiohttp/3.14")], "");
        assert_eq!(identify(&asked(content, none())), Product::PulpContent);
        let nginx = Answer::of(404, &[("server", "nginx")], "");
        assert_eq!(identify(&asked(nginx, Err(NoAnswer::NoHttp))), Product::Other("nginx".into()));
    }
}
