//! Sizes: each part of a request, over its limit.

use crate::case::Outcome::{Ends, Passes, Refused};
use crate::case::{Case, GET};

/// The cases about sizes.
pub(crate) const CASES: &[Case] = &[
    Case::new("a path over the limit of paths", "GET /v2/{a/*3000}manifests/v1 HTTP/1.1\r\n{rest}", Refused(400)),
    Case::new("a query over the limit of queries", "GET {manifest}?ns={a*20000} HTTP/1.1\r\n{rest}", Refused(414)),
    Case::new("a query of too many parameters", "GET {manifest}?{a=b&*2000} HTTP/1.1\r\n{rest}", Refused(400)),
    Case::new("a target over the limit of heads", "GET /v2/{a*70000} HTTP/1.1\r\n{rest}", Ends(431)),
    Case::new("a method without an end", "{G*70000}", Ends(431)),
    Case::new("a header over the limit of heads", "{get}X-Long: {a*70000}\r\n\r\n", Ends(431)),
    Case::new("a header over the limit of heads, without an end", "{get}X-Long: {a*70000}", Ends(431)),
    Case::new("a name over the limit of heads", "{get}{X*70000}: 1\r\n\r\n", Ends(431)),
    Case::new("a host over the limit of heads", "GET {manifest} HTTP/1.1\r\nHost: {a*70000}\r\n{alice}\r\n", Ends(431)),
    Case::new("a host over the limit of hosts", "GET {manifest} HTTP/1.1\r\nHost: {a*30000}\r\n{alice}\r\n", Ends(400)),
    Case::new("headers over the limit of heads", "{get}{X-Many: aaaaaaaaaaaaaaaaaaaa\r\n*3000}\r\n", Ends(431)),
    Case::new("headers over their number", "{get}{X-Many: 1\r\n*99}\r\n", Ends(431)),
    Case::new("headers of the largest number", "{get}{X-Many: 1\r\n*98}\r\n", Passes(GET, "")),
    Case::new("a nomination of very many", "{get}Connection: {x,*10000}\r\n\r\n", Passes(GET, "")),
    Case::new(
        "credentials over the limit of tokens",
        "GET {manifest} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {a.*9000}\r\n\r\n",
        Refused(401),
    ),
    Case::new(
        "a password of very many bytes",
        "GET {manifest} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic {YTph*6000}\r\n\r\n",
        Refused(401),
    ),
];

#[test]
fn sizes_are_bounded() {
    crate::run::run(CASES);
}
