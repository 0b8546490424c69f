//! What these tests ask of a gateway, as alice.

use std::path::Path;

use crate::support::digest;
use crate::support::gateway::{Gateway, Settings};
use crate::support::http::{Reply, Request};
use crate::support::people::{ALICE, RULES, USERS};

/// A gateway in front of what listens at `upstream_port`, with time-outs that a test can wait for.
pub(crate) fn settings(upstream_port: u16) -> Settings {
    Settings {
        hosts: vec!["127.0.0.1"],
        server: "body_idle_timeout = \"3s\"".into(),
        token: String::new(),
        upstream_port,
        upstream: "credentials = \"identity\"\nresponse_timeout = \"2s\"\nconnect_timeout = \"2s\"".into(),
        users: USERS.to_vec(),
        rest: RULES.into(),
    }
}

/// A directory with a short path.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("tg-").tempdir().unwrap()
}

/// `method target` as alice.
pub(crate) fn ask(gateway: &Gateway, method: &str, target: &str) -> Request {
    Request::new(gateway.port, method, target).basic(ALICE.0, ALICE.1)
}

/// Begins an upload; its Location.
pub(crate) fn begin(gateway: &Gateway) -> String {
    let begun = ask(gateway, "POST", "/v2/team/app/blobs/uploads/").send().expect(202);
    begun.header("location").unwrap().to_owned()
}

/// An upload's Location with the digest of `blob` added.
pub(crate) fn closing(location: &str, blob: &[u8]) -> String {
    format!("{location}{}digest={}", if location.contains('?') { '&' } else { '?' }, digest(blob))
}

/// Uploads a blob.
pub(crate) fn upload(gateway: &Gateway, blob: &[u8]) -> Reply {
    ask(gateway, "PUT", &closing(&begin(gateway), blob)).body(blob).send()
}

/// What the gateway says at `/readyz`.
pub(crate) fn ready(gateway: &Gateway) -> Reply {
    Request::new(gateway.admin, "GET", "/readyz").send()
}

/// Whether a file holds `text`.
pub(crate) fn holds(file: &Path, text: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|content| content.contains(text))
}
