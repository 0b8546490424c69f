//! `tidegate doctor` where the gateway speaks TLS itself.

use std::path::Path;

use serde_json::Value;

use crate::setup::{Secured, With};
use crate::support::gateway::binary;
use crate::support::pki::{Authority, Wanted};
use crate::support::process::{command, run};

/// What it finds about `https://gw.example`, on a system that trusts this authority.
fn examine(config: &Path, trusts: &Authority) -> Vec<Value> {
    let mut doctor = command(binary(), config.parent().unwrap());
    doctor.env("SSL_CERT_FILE", trusts.file()).args(["doctor", "--json", "--config"]).arg(config);
    let ran = run(&mut doctor, "");
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
    let groups = told["groups"].as_array().unwrap();
    let gateway = groups.iter().find(|group| group["about"] == "gateway https://gw.example").unwrap();
    gateway["findings"].as_array().unwrap().clone()
}

/// What is said of this kind, and how bad it is.
#[track_caller]
fn said(findings: &[Value], code: &str) -> (String, String) {
    let found = findings.iter().find(|finding| finding["code"] == code);
    let found = found.unwrap_or_else(|| panic!("no {code} in {findings:#?}"));
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("severity"), text("seen"))
}

#[test]
fn it_asks_the_listener_over_tls() {
    let secured = Secured::new(With::default());
    let (config, stranger) = (&secured.site.gateway.config, Authority::new("Another authority"));
    let findings = examine(config, &secured.authority);
    for code in ["certificate", "keys", "realm", "tokens"] {
        assert_eq!(said(&findings, code).0, "ok", "{findings:#?}");
    }
    assert!(said(&findings, "certificate").1.contains("until 2100-01-01"));
    assert!(!findings.iter().any(|finding| finding["severity"] == "error"), "{findings:#?}");
    // Clients have to be told of an authority that the system does not know; the rest is examined all the same.
    let findings = examine(config, &stranger);
    let (severity, seen) = said(&findings, "certificate-untrusted");
    assert!(severity == "note" && seen.contains("certs.d/gw.example"), "{seen}");
    assert_eq!(said(&findings, "tokens").0, "ok");
}

#[test]
fn it_says_what_clients_refuse() {
    let shown = |wanted: &Wanted<'_>| {
        let authority = Authority::new("Test authority");
        authority.issue(wanted).write(&authority.dir().join("server"));
        let secured = Secured::start(authority, With::default());
        examine(&secured.site.gateway.config, &secured.authority)
    };
    let findings = shown(&Wanted { dns: &["other.example"], ..Wanted::default() });
    let (severity, seen) = said(&findings, "certificate-name");
    assert!(severity == "error" && seen.contains("other.example") && seen.contains("gw.example"), "{seen}");
    let findings = shown(&Wanted { dns: &["gw.example"], expired: true, ..Wanted::default() });
    let (severity, seen) = said(&findings, "certificate-time");
    assert!(severity == "error" && seen.contains("expired on 2021-01-01"), "{seen}");
    assert_eq!(said(&findings, "tokens").0, "ok", "the rest is examined all the same");
}

#[test]
fn another_certificate_is_not_believed() {
    let secured = Secured::new(With::default());
    let config = std::fs::read_to_string(&secured.site.gateway.config).unwrap();
    let other = secured.authority.serve("other", &["gw.example"]).display().to_string();
    let server = secured.authority.dir().join("server").display().to_string();
    let file = secured.site.dir.path().join("other.toml");
    std::fs::write(&file, config.replace(&server, &other)).unwrap();
    let findings = examine(&file, &secured.authority);
    assert_eq!(said(&findings, "other-certificate").0, "error");
    assert!(!findings.iter().any(|finding| finding["code"] == "tokens"), "nothing else is asked: {findings:#?}");
}

#[test]
fn without_a_certificate_of_its_own_it_looks_at_the_listener_s() {
    let tls = ", client_ca = \"{ca}\", client_auth = \"required\"";
    let rest = "[[authn]]\nkind = \"client-certificate\"\n";
    let secured = Secured::new(With { tls, rest, ..With::default() });
    let findings = examine(&secured.site.gateway.config, &secured.authority);
    assert_eq!(said(&findings, "certificate").0, "ok");
    assert_eq!(said(&findings, "client-certificate").0, "note");
}
