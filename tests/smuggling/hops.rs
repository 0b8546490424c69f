//! What `Connection` and its like may not do: take away what was judged, bring back what was taken away, or change the protocol.

use crate::case::Outcome::{Ends, Passes, PassesAndEnds, Refused};
use crate::case::{Case, GET, PATCH};

/// The cases about what belongs to one connection.
pub(crate) const CASES: &[Case] = &[
    Case::new(
        "a nominated length",
        "{patch}Connection: Content-Length\r\nContent-Length: 5\r\n\r\nbytes",
        Passes(PATCH, "bytes"),
    ),
    Case::new(
        "a nominated coding",
        "{patch}Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n\r\n",
        Passes(PATCH, "bytes"),
    ),
    Case::new("a nominated host", "{get}Connection: Host\r\n\r\n", Passes(GET, "")),
    Case::new("nominated credentials", "{get}Connection: Authorization\r\n\r\n", Passes(GET, "")),
    Case::new(
        "nominated credentials of somebody else",
        "GET /v2/secret/app/manifests/v1 HTTP/1.1\r\nHost: {host}\r\n{bob}Connection: Authorization\r\n\r\n",
        Refused(403),
    ),
    Case::new("a nominated identity", "{get}Connection: X-Authentication-Service\r\n\r\n", Passes(GET, "")),
    Case::new(
        "a nominated identity that is brought along",
        "{get}X-Authentication-Service: e30=\r\nConnection: X-Authentication-Service\r\n\r\n",
        Passes(GET, ""),
    ),
    Case::new(
        "an identity with underscores that is nominated with hyphens",
        "{get}X_Authentication_Service: e30=\r\nConnection: X-Authentication-Service, x_authentication_service\r\n\r\n",
        Passes(GET, ""),
    ),
    Case::new("a nomination of everything", "{get}Connection: *\r\n\r\n", Passes(GET, "")),
    Case::new("a nomination of nothing", "{get}Connection: ,, ,\r\n\r\n", Passes(GET, "")),
    Case::new("a nomination of what is no name", "{get}Connection: a b, \"c\", d:e\r\n\r\n", Passes(GET, "")),
    Case::new("a nomination with a NUL", "{get}Connection: close\0\r\n\r\n", Ends(400)),
    Case::new(
        "a connection that is to be closed",
        "{patch}Connection: close\r\nContent-Length: 5\r\n\r\nbytes",
        PassesAndEnds(PATCH, "bytes"),
    ),
    Case::new(
        "a connection that is to be kept and closed",
        "{get}Connection: keep-alive, close\r\n\r\n",
        PassesAndEnds(GET, ""),
    ),
    Case::new(
        "an upgrade to HTTP/2",
        "{get}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        Passes(GET, ""),
    ),
    Case::new(
        "an upgrade to HTTP/2 that is not nominated",
        "{get}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        Passes(GET, ""),
    ),
    Case::new(
        "an upgrade to another protocol",
        "{get}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        Passes(GET, ""),
    ),
    Case::new(
        "an upgrade with a body",
        "{patch}Connection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\nContent-Length: 5\r\n\r\nbytes",
        Passes(PATCH, "bytes"),
    ),
    Case::new(
        "an expectation of 100",
        "{patch}Expect: 100-continue\r\n\
         Content-Length: 5\r\n\r\nbytes",
        Passes(PATCH, "bytes"),
    ),
    Case::new("an expectation of 100 without a body", "{get}Expect: 100-continue\r\n\r\n", Passes(GET, "")),
    Case::new(
        "an expectation of 100 of HTTP/1.0",
        "PATCH {upload} HTTP/1.0\r\nHost: {host}\r\n{alice}Connection: keep-alive\r\nExpect: 100-continue\r\n\
         Content-Length: 5\r\n\r\nbytes",
        Passes(PATCH, "bytes"),
    ),
    Case::new("another expectation", "{patch}Expect: 200-ok\r\nContent-Length: 5\r\n\r\nbytes", Ends(400)),
    Case::new(
        "two expectations in a list",
        "{patch}Expect: 100-continue, x\r\nContent-Length: 5\r\n\r\nbytes",
        Ends(400),
    ),
    Case::new(
        "an expectation and another",
        "{patch}Expect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n\r\nbytes",
        Ends(400),
    ),
    Case::new(
        "headers of proxies",
        "{get}Proxy-Connection: close\r\nProxy-Authorization: Basic eDp5\r\nKeep-Alive: timeout=1\r\n\
         TE: trailers\r\nTrailer: X-T\r\n\r\n",
        Passes(GET, ""),
    ),
];

#[test]
fn a_connection_says_nothing_of_another() {
    crate::run::run(CASES);
}
