//! HTTP/2 at the door of HTTP/1.1: pseudo-headers, names and values that mean something else behind it, lengths, and frames out of turn.

use Fate::{Answered, Ended, Reset};

use crate::case::{GET, PATCH};
use crate::h2::{Client, END_HEADERS, END_STREAM, Fate, PADDED, field, frame, kind};
use crate::run::Recording;

/// What a case sends on its stream.
enum Sends {
    /// `GET` of a manifest as alice, with these fields behind.
    Get(&'static [(&'static str, &'static str)]),
    /// `PATCH` of an upload as alice, with these fields behind, and this body.
    Patch(&'static [(&'static str, &'static str)], &'static str),
    /// The same without one of its pseudo-headers, or with another value of one, or with one more before the other fields.
    Without(&'static str),
    Instead(&'static str, &'static str),
    Besides(&'static str, &'static str),
    /// These fields alone; alice's credentials are behind them.
    Head(&'static [(&'static str, &'static str)]),
    /// `PATCH` with five bytes, and these fields as trailers.
    Trailers(&'static [(&'static str, &'static str)]),
}

/// What must become of it.
enum Then {
    /// It goes upstream as one request: request line and body.
    Passes(&'static str, &'static str),
    /// The stream or the connection ends, or this is the answer; nothing goes upstream.
    Refused(u16),
    /// The same, but of a request whose body turns out to be wrong the head may be upstream by then.
    Breaks,
    /// What is wrong stands behind the body's end and goes nowhere: whatever the client hears, nothing but this request goes upstream.
    Harmless(&'static str, &'static str),
}

use Sends::{Besides, Get, Head, Instead, Patch, Trailers, Without};
use Then::{Breaks, Harmless, Passes, Refused};

const CASES: &[(&str, Sends, Then)] = &[
    ("a plain request", Get(&[]), Passes(GET, "")),
    ("a plain request with a body", Patch(&[], "bytes"), Passes(PATCH, "bytes")),
    // Pseudo-headers.
    ("no method", Without(":method"), Refused(400)),
    ("no scheme", Without(":scheme"), Refused(400)),
    ("no path", Without(":path"), Refused(400)),
    ("no authority", Without(":authority"), Refused(400)),
    (
        "a host for an authority",
        Head(&[(":method", "GET"), (":scheme", "http"), (":path", "{manifest}"), ("host", "{host}")]),
        Passes(GET, ""),
    ),
    ("a host that agrees with the authority", Get(&[("host", "{host}")]), Passes(GET, "")),
    ("a host that differs from the authority", Get(&[("host", "evil.example")]), Refused(400)),
    ("two hosts", Get(&[("host", "{host}"), ("host", "{host}")]), Refused(400)),
    ("two methods", Besides(":method", "DELETE"), Refused(400)),
    ("two paths", Besides(":path", "/v2/secret/app/manifests/v1"), Refused(400)),
    ("two authorities", Besides(":authority", "evil.example"), Refused(400)),
    ("a path behind other fields", Head(&[PSEUDO[0], PSEUDO[1], PSEUDO[2], ("x-a", "b"), PSEUDO[3]]), Refused(400)),
    ("a second path behind other fields", Get(&[("x-a", "b"), (":path", "/v2/secret/app/manifests/v1")]), Refused(400)),
    ("a pseudo-header that nobody knows", Get(&[(":evil", "1")]), Refused(400)),
    ("the pseudo-header of answers", Get(&[(":status", "200")]), Refused(400)),
    (
        "the protocol of an extended CONNECT",
        Head(&[(":method", "CONNECT"), (":protocol", "websocket"), PSEUDO[1], PSEUDO[2], PSEUDO[3]]),
        Refused(405),
    ),
    ("a tunnel", Head(&[(":method", "CONNECT"), (":authority", "127.0.0.1:22")]), Refused(405)),
    ("an empty path", Instead(":path", ""), Refused(400)),
    ("a path without its slash", Instead(":path", "v2/team/app/manifests/v1"), Refused(400)),
    (
        "a star for a path",
        Head(&[(":method", "OPTIONS"), (":scheme", "http"), (":authority", "{host}"), (":path", "*")]),
        Refused(400),
    ),
    ("a target for a path", Instead(":path", "http://evil.example{manifest}"), Refused(400)),
    ("a path that goes up", Instead(":path", "/v2/team/../secret/app/manifests/v1"), Refused(400)),
    ("a path with a version and a header", Instead(":path", "{manifest} HTTP/1.1\r\nX-Evil: 1\r\n\r\n"), Refused(400)),
    ("a path with a blank", Instead(":path", "{manifest} x"), Refused(400)),
    ("a path with a NUL", Instead(":path", "{manifest}\0"), Refused(400)),
    ("a path with a fragment", Instead(":path", "{manifest}#/v2/secret"), Passes(GET, "")),
    (
        "a method with a request line",
        Instead(":method", "GET /v2/secret/app/manifests/v1 HTTP/1.1\r\nX: "),
        Refused(400),
    ),
    ("a method in small letters", Instead(":method", "get"), Refused(405)),
    ("a scheme with a target", Instead(":scheme", "http://evil.example/?"), Refused(400)),
    ("an authority with a user", Instead(":authority", "user@{host}"), Refused(400)),
    ("an authority with a path", Instead(":authority", "{host}/v2/secret"), Refused(400)),
    ("an authority with a header", Instead(":authority", "{host}\r\nX-Evil: 1"), Refused(400)),
    ("an empty authority", Instead(":authority", ""), Refused(400)),
    // Names and values.
    ("a name with a capital", Get(&[("X-Upper", "1")]), Refused(400)),
    ("a name with a blank", Get(&[("x blank", "1")]), Refused(400)),
    ("a name with a colon", Get(&[("x-a: b\r\nx-b", "1")]), Refused(400)),
    ("a name with a line feed", Get(&[("x-a\nx-b", "1")]), Refused(400)),
    ("an empty name", Get(&[("", "1")]), Refused(400)),
    ("a name with bytes over 127", Get(&[("x-\u{e9}", "1")]), Refused(400)),
    ("a value with a header", Get(&[("x-a", "b\r\nX-Authentication-Service: e30=")]), Refused(400)),
    (
        "a value with a request",
        Get(&[("x-a", "b\r\n\r\nDELETE /v2/team/app/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n")]),
        Refused(400),
    ),
    ("a value with a line feed", Get(&[("x-a", "b\nx-b: c")]), Refused(400)),
    ("a value with a carriage return", Get(&[("x-a", "b\rc")]), Refused(400)),
    ("a value with a NUL", Get(&[("x-a", "b\0c")]), Refused(400)),
    ("what belongs to a connection", Get(&[("connection", "close")]), Refused(400)),
    ("a nomination", Get(&[("connection", "x-authentication-service")]), Refused(400)),
    ("what belongs to a connection of old", Get(&[("keep-alive", "timeout=1")]), Refused(400)),
    ("what belongs to a connection of proxies", Get(&[("proxy-connection", "close")]), Refused(400)),
    ("an upgrade", Get(&[("upgrade", "h2c")]), Refused(400)),
    ("a coding of the transfer", Patch(&[("transfer-encoding", "chunked")], "0\r\n\r\n"), Refused(400)),
    (
        "a coding of the transfer beside a length",
        Patch(&[("transfer-encoding", "chunked"), ("content-length", "5")], "bytes"),
        Refused(400),
    ),
    ("trailers that are accepted", Get(&[("te", "trailers")]), Passes(GET, "")),
    ("codings that are accepted", Get(&[("te", "gzip")]), Refused(400)),
    (
        "an identity",
        Get(&[("x-authentication-service", "e30="), ("x_authentication_service", "e30="), ("remote-user", "root")]),
        Passes(GET, ""),
    ),
    (
        "a length and a coding with underscores",
        Patch(&[("content_length", "0"), ("transfer_encoding", "chunked")], "bytes"),
        Passes(PATCH, "bytes"),
    ),
    ("credentials twice", Get(&[("authorization", "Basic eDp5")]), Refused(401)),
    ("another expectation", Get(&[("expect", "200-ok")]), Refused(400)),
    // Lengths.
    ("a length that fits", Patch(&[("content-length", "5")], "bytes"), Passes(PATCH, "bytes")),
    ("a length that is too long", Patch(&[("content-length", "500")], "bytes"), Breaks),
    ("a length that is too short", Patch(&[("content-length", "3")], "bytes"), Breaks),
    ("a length of nothing", Patch(&[("content-length", "0")], "bytes"), Breaks),
    ("a length where nothing comes", Patch(&[("content-length", "5")], ""), Breaks),
    ("two lengths that differ", Patch(&[("content-length", "5"), ("content-length", "6")], "bytes"), Breaks),
    ("a list of lengths", Patch(&[("content-length", "5, 5")], "bytes"), Breaks),
    ("a negative length", Patch(&[("content-length", "-5")], "bytes"), Breaks),
    ("a length with a plus sign", Patch(&[("content-length", "+5")], "bytes"), Breaks),
    ("a length that is no number", Patch(&[("content-length", "five")], "bytes"), Breaks),
    ("a length that is 5 when 64 bits wrap", Patch(&[("content-length", "18446744073709551621")], "bytes"), Breaks),
    (
        "a request within a body",
        Patch(&[], "DELETE /v2/team/app/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n"),
        Passes(PATCH, "DELETE /v2/team/app/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ),
    (
        "chunks within a body",
        Patch(&[], "0\r\n\r\nDELETE / HTTP/1.1\r\n\r\n"),
        Passes(PATCH, "0\r\n\r\nDELETE / HTTP/1.1\r\n\r\n"),
    ),
    // Trailers.
    (
        "trailers, which go no further",
        Trailers(&[("x-authentication-service", "e30="), ("content-length", "500"), ("host", "evil.example")]),
        Passes(PATCH, "bytes"),
    ),
    ("a path as a trailer", Trailers(&[(":path", "/v2/secret/app/manifests/v1")]), Harmless(PATCH, "bytes")),
    ("a trailer with a capital", Trailers(&[("X-Upper", "1")]), Harmless(PATCH, "bytes")),
    ("a trailer with a header", Trailers(&[("x-a", "b\r\nX-B: c")]), Harmless(PATCH, "bytes")),
];

/// Whether this request came, or the beginning of it.
fn is(head: &crate::support::wire::Head, sent: &crate::support::wire::Body, line: &str, body: &str) -> bool {
    head.start == line && if sent.whole { sent.text() == body } else { body.starts_with(&sent.text()) }
}

fn block(recording: &Recording, fields: &[(&str, &str)]) -> Vec<u8> {
    let bytes = |text| recording.fill(text);
    fields.iter().flat_map(|(name, value)| field(&bytes(name), &bytes(value))).collect()
}

/// The fields of a request line of alice's.
fn begin(recording: &Recording, method: &str, path: &str) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":authority", "{host}"), (":path", path)];
    [block(recording, &pseudo), alice(recording)].concat()
}

fn alice(recording: &Recording) -> Vec<u8> {
    let line = String::from_utf8(recording.fill("{alice}")).unwrap();
    field(b"authorization", line.trim().split_once(": ").unwrap().1.as_bytes())
}

/// The pseudo-headers of a manifest.
const PSEUDO: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "{host}"), (":path", "{manifest}")];

/// What stands before the other fields of a case that sends no body.
fn pseudo(sends: &Sends) -> Vec<(&'static str, &'static str)> {
    match *sends {
        Without(name) => PSEUDO.into_iter().filter(|(own, _)| *own != name).collect(),
        Instead(name, value) => PSEUDO.map(|(own, old)| (own, if own == name { value } else { old })).to_vec(),
        Besides(name, value) => PSEUDO.into_iter().chain([(name, value)]).collect(),
        Head(fields) => fields.to_vec(),
        _ => PSEUDO.to_vec(),
    }
}

fn frames(recording: &Recording, sends: &Sends) -> Vec<u8> {
    let (head, body, trailers) = match sends {
        Get(fields) => ([begin(recording, "GET", "{manifest}"), block(recording, fields)].concat(), None, None),
        Without(_) | Instead(..) | Besides(..) | Head(_) => {
            ([block(recording, &pseudo(sends)), alice(recording)].concat(), None, None)
        }
        Patch(fields, body) => {
            ([begin(recording, "PATCH", "{upload}"), block(recording, fields)].concat(), Some(*body), None)
        }
        Trailers(fields) => (begin(recording, "PATCH", "{upload}"), Some("bytes"), Some(block(recording, fields))),
    };
    let last = |is| if is { END_STREAM } else { 0 };
    let mut out = frame(kind::HEADERS, END_HEADERS | last(body.is_none()), 1, &head);
    if let Some(body) = body {
        out.extend(frame(kind::DATA, last(trailers.is_none()), 1, body.as_bytes()));
    }
    if let Some(trailers) = trailers {
        out.extend(frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &trailers));
    }
    out
}

#[test]
fn what_http_2_hands_on_is_read_in_one_way() {
    let recording = Recording::new();
    let mut failed = Vec::new();
    for (name, sends, then) in CASES {
        recording.next();
        let run = || {
            let mut client = Client::connect(recording.site.gateway.port);
            client.send(&frames(&recording, sends));
            let fate = client.fate(1);
            match then {
                Passes(line, body) => {
                    assert_eq!(fate, Answered(202), "{name}");
                    recording.has_seen(name, &[(line, body)]);
                }
                Refused(status) => {
                    assert!(fate == Answered(*status) || matches!(fate, Reset | Ended), "{name}: {fate:?}");
                    recording.has_seen(name, &[]);
                }
                Harmless(line, body) => {
                    let (line, seen) = (String::from_utf8(recording.fill(line)).unwrap(), recording.upstream());
                    let same = |(head, sent): &(_, _)| is(head, sent, &line, body);
                    assert!(seen.len() < 2 && seen.iter().all(same), "{name}: {seen:?}");
                }
                Breaks => {
                    let refused = matches!(fate, Answered(400..=499) | Reset | Ended);
                    assert!(refused, "{name}: {fate:?}");
                    let seen = recording.upstream();
                    assert!(seen.len() < 2 && seen.iter().all(|(_, body)| !body.whole), "{name}: {seen:?}");
                }
            }
        };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "the reasons stand above: {failed:?}");
}

/// What ends a connection, or is passed over; never a request.
#[test]
fn frames_out_of_turn_make_no_request() {
    let recording = Recording::new();
    let head = begin(&recording, "GET", "{manifest}");
    let whole = END_HEADERS | END_STREAM;
    let half = head.len() / 2;
    let headers = |flags, stream, block: &[u8]| frame(kind::HEADERS, flags, stream, block);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a head on the connection's own stream", headers(whole, 0, &head)),
        ("a head on a stream of the server's", headers(whole, 2, &head)),
        ("data before any head", frame(kind::DATA, END_STREAM, 1, b"bytes")),
        ("a continuation of nothing", frame(kind::CONTINUATION, END_HEADERS, 1, &head)),
        (
            "another frame within a head",
            [
                headers(END_STREAM, 1, &head[..half]),
                frame(kind::PING, 0, 0, &[0; 8]),
                frame(kind::CONTINUATION, END_HEADERS, 1, &head[half..]),
            ]
            .concat(),
        ),
        (
            "a head that another stream continues",
            [headers(END_STREAM, 1, &head[..half]), frame(kind::CONTINUATION, END_HEADERS, 3, &head[half..])].concat(),
        ),
        ("a promise of a client's", frame(kind::PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &head].concat())),
        ("a frame over the largest size", headers(whole, 1, &[&head[..], &field(b"x-a", &[b'a'; 20_000])].concat())),
        (
            "padding over the size of its frame",
            frame(kind::HEADERS, whole | PADDED, 1, &[&[255][..], &head[..20]].concat()),
        ),
        ("an entry that no table has", headers(whole, 1, &[&head[..], &[0xff, 0x80, 0x01]].concat())),
        ("an entry of number nought", headers(whole, 1, &[&head[..], &[0x80]].concat())),
        ("an entry whose number does not end", headers(whole, 1, &[&head[..], &[0xff; 12]].concat())),
        ("a string over the end of its block", headers(whole, 1, &[&head[..], &[0, 100, b'x']].concat())),
        ("a table over what was agreed", headers(whole, 1, &[&[0x3f, 0xe1, 0xff, 0x03][..], &head].concat())),
        ("a table that changes within a block", headers(whole, 1, &[&head[..], &[0x20]].concat())),
        ("a push that is neither on nor off", frame(kind::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])),
        ("a window over the largest", frame(kind::SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])),
        ("settings of a stream", frame(kind::SETTINGS, 0, 1, &[])),
        ("settings that end within one", frame(kind::SETTINGS, 0, 0, &[0, 4, 0])),
        ("a window that grows by nothing", frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a window that grows over the largest", frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("a ping of the wrong length", frame(kind::PING, 0, 0, &[0; 7])),
        ("a reset of a stream that never was", frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8])),
    ];
    for (name, bytes) in cases {
        let mut client = Client::connect(recording.site.gateway.port);
        client.send(&bytes);
        let fate = client.fate(1);
        assert!(matches!(fate, Ended | Reset), "{name}: {fate:?}");
        recording.has_seen(name, &[]);
    }
    // What is passed over is passed over whole.
    let behind = headers(whole, 1, &head);
    for (name, bytes) in [
        ("a frame of a kind that nobody knows", frame(0x42, 0xff, 0, b"DELETE / HTTP/1.1\r\n\r\n")),
        ("a priority", frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        ("a setting that nobody knows", frame(kind::SETTINGS, 0, 0, &[0x42, 0x42, 0, 0, 0, 1])),
    ] {
        let mut client = Client::connect(recording.site.gateway.port);
        client.send(&[bytes, behind.clone()].concat());
        assert_eq!(client.fate(1), Answered(202), "{name}");
        recording.has_seen(name, &[(GET, "")]);
    }
}

#[test]
fn streams_of_one_connection_are_judged_apart() {
    let recording = Recording::new();
    let mut client = Client::connect(recording.site.gateway.port);
    let nobody =
        [(":method", "GET"), (":scheme", "http"), (":authority", "{host}"), (":path", "/v2/secret/app/manifests/v1")];
    let whole = END_HEADERS | END_STREAM;
    client.send(
        &[
            frame(kind::HEADERS, whole, 1, &begin(&recording, "GET", "/v2/secret/app/manifests/v1")),
            frame(kind::HEADERS, whole, 3, &block(&recording, &nobody)),
        ]
        .concat(),
    );
    assert_eq!(client.fate(1), Answered(202));
    client.send(&frame(kind::HEADERS, whole, 5, &block(&recording, &nobody)));
    assert_eq!(client.fate(5), Answered(401));
    // A stream that is over does not begin again.
    client.send(&frame(kind::HEADERS, whole, 1, &begin(&recording, "GET", "{manifest}")));
    assert!(matches!(client.fate(1), Ended | Reset));
    recording.has_seen("streams", &[("GET /v2/secret/app/manifests/v1 HTTP/1.1", "")]);
}
