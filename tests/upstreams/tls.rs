//! Upstreams over TLS: who is believed, what they are shown, and that bodies are as safe as without.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use crate::backend::{Answering, Backend, Speaks, ok, parts, text};
use crate::front::{BROKEN, Front};
use crate::pki::{Ca, replace};
use crate::site::UPLOAD;
use crate::support::until;
use crate::wire::LIMIT;

fn tls(ca: &Ca, names: &[&str]) -> Speaks {
    Speaks::Tls(ca.server(ca.sign(names), &["http/1.1"], false))
}

fn at(host: &str, backend: &Backend) -> [String; 1] {
    [format!("https://{host}:{}", backend.port)]
}

fn with_ca(ca: &Ca) -> String {
    format!("tls = {{ ca = {:?} }}", ca.file())
}

#[test]
fn a_certificate_of_the_own_ca_is_believed() {
    let ca = Ca::new();
    let backend = Backend::start(tls(&ca, &["localhost"]), ok);
    // The name leads to an IPv6 address first on most systems, where nobody listens.
    let front = Front::new(&at("localhost", &backend), &with_ca(&ca));
    for _ in 0..3 {
        let (head, body) = front.get();
        assert_eq!((head.status(), body.text().as_str()), (200, "ok"));
    }
    let long = "x".repeat(1 << 20);
    assert_eq!(front.ask("PATCH", UPLOAD, &long).0.status(), 200);
    assert!(backend.bodies().contains(&(1 << 20, true)));
    let records = backend.records();
    assert!(records.iter().all(|record| record.connection == records[0].connection), "{records:?}");
    assert_eq!(backend.handshakes()[0].0.as_deref(), Some("localhost"));
}

#[test]
fn nobody_else_is_believed() {
    let (ca, other) = (Ca::new(), Ca::new());
    let mut cases = vec![
        (Backend::start(tls(&other, &["localhost"]), ok), "localhost", with_ca(&ca), "UnknownIssuer"),
        (Backend::start(tls(&ca, &["other.example"]), ok), "localhost", with_ca(&ca), "not valid for name"),
        (Backend::start(tls(&ca, &["localhost"]), ok), "127.0.0.1", with_ca(&ca), "not valid for name"),
        (Backend::start(Speaks::Plain, ok), "localhost", with_ca(&ca), "no TLS with upstream"),
    ];
    if !rustls_native_certs::load_native_certs().certs.is_empty() {
        // Without a CA of its own it is the system's word that counts.
        cases.push((Backend::start(tls(&ca, &["localhost"]), ok), "localhost", String::new(), "UnknownIssuer"));
    }
    for (backend, host, more, why) in cases {
        let front = Front::new(&at(host, &backend), &more);
        assert_eq!(front.get().0.status(), 502);
        front.wait_for_log(why);
        front.wait_for_log("no TLS with upstream registry at");
        assert!(backend.records().is_empty(), "nothing is told to a stranger");
    }
}

#[test]
fn another_name_can_be_asked_for() {
    let ca = Ca::new();
    let backend = Backend::start(tls(&ca, &["registry.internal"]), ok);
    let more = format!("tls = {{ ca = {:?}, server_name = \"registry.internal\" }}", ca.file());
    let front = Front::new(&at("127.0.0.1", &backend), &more);
    assert_eq!(front.get().0.status(), 200);
    assert_eq!(backend.handshakes()[0].0.as_deref(), Some("registry.internal"));
}

#[test]
fn a_client_certificate_is_shown_to_who_asks() {
    let ca = Ca::new();
    let backend = Backend::start(Speaks::Tls(ca.server(ca.sign(&["localhost"]), &[], true)), ok);
    let own = ca.sign(&["gateway"]);
    std::fs::write(ca.at("own.pem"), &own.pem.0).unwrap();
    std::fs::write(ca.at("own.key"), &own.pem.1).unwrap();
    let more = format!("tls = {{ ca = {:?}, cert = {:?}, key = {:?} }}", ca.file(), ca.at("own.pem"), ca.at("own.key"));
    let front = Front::new(&at("localhost", &backend), &more);
    assert_eq!(front.get().0.status(), 200);
    assert!(backend.handshakes().iter().all(|(_, shown)| *shown == 1));
    let front = Front::new(&at("localhost", &backend), &with_ca(&ca));
    assert_eq!(front.get().0.status(), 502);
}

#[test]
fn files_are_read_again_when_they_change() {
    let (ca, other) = (Ca::new(), Ca::new());
    let right = std::fs::read_to_string(ca.file()).unwrap();
    let file = ca.at("trusted.pem");
    std::fs::copy(other.file(), &file).unwrap();
    let backend = Backend::start(tls(&ca, &["localhost"]), ok);
    let front = Front::new(&at("localhost", &backend), &format!("pool = false\ntls = {{ ca = {file:?} }}"));
    assert_eq!(front.get().0.status(), 502);
    replace(&file, &right);
    until("the new CA is believed", LIMIT, || (front.get().0.status() == 200).then_some(()));
    replace(&file, "no certificate");
    front.wait_for_log("keeps the files of its `tls` as they were");
    assert_eq!(front.get().0.status(), 200, "a broken one leaves the old one in place");
}

#[test]
fn a_handshake_that_does_not_end_is_504() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ca = Ca::new();
    let more = format!("handshake_timeout = \"200ms\"\n{}", with_ca(&ca));
    // It accepts, by the kernel, and says nothing.
    let front = Front::new(&[format!("https://localhost:{port}")], &more);
    assert_eq!(front.get().0.status(), 504);
    front.wait_for_log("did not finish the TLS handshake within 200ms");
    drop(listener);
}

/// Answers 413 at once; the library closes the connection, as there is a body that nobody read.
fn early(_: http::Request<hyper::body::Incoming>, _: Arc<crate::backend::Seen>) -> Answering {
    Box::pin(async { text(413, "early") })
}

#[test]
fn an_early_answer_is_heard() {
    let ca = Ca::new();
    let backend = Backend::start(tls(&ca, &["localhost"]), early);
    Front::new(&at("localhost", &backend), &with_ca(&ca)).hears_early_answers();
}

#[test]
fn a_broken_upload_is_never_whole() {
    let ca = Ca::new();
    let backend = Backend::start(tls(&ca, &["localhost"]), ok);
    let front = Front::new(&at("localhost", &backend), &with_ca(&ca));
    for framing in BROKEN {
        front.breaks_an_upload_off(&backend, framing);
    }
}

#[test]
fn a_broken_answer_is_never_whole() {
    let ca = Ca::new();
    let backend = Backend::start(tls(&ca, &["localhost"]), |_, _| {
        Box::pin(async {
            Response::new(parts([Ok(Bytes::from_static(b"part")), Err(std::io::Error::other("broken"))]))
        })
    });
    let front = Front::new(&at("localhost", &backend), &with_ca(&ca));
    let (head, body) = front.get();
    assert_eq!((head.status(), body.whole), (200, false), "{body:?}");
}
