//! Request lines, and both kinds on their way to a place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::{Decision, LogError, LogWriter, RequestLine, Settings, Target};
use crate::audit::{AuditLine, Event, Result};
use crate::subject::{Caller, Origin};
use crate::telemetry::{Format, Style, SyslogAddress};

const PATIENCE: Duration = Duration::from_secs(60);

const LINE: RequestLine<'_> = RequestLine {
    time: UNIX_EPOCH,
    request_id: "r-1",
    client: Origin::Unix,
    method: "GET",
    host: Some(b"registry.test"),
    path: "/v2/team/app/manifests/v1",
    subject: Some("alice"),
    operation: Some("manifest.get"),
    repository: Some("team/app"),
    decision: Decision::Allowed,
    status: 200,
    upstream: Some("registry"),
    upstream_time: Some(Duration::from_micros(1500)),
    total: Duration::from_micros(2750),
    bytes_in: 0,
    bytes_out: 1024,
    user_agent: Some(b"docker/20.10"),
    error: None,
};

const AUDIT: AuditLine<'_> = AuditLine {
    time: UNIX_EPOCH,
    request_id: "r-1",
    event: Event::Decision,
    client: Origin::Unix,
    caller: &Caller::Anonymous,
    claimed: None,
    service: None,
    action: "manifest.get",
    resource: Some("team/app"),
    requested: None,
    granted: None,
    token_id: None,
    result: Result::Allowed,
    why: "gateway.toml:42",
};

fn json(line: &RequestLine<'_>) -> serde_json::Value {
    let mut buf = Vec::new();
    line.write(&mut buf, Style::Json);
    assert_eq!(buf.iter().position(|byte| *byte == b'\n'), Some(buf.len() - 1), "one line");
    serde_json::from_slice(&buf).unwrap()
}

fn settings(dir: &Path, requests: &str, audit: &str) -> Settings {
    let target = |name: &str| if name.is_empty() { Target::Off } else { Target::File(dir.join(name)) };
    Settings { requests: target(requests), audit: target(audit), format: Format::Auto }
}

#[test]
fn a_line_has_every_fact() {
    let client = Origin::Ip("192.0.2.1".parse().unwrap());
    assert_eq!(
        json(&RequestLine { client, error: Some("upstream closed"), ..LINE }),
        serde_json::json!({
            "time": "1970-01-01T00:00:00.000Z", "kind": "request", "request_id": "r-1", "client": "192.0.2.1",
            "method": "GET", "host": "registry.test", "path": "/v2/team/app/manifests/v1", "subject": "alice",
            "operation": "manifest.get", "repository": "team/app", "decision": "allowed", "status": 200,
            "upstream": "registry", "upstream_ms": 1.5, "total_ms": 2.75, "bytes_in": 0, "bytes_out": 1024,
            "user_agent": "docker/20.10", "error": "upstream closed",
        })
    );
    assert_eq!(json(&RequestLine { subject: None, ..LINE })["subject"], serde_json::Value::Null);
}

#[test]
fn a_query_never_gets_into_a_line() {
    let shown = json(&RequestLine { path: "/v2/a/blobs/uploads/1?_state=planted", ..LINE });
    assert_eq!(shown["path"], "/v2/a/blobs/uploads/1");
    assert!(!shown.to_string().contains("planted"));
}

#[test]
fn a_hostile_user_agent_cannot_forge_a_line() {
    let agent = b"x\"}\n{\"kind\":\"audit\",\"result\":\"allowed\"}\n\x1b[2J\xff";
    let shown = json(&RequestLine { user_agent: Some(agent), ..LINE });
    assert_eq!(shown["user_agent"].as_str().unwrap(), String::from_utf8_lossy(agent));
    assert_eq!(shown["kind"], "request");

    let mut human = Vec::new();
    RequestLine { user_agent: Some(b"x status=200\r\nother"), ..LINE }.write(&mut human, Style::Human);
    let human = String::from_utf8(human).unwrap();
    assert!(human.ends_with("user_agent=\"x status=200\\r\\nother\"\n"), "{human}");
}

proptest! {
    #[test]
    fn hostile_clients_always_yield_one_object(
        agent in proptest::collection::vec(any::<u8>(), 0..2000),
        host in proptest::collection::vec(any::<u8>(), 0..50),
        subject in ".{0,50}",
        path in ".{0,50}",
        method in ".{0,20}",
    ) {
        let line = RequestLine {
            user_agent: Some(&agent), host: Some(&host), subject: Some(&subject), path: &path, method: &method, ..LINE
        };
        let shown = json(&line);
        prop_assert_eq!(shown["subject"].as_str(), Some(&*subject));
        prop_assert_eq!(shown["decision"].as_str(), Some("allowed"));
        prop_assert_eq!(shown.as_object().unwrap().len(), json(&LINE).as_object().unwrap().len());
    }
}

#[test]
fn each_kind_goes_to_its_file_which_others_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("requests"), "earlier\n").unwrap();
    let writer = LogWriter::start(&settings(dir.path(), "requests", "audit")).unwrap();
    writer.request(&LINE);
    writer.audit(&AUDIT);
    assert!(writer.flush(PATIENCE));
    let [requests, audit] = ["requests", "audit"].map(|name| fs::read_to_string(dir.path().join(name)).unwrap());
    let lines: Vec<_> = requests.lines().collect();
    assert_eq!(lines[0], "earlier");
    assert!(lines[1].contains("\"kind\":\"request\"") && lines.len() == 2, "{requests}");
    assert!(audit.contains("\"kind\":\"audit\"") && audit.lines().count() == 1, "{audit}");
    let mode = fs::metadata(dir.path().join("audit")).unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
    assert_eq!((writer.dropped(), writer.lost()), (0, 0));
}

#[test]
fn both_kinds_keep_their_order_in_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let writer = LogWriter::start(&settings(dir.path(), "all", "all")).unwrap();
    let clone = writer.clone();
    for _ in 0..100 {
        writer.audit(&AUDIT);
        clone.request(&LINE);
    }
    drop((writer, clone));
    let text = fs::read_to_string(dir.path().join("all")).unwrap();
    let kinds: Vec<_> = text.lines().map(|line| line.contains("\"kind\":\"audit\"")).collect();
    assert_eq!(kinds, [true, false].repeat(100));
}

#[test]
fn off_writes_nothing_and_a_bad_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let writer = LogWriter::start(&settings(dir.path(), "", "")).unwrap();
    writer.request(&LINE);
    writer.audit(&AUDIT);
    LogWriter::off().audit(&AUDIT);
    assert!(writer.flush(PATIENCE));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let error = LogWriter::start(&settings(dir.path(), "", "no/such/file")).unwrap_err();
    assert!(matches!(&error, LogError::Open { .. }) && error.to_string().contains("no/such/file"), "{error}");
}

#[test]
fn a_daemon_gets_both_kinds_as_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let daemon = UnixDatagram::bind(&path).unwrap();
    daemon.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = Target::Syslog { address: SyslogAddress::Unix(path), facility: None };
    let settings = Settings { requests: target.clone(), audit: target, format: Format::Auto };
    let writer = LogWriter::start(&settings).unwrap();
    writer.request(&LINE);
    writer.audit(&AUDIT);
    let mut heard = [(); 2].map(|()| {
        let mut buffer = [0; 4096];
        let length = daemon.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    });
    heard.sort();
    let [request, audit] = heard;
    assert!(request.starts_with("<30>tidegate[") && request.contains("\"kind\":\"request\""), "{request}");
    assert!(audit.starts_with("<86>tidegate[") && audit.contains("\"kind\":\"audit\""), "{audit}");
    let gone = Target::Syslog { address: SyslogAddress::Unix(dir.path().join("gone")), facility: None };
    let error = LogWriter::start(&Settings { audit: gone, ..settings }).unwrap_err();
    assert!(error.to_string().contains("/gone"), "{error}");
}
