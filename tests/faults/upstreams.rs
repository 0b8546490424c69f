//! An upstream that does all that an upstream can do wrong, to many clients at once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::scaled;
use crate::support::process::descriptors;
use crate::support::site::{ALICE, SETUP, Setup, Site};
use crate::support::upstream::Then;
use crate::support::wire::{End, Head, LIMIT, Wire, basic};
use crate::support::{pause, until};

/// Time-outs that a test can wait for, and a pool that is empty soon.
const HASTY: Setup = Setup {
    upstream: "credentials = \"identity\"\nresponse_timeout = \"1s\"\npool_idle_timeout = \"1s\"",
    server: "workers = 2\nbody_idle_timeout = \"2s\"",
    ..SETUP
};

/// What the upstream does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// Nothing is wrong.
    None,
    /// The answer drips.
    Slow,
    /// The connection is reset within the body.
    Reset,
    /// The same within a chunk.
    ResetChunk,
    /// Fewer bytes come than were promised.
    Short,
    /// More bytes come than were promised, and they look like an answer.
    Long,
    /// It sends elsewhere, and from there back.
    Circle,
    /// No answer comes.
    Silent,
    /// What comes is no HTTP.
    Garbage,
    /// The connection ends without an answer.
    Hangup,
    /// The body stands still.
    Stall,
}

const FAULTS: [Fault; 11] = [
    Fault::None,
    Fault::Slow,
    Fault::Reset,
    Fault::ResetChunk,
    Fault::Short,
    Fault::Long,
    Fault::Circle,
    Fault::Silent,
    Fault::Garbage,
    Fault::Hangup,
    Fault::Stall,
];

/// The path of what fails in this way; `number` makes it nobody else's.
fn target(fault: Fault, number: usize) -> String {
    format!("/v2/team/app/manifests/{fault:?}-{number}")
}

/// The fault and the number in a path.
fn asked(target: &str) -> (Fault, &str) {
    let (name, number) = target.rsplit_once('/').unwrap().1.split_once('-').unwrap();
    let fault = FAULTS.into_iter().find(|fault| format!("{fault:?}") == name).unwrap();
    (fault, number)
}

fn answer(head: &Head, wire: &mut Wire) -> Then {
    wire.body(head);
    let (fault, number) = asked(head.target());
    // Whoever is given up by the gateway meets a closed connection here.
    let done = match fault {
        Fault::None => wire.try_send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{number}", number.len())),
        Fault::Slow => {
            let _ = wire.try_send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", number.len()));
            number.bytes().try_for_each(|byte| {
                pause(Duration::from_millis(100));
                wire.try_send([byte])
            })
        }
        Fault::Reset => {
            let _ = wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
            wire.reset();
            return Then::Close;
        }
        Fault::ResetChunk => {
            let _ = wire.try_send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nhalf");
            wire.reset();
            return Then::Close;
        }
        Fault::Short => {
            let _ = wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
            return Then::Close;
        }
        Fault::Long => wire.try_send(
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfourHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        ),
        Fault::Circle => {
            let location = format!("http://{}{}", head.get("host").unwrap(), head.target());
            wire.try_send(format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
            ))
        }
        Fault::Silent => {
            wire.read_to_end();
            return Then::Close;
        }
        Fault::Garbage => {
            let _ = wire.try_send("SSH-2.0-OpenSSH_9.2\r\n");
            return Then::Close;
        }
        Fault::Hangup => return Then::Close,
        Fault::Stall => {
            let _ = wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
            wire.read_to_end();
            return Then::Close;
        }
    };
    if done.is_ok() { Then::Keep } else { Then::Close }
}

/// A client that keeps its connection as long as it can.
struct Client<'a> {
    site: &'a Site,
    wire: Option<Wire>,
}

impl Client<'_> {
    /// Asks for what fails in this way, and sees that it is told so.
    fn ask(&mut self, fault: Fault, number: usize) {
        let host = self.site.gateway.host();
        let target = target(fault, number);
        let mut wire = self.wire.take().unwrap_or_else(|| self.site.connect());
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\n\r\n", basic(ALICE)));
        let head = wire.head();
        let number = number.to_string();
        match fault {
            Fault::None | Fault::Slow | Fault::Long => {
                let body = wire.body(&head);
                let expected = if fault == Fault::Long { "four" } else { &number };
                assert_eq!((head.status(), body.text().as_str(), body.whole), (200, expected, true), "{fault:?}");
            }
            Fault::Reset | Fault::ResetChunk | Fault::Short | Fault::Stall => {
                // What came of it may come, and its end must not.
                assert_eq!(head.status(), 200, "{fault:?}");
                let (body, end) = wire.read_to_end();
                assert!(!String::from_utf8_lossy(&body).ends_with("0\r\n\r\n"), "{fault:?} looks whole");
                assert!(body.len() < 100, "{fault:?}: {body:?}");
                assert!(end == End::Reset || head.get("content-length") == Some("100"), "{fault:?}: {end:?}");
                return;
            }
            Fault::Circle => {
                wire.body(&head);
                assert_eq!((head.status(), head.get("location")), (307, Some(target.as_str())));
            }
            Fault::Silent => assert_eq!((head.status(), wire.body(&head).whole), (504, true)),
            Fault::Garbage | Fault::Hangup => {
                assert_eq!((head.status(), wire.body(&head).whole), (502, true), "{fault:?}");
            }
        }
        let closes = head.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.wire = (!closes).then_some(wire);
    }
}

#[test]
fn each_fault_is_told_to_who_meets_it_and_to_nobody_else() {
    let site = Site::with(&HASTY, answer);
    let before = descriptors(site.gateway.id());
    let (clients, rounds) = (8, scaled(2, 40));
    std::thread::scope(|scope| {
        for client in 0..clients {
            let site = &site;
            scope.spawn(move || {
                let mut asking = Client { site, wire: None };
                for round in 0..rounds {
                    // Each begins elsewhere, so that different faults meet.
                    for step in 0..FAULTS.len() {
                        let number = (client * rounds + round) * 100 + step;
                        asking.ask(FAULTS[(client + step) % FAULTS.len()], number);
                        asking.ask(Fault::None, number + 50);
                    }
                }
            });
        }
    });
    // Only what no answer came to over a kept connection is sent once more, and no redirect is followed.
    let mut times = BTreeMap::new();
    for head in site.upstream.heads() {
        *times.entry(head.target().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(times.len(), clients * rounds * FAULTS.len() * 2);
    for (target, times) in times {
        let (fault, _) = asked(&target);
        let most = if matches!(fault, Fault::Garbage | Fault::Hangup) { 2 } else { 1 };
        assert!(times <= most, "{target} came {times} times");
    }
    until("all descriptors are closed again", LIMIT, || (descriptors(site.gateway.id()) <= before).then_some(()));
}

#[test]
fn a_client_that_follows_a_circle_ends_it_itself() {
    let site = Site::with(&HASTY, answer);
    let mut client = Client { site: &site, wire: None };
    for _ in 0..20 {
        client.ask(Fault::Circle, 1);
    }
    assert_eq!(site.upstream.heads().len(), 20, "one request upstream for each of the client's");
}

#[test]
fn an_upstream_that_breaks_off_within_uploads_leaves_nothing_behind() {
    let site = Site::with(&HASTY, |head, wire| {
        // A part of the body, and then the end of it.
        wire.up_to(1000);
        if head.target().ends_with("reset") {
            wire.reset();
        }
        Then::Close
    });
    let before = descriptors(site.gateway.id());
    for end in ["closed", "reset"] {
        for _ in 0..scaled(5, 200) {
            let mut client = site.connect();
            let target = format!("/v2/team/app/blobs/uploads/{end}");
            client.send(format!("{}Content-Length: 10000000\r\n\r\n", site.begin("PATCH", &target)));
            // It is told while it still sends.
            let mut writer = client.writer();
            let sending = std::thread::spawn(move || {
                use std::io::Write as _;
                let chunk = vec![0; 64 * 1024];
                (0..150).all(|_| writer.write_all(&chunk).is_ok())
            });
            assert_eq!(client.head().status(), 502, "{end}");
            drop(client);
            sending.join().unwrap();
        }
    }
    assert_eq!(site.upstream.heads().len(), 2 * scaled(5, 200), "what writes is never sent twice");
    until("all descriptors are closed again", LIMIT, || (descriptors(site.gateway.id()) <= before).then_some(()));
}
