//! Versions of HTTP, and what is no HTTP.

use crate::case::Outcome::{Ends, EndsOrHangsUp, Passes, Refused};
use crate::case::{Case, GET};

/// The cases about versions.
pub(crate) const CASES: &[Case] = &[
    Case::new("HTTP/0.9", "GET {manifest}\r\n", EndsOrHangsUp(400)),
    Case::new("HTTP/0.9 in its own name", "GET {manifest} HTTP/0.9\r\n{rest}", Ends(400)),
    Case::new("HTTP/1.2", "GET {manifest} HTTP/1.2\r\n{rest}", Ends(400)),
    Case::new("HTTP/1.10", "GET {manifest} HTTP/1.10\r\n{rest}", Ends(400)),
    Case::new("HTTP/1.1x", "GET {manifest} HTTP/1.1x\r\n{rest}", Ends(400)),
    Case::new("HTTP/1", "GET {manifest} HTTP/1\r\n{rest}", Ends(400)),
    Case::new("HTTP/2.0 within HTTP/1.1", "GET {manifest} HTTP/2.0\r\n{rest}", Ends(400)),
    Case::new("HTTP/3.0", "GET {manifest} HTTP/3.0\r\n{rest}", Ends(400)),
    Case::new("HTTP in small letters", "GET {manifest} http/1.1\r\n{rest}", Ends(400)),
    Case::new("another protocol", "GET {manifest} RTSP/1.1\r\n{rest}", Ends(400)),
    Case::new("a blank behind the version", "GET {manifest} HTTP/1.1 \r\n{rest}", Ends(400)),
    Case::new("two versions", "GET {manifest} HTTP/1.1 HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("how an upgrade to HTTP/2 begins, as a request", "PRI * HTTP/1.1\r\n{rest}", Refused(400)),
    Case::new("how TLS begins", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n", EndsOrHangsUp(400)),
    Case::new(
        "HTTP/1.0 that is kept",
        "GET {manifest} HTTP/1.0\r\nHost: {host}\r\n{alice}Connection: keep-alive\r\n\r\n",
        Passes(GET, ""),
    ),
];

#[test]
fn versions_are_1_0_and_1_1() {
    crate::run::run(CASES);
}
