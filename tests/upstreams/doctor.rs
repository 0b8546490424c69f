//! The doctor asks upstreams in the way that the gateway does.

use std::path::Path;

use crate::backend::{Backend, Speaks, ok};
use crate::front::Front;
use crate::pki::Ca;

#[test]
fn it_reaches_whatever_the_gateway_reaches() {
    let ca = Ca::new();
    let secure = Backend::start(Speaks::Tls(ca.server(ca.sign(&["localhost"]), &["h2"], false)), ok);
    let url = format!("https://localhost:{}", secure.port);
    let front = Front::new(std::slice::from_ref(&url), &format!("http2 = true\ntls = {{ ca = {:?} }}", ca.file()));
    let said = front.gateway.cli(&["doctor", "--config", "{config}"]);
    assert!(said.stdout.contains(&format!("upstream registry ({url})")), "{said}");
    assert!(!said.stdout.contains("no connection"), "{said}");

    let path = ca.at("registry.sock");
    let _socket = Backend::start_at(Path::new(&path), ok);
    let front = Front::new(&[format!("unix:{path}")], "");
    let said = front.gateway.cli(&["doctor", "--config", "{config}"]);
    assert!(said.stdout.contains("who may use its socket"), "{said}");
    assert!(!said.stdout.contains("no connection"), "{said}");
}

#[test]
fn it_says_who_is_not_believed() {
    let (ca, other) = (Ca::new(), Ca::new());
    let secure = Backend::start(Speaks::Tls(ca.server(ca.sign(&["localhost"]), &[], false)), ok);
    let url = format!("https://localhost:{}", secure.port);
    let front = Front::new(&[url], &format!("tls = {{ ca = {:?} }}", other.file()));
    let said = front.gateway.cli(&["doctor", "--config", "{config}"]).failed(1);
    assert!(said.stdout.contains("UnknownIssuer"), "{said}");
}
