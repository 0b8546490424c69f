//! Which certificate a client is shown.

use crate::client::Settings;
use crate::setup::{Secured, With};

/// The DNS names of the certificate that `name` is shown; none when the client does not accept it.
async fn shown(secured: &Secured, name: &'static str) -> Option<Vec<String>> {
    let stream = Settings { name, ..secured.settings() }.client().connect().await.ok()?;
    let der = stream.get_ref().1.peer_certificates()?.first()?.clone();
    Some(tidegate::certificate::Certificate::parse(&der).unwrap().dns_names)
}

#[tokio::test]
async fn names_choose_among_several() {
    let more: &[(&str, &[&str])] = &[("wild", &["*.apps.example"]), ("one", &["one.apps.example", "two.example"])];
    let secured = Secured::new(With { more, ..With::default() });
    for (name, expected) in [
        ("gw.example", &["gw.example"][..]),
        ("a.apps.example", &["*.apps.example"]),
        ("one.apps.example", &["one.apps.example", "two.example"]),
        ("two.example", &["one.apps.example", "two.example"]),
    ] {
        assert_eq!(shown(&secured, name).await.unwrap(), expected, "{name}");
    }
    // The first is for everybody else; that it does not fit is for the client to say.
    assert_eq!(shown(&secured, "unknown.example").await, None);
}

#[test]
fn check_reads_the_files() {
    let secured = Secured::new(With { tls: ", client_ca = \"{ca}\"", ..With::default() });
    let gateway = &secured.site.gateway;
    let said = gateway.cli(&["check", "--config", "{config}"]).ok();
    assert!(!said.stderr.contains("tls"), "{said}");

    let dir = secured.authority.dir().join("server");
    secured.authority.serve("other", &["other.example"]);
    std::fs::copy(secured.authority.dir().join("other/tls.key"), dir.join("tls.key")).unwrap();
    let said = gateway.cli(&["check", "--config", "{config}"]).failed(1);
    said.says("is not that of the certificate").says("take both from the same issue");
    assert!(said.stderr.contains("key = \""), "the line is shown: {said}");
    std::fs::remove_file(dir.join("tls.crt")).unwrap();
    gateway.cli(&["check", "--config", "{config}"]).failed(1).says("tls.crt: cannot be read");
}
