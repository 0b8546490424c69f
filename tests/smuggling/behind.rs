//! Requests behind others on one connection, and requests within bodies.

use crate::run::Recording;
use crate::support::wire::End;

/// A request of alice's that nobody is to carry out.
const WITHIN: &str = "DELETE /v2/team/app/manifests/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn requests_in_one_packet_are_answered_in_their_order() {
    let recording = Recording::new();
    let mut client = recording.send(concat!(
        "{get}\r\n",
        "{patch}Content-Length: 5\r\n\r\nbytes",
        "GET /v2/nothing HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n\r\n",
        "HEAD {manifest} HTTP/1.1\r\nHost: {host}\r\n{alice}\r\n",
        "{get}\r\n",
    ));
    let statuses: Vec<u16> = (0..6).map(|_| client.reply().0.status()).collect();
    assert_eq!(statuses, [202, 202, 404, 202, 202, 202]);
    let (get, patch) = (crate::case::GET, crate::case::PATCH);
    let head = "HEAD {manifest} HTTP/1.1";
    recording.has_seen("pipelining", &[(get, ""), (patch, "bytes"), (patch, "bytes"), (head, ""), (get, "")]);
}

#[test]
fn each_request_of_a_connection_is_judged_by_what_it_says_itself() {
    let recording = Recording::new();
    let secret = "GET /v2/secret/app/manifests/v1 HTTP/1.1\r\nHost: {host}\r\n";
    let requests = ["{alice}", "{bob}", "", "{alice}", "Authorization: Bearer a.b.c\r\n", "", "{bob}"]
        .map(|credentials| format!("{secret}{credentials}\r\n"));
    let mut client = recording.send(&requests.concat());
    let statuses: Vec<u16> = requests.iter().map(|_| client.reply().0.status()).collect();
    assert_eq!(statuses, [202, 403, 401, 202, 401, 401, 403]);
    let line = "GET /v2/secret/app/manifests/v1 HTTP/1.1";
    recording.has_seen("one connection, several callers", &[(line, ""), (line, "")]);
}

#[test]
fn a_request_within_a_body_stays_within_it() {
    let recording = Recording::new();
    for method in ["PATCH {upload}", "DELETE {manifest}"] {
        let line = format!("{method} HTTP/1.1");
        let begin = format!("{line}\r\nHost: {{host}}\r\n{{alice}}");
        let (length, size) = (WITHIN.len(), format!("{:x}", WITHIN.len()));
        for framed in [
            format!("Content-Length: {length}\r\n\r\n{WITHIN}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{size}\r\n{WITHIN}\r\n0\r\n\r\n"),
            format!("Transfer-Encoding: chunked\r\n\r\n1\r\nD\r\n{:x}\r\n{}\r\n0\r\n\r\n", length - 1, &WITHIN[1..]),
        ] {
            let mut client = recording.send(&format!("{begin}{framed}{{get}}\r\n"));
            assert_eq!([client.reply().0.status(), client.reply().0.status()], [202, 202], "{line} {framed:?}");
            recording.has_seen(&framed, &[(&line, WITHIN), (crate::case::GET, "")]);
        }
    }
}

#[test]
fn a_body_of_no_meaning_stays_here_and_ends_the_connection() {
    let recording = Recording::new();
    let length = WITHIN.len();
    for (method, status) in [("GET", 202), ("HEAD", 202)] {
        let line = format!("{method} {{manifest}} HTTP/1.1");
        for framed in [
            format!("Content-Length: {length}\r\n\r\n{WITHIN}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{WITHIN}\r\n0\r\n\r\n"),
        ] {
            let mut client = recording.send(&format!("{line}\r\nHost: {{host}}\r\n{{alice}}{framed}{{get}}\r\n"));
            let (head, _) = client.reply();
            assert_eq!((head.status(), head.get("connection")), (status, Some("close")), "{line} {framed:?}");
            assert_eq!(client.read_to_end(), (Vec::new(), End::Closed), "{line} {framed:?}");
            recording.has_seen(&framed, &[(&line, "")]);
        }
    }
}

#[test]
fn the_body_of_a_refused_request_is_not_read_as_a_request() {
    let recording = Recording::new();
    let behind = "DELETE /v2/team/app/manifests/smuggled HTTP/1.1\r\nHost: {host}\r\n{alice}\r\n";
    let length = recording.fill(behind).len();
    for (begin, status) in [
        ("PATCH {upload} HTTP/1.1\r\nHost: {host}\r\n", 401),
        ("PATCH {upload} HTTP/1.1\r\nHost: {host}\r\n{bob}", 403),
        ("PATCH {upload} HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n", 401),
        ("GET /v2/secret/app/manifests/v1 HTTP/1.1\r\nHost: {host}\r\n", 401),
        ("POST /v2/nothing HTTP/1.1\r\nHost: {host}\r\n{alice}", 404),
        ("PUT /elsewhere HTTP/1.1\r\nHost: {host}\r\n{alice}", 404),
        ("PUT /v2/../x HTTP/1.1\r\nHost: {host}\r\n{alice}", 400),
        ("POST /v2/ HTTP/1.1\r\nHost: {host}\r\n{alice}", 405),
        ("GET /v2/ HTTP/1.1\r\nHost: {host}\r\n", 401),
        ("GET /v2/ HTTP/1.1\r\nHost: {host}\r\n{alice}", 200),
        ("GET /.well-known/jwks.json HTTP/1.1\r\nHost: {host}\r\n", 200),
        ("GET /token HTTP/1.1\r\nHost: {host}\r\n", 200),
        ("POST /token HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n", 400),
        ("TRACE {manifest} HTTP/1.1\r\nHost: {host}\r\n", 405),
    ] {
        for framing in [
            format!("Content-Length: {length}\r\n\r\n{behind}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{behind}\r\n0\r\n\r\n"),
            // More than is sent: whatever comes belongs to the body.
            format!("Content-Length: {}\r\n\r\n{behind}", length + 1),
        ] {
            let mut client = recording.send(&format!("{begin}{framing}"));
            let (head, _) = client.reply();
            assert_eq!((head.status(), head.get("connection")), (status, Some("close")), "{begin:?} {framing:?}");
            assert_eq!(client.read_to_end(), (Vec::new(), End::Closed), "{begin:?} {framing:?}");
        }
    }
    recording.has_seen("refused with a body", &[]);
}

#[test]
fn a_form_ends_where_it_says() {
    let recording = Recording::new();
    let form = "grant_type=password&username=bob&password=bob-secret&service={host}&scope=repository:team/app:pull";
    let length = recording.fill(form).len();
    let begin = "POST /token HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    for framed in [
        format!("{begin}Content-Length: {length}\r\n\r\n{form}"),
        format!("{begin}Transfer-Encoding: chunked\r\n\r\n{length:x};a=b\r\n{form}\r\n0\r\nHost: x\r\n\r\n"),
    ] {
        let mut client = recording.send(&format!("{framed}{{get}}\r\n"));
        assert_eq!([client.reply().0.status(), client.reply().0.status()], [200, 202], "{framed:?}");
        recording.has_seen("a form", &[(crate::case::GET, "")]);
    }
}
