//! Sends cases and holds what became of them against what must.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::case::{Case, Outcome, SESSIONS, fill};
use crate::support::site::{SETUP, Site};
use crate::support::upstream::Then;
use crate::support::wire::{Body, End, Head, LIMIT, Wire};

/// What is smuggled behind each case with alice's right to it: read as a request, it would go through.
const SMUGGLED: &str = "DELETE /v2/team/app/manifests/smuggled HTTP/1.1\r\nHost: {host}\r\n{alice}\r\n";
/// The same without any credentials: it must be judged as what it is, whoever came before it.
const UNENTITLED: &str = "DELETE /v2/team/app/manifests/smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n";
const SMUGGLED_LINE: &str = "DELETE /v2/team/app/manifests/smuggled HTTP/1.1";

/// Headers that belong to one connection, or that only the gateway's own dealings with a client use.
const ENDED_HERE: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "authorization",
    "proxy-authorization",
];

/// A gateway in front of an upstream that records.
pub(crate) struct Recording {
    pub(crate) site: Site,
    received: Mutex<Receiver<(Head, Body)>>,
    /// The number of the case at hand.
    number: AtomicUsize,
}

impl Recording {
    pub(crate) fn new() -> Self {
        let (sent, received) = channel();
        let site = Site::with(&SETUP, move |head, wire| {
            let body = wire.body(head);
            let whole = body.whole;
            sent.send((head.clone(), body)).unwrap();
            let answer = wire.try_send("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n");
            if whole && answer.is_ok() { Then::Keep } else { Then::Close }
        });
        Self { site, received: Mutex::new(received), number: AtomicUsize::new(0) }
    }

    /// Goes on to the next case.
    pub(crate) fn next(&self) {
        self.number.fetch_add(1, Ordering::Relaxed);
    }

    /// The bytes that a text stands for, in the case at hand.
    pub(crate) fn fill(&self, text: &str) -> Vec<u8> {
        fill(text, &self.site.gateway, self.number.load(Ordering::Relaxed))
    }

    /// Sends this text, filled in, over a connection of its own.
    pub(crate) fn send(&self, text: &str) -> Wire {
        let mut client = self.site.connect();
        // An answer may come, and the connection end, before all has been sent.
        let _ = client.try_send(self.fill(text));
        client
    }

    /// All that has come upstream since the last call, in order. What broke off in cases before may still come, and is left out.
    pub(crate) fn upstream(&self) -> Vec<(Head, Body)> {
        let mut fence = self.send("GET /v2/team/app/manifests/fence HTTP/1.1\r\nHost: {host}\r\n{alice}\r\n");
        assert_eq!(fence.head().status(), 202, "the fence");
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        loop {
            let (head, body) = received.recv_timeout(LIMIT).unwrap();
            if head.target().ends_with("/fence") {
                break;
            }
            all.push((head, body));
        }
        for (head, _) in &all {
            is_well_formed(head);
            is_authorized(head);
        }
        let own = self.number.load(Ordering::Relaxed).to_string();
        all.retain(|(head, body)| {
            let late = head.target().strip_prefix(SESSIONS).is_some_and(|number| number != own);
            assert!(!late || !body.whole, "late and whole: {head:?} {body:?}");
            !late
        });
        all
    }

    /// Requires that exactly these requests have come upstream: request lines and bodies.
    pub(crate) fn has_seen(&self, name: &str, expected: &[(&str, &str)]) {
        let fill = |text: &str| String::from_utf8(self.fill(text)).unwrap();
        let seen: Vec<_> = self.upstream();
        assert!(seen.iter().all(|(_, body)| body.whole && body.trailers.is_empty()), "{name}: {seen:?}");
        let seen: Vec<_> = seen.into_iter().map(|(head, body)| (head.start, body.text())).collect();
        let expected: Vec<_> = expected.iter().map(|(line, body)| (fill(line), fill(body))).collect();
        assert_eq!(seen, expected, "{name}: what came upstream is on the left");
    }
}

/// Runs each case of a table, and says of all that fail why.
pub(crate) fn run(cases: &[Case]) {
    let recording = Recording::new();
    let fails = |case: &&Case| catch_unwind(AssertUnwindSafe(|| run_one(&recording, case))).is_err();
    let failed: Vec<&str> = cases.iter().filter(fails).map(|case| case.name).collect();
    assert!(failed.is_empty(), "the reasons stand above: {failed:?}");
}

fn run_one(recording: &Recording, case: &Case) {
    let Case { name, sends, outcome } = *case;
    recording.next();
    match outcome {
        Outcome::Ends(status) | Outcome::EndsOrHangsUp(status) => {
            let mut client = recording.send(&[sends, SMUGGLED].concat());
            match client.try_head() {
                Some(head) => ends_with(name, client, &head, status),
                None => assert!(matches!(outcome, Outcome::EndsOrHangsUp(_)), "{name}: no answer"),
            }
            recording.has_seen(name, &[]);
        }
        Outcome::Refused(status) => followed_by_both(recording, name, sends, status, &[]),
        Outcome::Passes(line, body) => followed_by_both(recording, name, sends, 202, &[(line, body)]),
        Outcome::PassesAndEnds(line, body) => {
            let mut client = recording.send(&[sends, SMUGGLED].concat());
            let head = client.head();
            ends_with(name, client, &head, 202);
            recording.has_seen(name, &[(line, body)]);
        }
        Outcome::Breaks => {
            let mut client = recording.send(&[sends, SMUGGLED].concat());
            client.finish();
            let answers = String::from_utf8_lossy(&client.read_to_end().0).into_owned();
            assert!(!answers.contains("HTTP/1.1 2"), "{name}: {answers}");
            assert!(answers.matches("HTTP/1.1 ").count() < 2, "{name}: {answers}");
            let seen = recording.upstream();
            assert!(seen.len() < 2, "{name}: {seen:?}");
            for (head, body) in seen {
                assert!(head.method() == "PATCH" && !body.whole, "{name}: {head:?} {body:?}");
            }
        }
    }
}

/// One answer of this status that says it is the last, and nothing behind it.
#[track_caller]
fn ends_with(name: &str, mut client: Wire, head: &Head, status: u16) {
    assert_eq!((head.status(), head.get("connection")), (status, Some("close")), "{name}: {head:?}");
    client.body(head);
    assert_eq!(client.read_to_end(), (Vec::new(), End::Closed), "{name}: one answer and no more");
}

/// Sends a case twice: with a request behind it that may go through, and with one that may not. Each is judged by itself.
fn followed_by_both(
    recording: &Recording,
    name: &str,
    sends: &str,
    status: u16,
    seen: &[(&'static str, &'static str)],
) {
    for (behind, second) in [(SMUGGLED, 202), (UNENTITLED, 401)] {
        let mut client = recording.send(&[sends, behind].concat());
        for (which, status) in [("itself", status), ("the request behind it", second)] {
            let mut head = client.head();
            if head.status() == 100 {
                head = client.head();
            }
            assert_eq!(head.status(), status, "{name}: {which}: {head:?}");
            client.body(&head);
        }
        let smuggled = [(SMUGGLED_LINE, "")];
        let behind: &[_] = if second == 202 { &smuggled } else { &[] };
        recording.has_seen(name, &[seen, behind].concat());
    }
}

/// Requires of a request upstream what RFC 9112 requires of one, and that nobody could read it in another way.
#[track_caller]
fn is_well_formed(head: &Head) {
    let words: Vec<&str> = head.start.split(' ').collect();
    let [_, target, "HTTP/1.1"] = words[..] else { panic!("no request line: {head:?}") };
    let plain = target.starts_with("/v2/") && target.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(plain && !target.contains("..") && !target.contains('#') && !target.contains("//"), "{head:?}");
    for (name, value) in &head.headers {
        let token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        assert!(token && !name.is_empty(), "{name:?}: {head:?}");
        assert!(!value.chars().any(|char| char.is_control() && char != '\t'), "{name:?}: {head:?}");
    }
    for name in ENDED_HERE {
        assert!(!head.has_like(name), "{name}: {head:?}");
    }
    assert_eq!(head.all("host").len(), 1, "{head:?}");
    let (lengths, codings) = (head.all("content-length"), head.all("transfer-encoding"));
    assert!(lengths.len() + codings.len() < 2, "{head:?}");
    assert!(lengths.iter().all(|length| length.bytes().all(|byte| byte.is_ascii_digit())), "{head:?}");
    assert!(codings.iter().all(|coding| *coding == "chunked"), "{head:?}");
}

/// Requires that the upstream is told of alice, once, by the gateway: she alone may do what the corpus asks for.
#[track_caller]
fn is_authorized(head: &Head) {
    let names: Vec<&(String, String)> =
        head.headers.iter().filter(|(name, _)| name.to_ascii_lowercase().contains("authentication")).collect();
    let [(name, value)] = names[..] else { panic!("not one identity header: {head:?}") };
    assert_eq!(name.to_ascii_lowercase(), "x-authentication-service");
    let told = String::from_utf8(STANDARD.decode(value).unwrap()).unwrap();
    assert_eq!(told, r#"{"identity":{"user":{"username":"alice"}}}"#);
}
