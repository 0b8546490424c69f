//! What is agreed on before anything is asked.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{BOTH, Client, HTTP1, Open, Settings, get, within};
use crate::setup::{Secured, With};
use crate::support::gateway::{Gateway, Ports};
use crate::support::http::Request;
use crate::support::pki::Authority;
use crate::support::port;

#[tokio::test]
async fn a_client_gets_the_protocol_that_it_prefers() {
    let secured = Secured::new(With::default());
    for (alpn, is_http2) in [(BOTH, true), (&BOTH[..1], true), (HTTP1, false), (&[], false)] {
        let client = Settings { alpn, ..secured.settings() }.client();
        let mut open = client.open().await.unwrap();
        assert_eq!(open.is_http2(), is_http2, "{alpn:?}");
        // Twice over one connection.
        for _ in 0..2 {
            assert_eq!(open.ask(get("/v2/")).await.unwrap().status(), 401);
        }
    }
    let nothing = Settings { alpn: &[b"spdy/3"], ..secured.settings() }.client();
    assert!(nothing.connect().await.is_err());

    let old = Secured::new(With { server: "http2 = false", ..With::default() });
    assert!(!old.client().open().await.unwrap().is_http2());
    assert!(Settings { alpn: &BOTH[..1], ..old.settings() }.client().connect().await.is_err());
}

async fn speaks(secured: &Secured, version: &'static SupportedProtocolVersion) -> bool {
    Settings { versions: &[version], ..secured.settings() }.client().connect().await.is_ok()
}

#[tokio::test]
async fn old_versions_are_spoken_unless_they_are_not_to_be() {
    let secured = Secured::new(With::default());
    assert!(speaks(&secured, &TLS12).await && speaks(&secured, &TLS13).await);
    let strict = Secured::new(With { tls: ", min_version = \"1.3\"", ..With::default() });
    assert!(!speaks(&strict, &TLS12).await && speaks(&strict, &TLS13).await);
}

#[tokio::test]
async fn plain_http_is_told_what_it_needs() {
    let secured = Secured::new(With::default());
    let port = secured.site.gateway.port;
    let reply = Request::new(port, "GET", "/v2/").send();
    assert_eq!((reply.status, reply.header("connection")), (400, Some("close")));
    assert!(reply.text().contains("https"), "{}", reply.text());
    // What is neither is not answered.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(&[0; 100]).unwrap();
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    assert!(heard.is_empty(), "{heard:?}");
    assert_eq!(secured.client().get("/v2/").await.status(), 401);
}

#[test]
fn a_handshake_that_does_not_end_is_given_up() {
    let secured = Secured::new(With { server: "header_timeout = \"300ms\"", ..With::default() });
    // A record that announces more than comes, and nothing at all.
    for begun in [&[0x16, 3, 1, 2, 0, 1][..], &[]] {
        let mut stream = TcpStream::connect(("127.0.0.1", secured.site.gateway.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(begun).unwrap();
        let began = Instant::now();
        let mut heard = Vec::new();
        match stream.read_to_end(&mut heard) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
        assert!(heard.is_empty() && began.elapsed() < Duration::from_secs(20));
    }
}

#[tokio::test]
async fn a_listener_may_stay_plain() {
    let authority = Authority::new("Test authority");
    let dir = authority.serve("server", &["gw.example"]).display().to_string();
    let (home, spare) = (tempfile::tempdir().unwrap(), port::free());
    let render = |Ports { main, admin }: Ports| {
        format!(
            "[server]\nlisten = [{{ address = \"127.0.0.1:{main}\", tls = false }}, \"127.0.0.1:{spare}\"]\n\
             public_url = \"https://gw.example\"\nworkers = 1\n\
             tls = {{ cert = \"{dir}/tls.crt\", key = \"{dir}/tls.key\" }}\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n"
        )
    };
    let gateway = Gateway::try_start(home.path(), Ports::free(), &render).expect("the ports are free");
    let secured = Settings::new(spare, &authority).client();
    assert_eq!(secured.get("/.well-known/jwks.json").await.status(), 200);
    for port in [gateway.port, gateway.admin] {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let path = if port == gateway.admin { "/healthz" } else { "/.well-known/jwks.json" };
        assert_eq!(Open::http1(stream).await.unwrap().ask(get(path)).await.unwrap().status(), 200);
    }
}

async fn kind(client: &Client) -> HandshakeKind {
    let mut stream = client.connect().await.unwrap();
    // Tickets come after the handshake.
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nhost: gw.example\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    within(stream.read_to_end(&mut heard)).await.unwrap();
    stream.get_ref().1.handshake_kind().unwrap()
}

#[tokio::test]
async fn a_client_that_comes_back_needs_no_whole_handshake() {
    let secured = Secured::new(With::default());
    for versions in [&[&TLS12], &[&TLS13]] {
        let client = Settings { alpn: HTTP1, versions, ..secured.settings() }.client();
        assert_eq!(kind(&client).await, HandshakeKind::Full);
        assert_eq!(kind(&client).await, HandshakeKind::Resumed);
    }
}
