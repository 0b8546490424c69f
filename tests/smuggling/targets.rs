//! Targets in another form than a path, and what hides behind a path. How a path itself may be spelt is tested in `proxy`.

use crate::case::Outcome::{Ends, Passes, Refused};
use crate::case::{Case, GET};

/// The cases about targets.
pub(crate) const CASES: &[Case] = &[
    Case::new("a target of an authority", "GET {host} HTTP/1.1\r\n{rest}", Refused(400)),
    Case::new("a connection to the upstream's neighbour", "CONNECT 127.0.0.1:22 HTTP/1.1\r\n{rest}", Refused(405)),
    Case::new("a connection to the gateway itself", "CONNECT {host} HTTP/1.1\r\n{rest}", Refused(405)),
    Case::new("a connection to a path", "CONNECT {manifest} HTTP/1.1\r\n{rest}", Refused(405)),
    Case::new("a trace", "TRACE {manifest} HTTP/1.1\r\n{rest}", Refused(405)),
    Case::new("options of everything", "OPTIONS * HTTP/1.1\r\n{rest}", Refused(400)),
    Case::new("a star", "GET * HTTP/1.1\r\n{rest}", Refused(400)),
    Case::new("a path without its slash", "GET v2/team/app/manifests/v1 HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("no target", "GET  HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("a target with a scheme and no host", "GET http://{manifest} HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("a target with another scheme", "GET file://{manifest} HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new(
        "a target that a browser takes for a host",
        "GET //evil.example{manifest} HTTP/1.1\r\n{rest}",
        Refused(400),
    ),
    Case::new("a target of two words", "GET {manifest} x HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("two blanks before the target", "GET  {manifest} HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("two blanks behind the target", "GET {manifest}  HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("a tab for a blank", "GET\t{manifest} HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("a target with a tab", "GET {manifest}\tx HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("a target with a NUL", "GET {manifest}\0 HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("a target with a carriage return", "GET {manifest}\rX HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("a target with DEL", "GET {manifest}\u{7f} HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("a target with bytes that are no UTF-8", "GET {manifest}\u{ff} HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("an escaped end of line in a path", "GET {manifest}%0d%0aX-Evil:%201 HTTP/1.1\r\n{rest}", Refused(400)),
    Case::new(
        "an escaped request in a path",
        "GET {manifest}%20HTTP/1.1%0d%0a%0d%0aDELETE%20{manifest} HTTP/1.1\r\n{rest}",
        Refused(400),
    ),
    Case::new(
        "an escaped end of line in a query",
        "GET {manifest}?ns=a%0d%0aX-Evil:%201 HTTP/1.1\r\n{rest}",
        Passes("GET {manifest}?ns=a%0D%0AX-Evil:%201 HTTP/1.1", ""),
    ),
    Case::new("a fragment", "GET {manifest}#/v2/secret/app/manifests/v1 HTTP/1.1\r\n{rest}", Passes(GET, "")),
    Case::new(
        "a fragment behind a query",
        "GET {manifest}?ns=a#b HTTP/1.1\r\n{rest}",
        Passes("GET {manifest}?ns=a HTTP/1.1", ""),
    ),
    Case::new("an escaped fragment", "GET {manifest}%23/v2/secret/app/manifests/v1 HTTP/1.1\r\n{rest}", Refused(400)),
    Case::new(
        "another path where proxies tell of it",
        "{get}X-Original-URL: /v2/secret/app/manifests/v1\r\nX-Rewrite-URL: /v2/secret/app/manifests/v1\r\n\
         X-Forwarded-Uri: /\r\n\r\n",
        Passes(GET, ""),
    ),
    Case::new(
        "another method where proxies tell of it",
        "{get}X-HTTP-Method-Override: DELETE\r\nX-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\n\r\n",
        Passes(GET, ""),
    ),
];

#[test]
fn targets_are_paths() {
    crate::run::run(CASES);
}
