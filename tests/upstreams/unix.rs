//! Upstreams at a Unix socket.

use crate::backend::{Backend, ok};
use crate::front::Front;
use crate::site::UPLOAD;

#[test]
fn a_unix_socket_is_an_address_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry.sock");
    let backend = Backend::start_at(&path, ok);
    let front = Front::new(&[format!("unix:{}", path.display())], "");
    let (head, body) = front.get();
    assert_eq!((head.status(), body.text().as_str()), (200, "ok"));
    let long = "x".repeat(1 << 20);
    assert_eq!(front.ask("PATCH", UPLOAD, &long).0.status(), 200);
    let records = backend.records();
    assert_eq!(records[0].host, front.gateway.host(), "the upstream hears what the client said");
    assert_eq!((records[0].connection, records.len()), (records[1].connection, 2), "the connection is kept");
    assert!(backend.bodies().contains(&(1 << 20, true)));
}

#[test]
fn a_socket_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.sock");
    let front = Front::new(&[format!("unix:{}", path.display())], "");
    let (head, _) = front.get();
    assert_eq!((head.status(), head.get("retry-after")), (502, Some("2")));
    front.wait_for_log(&format!("cannot connect to upstream registry at unix:{}", path.display()));
    // It is found as soon as it is there.
    let _backend = Backend::start_at(&path, ok);
    assert_eq!(front.get().0.status(), 200);
}
