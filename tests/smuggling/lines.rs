//! Lines: how they end, what may not stand in them, and lines that are no header lines.

use crate::case::Outcome::{Ends, Passes, Refused};
use crate::case::{Case, GET, PATCH};

/// The cases about lines.
pub(crate) const CASES: &[Case] = &[
    Case::new("a header over two lines", "{get}X-Folded: one\r\n two\r\n\r\n", Ends(400)),
    Case::new("a header over two lines with a tab", "{get}X-Folded: one\r\n\ttwo\r\n\r\n", Ends(400)),
    Case::new("a header that begins on its second line", "{get}X-Folded:\r\n one\r\n\r\n", Ends(400)),
    Case::new("a second line that looks like a header", "{get}X-Folded: a\r\n Content-Length: 5\r\n\r\n", Ends(400)),
    Case::new("a first header with a blank before it", "GET {manifest} HTTP/1.1\r\n {rest}", Ends(400)),
    Case::new("a line of blanks", "{get}  \r\n\r\n", Ends(400)),
    Case::new("a header without a colon", "{get}X-No-Colon\r\n\r\n", Ends(400)),
    Case::new("a header without a name", "{get}: empty\r\n\r\n", Ends(400)),
    Case::new("a blank within a name", "{get}X Blank: 1\r\n\r\n", Ends(400)),
    Case::new("a blank before a colon", "{get}X-Blank : 1\r\n\r\n", Ends(400)),
    Case::new("a NUL within a name", "{get}X-N\0l: 1\r\n\r\n", Ends(400)),
    Case::new("a NUL within a value", "{get}X-Nul: a\0b\r\n\r\n", Ends(400)),
    Case::new("a name with brackets", "{get}X-(A): 1\r\n\r\n", Ends(400)),
    Case::new("a name with a slash", "{get}X/A: 1\r\n\r\n", Ends(400)),
    Case::new("a name with bytes over 127", "{get}X-\u{e9}: 1\r\n\r\n", Ends(400)),
    Case::new("a carriage return within a value", "{get}X-Cr: a\rb\r\n\r\n", Ends(400)),
    Case::new("a carriage return within a name", "{get}X-C\rr: a\r\n\r\n", Ends(400)),
    Case::new("a line that ends in two carriage returns", "{get}X-Cr: a\r\r\n\r\n", Ends(400)),
    Case::new("a backspace within a value", "{get}X-Bs: a\u{8}b\r\n\r\n", Ends(400)),
    Case::new("an escape within a value", "{get}X-Esc: \u{1b}[2J\r\n\r\n", Ends(400)),
    Case::new("a DEL within a value", "{get}X-Del: a\u{7f}b\r\n\r\n", Ends(400)),
    Case::new(
        "lines that all end in bare carriage returns",
        "GET {manifest} HTTP/1.1\rHost: {host}\r\r\n\r\n",
        Ends(400),
    ),
    Case::new(
        "lines that all end in bare line feeds",
        "PATCH {upload} HTTP/1.1\nHost: {host}\n{alice}Content-Length: 5\n\nbytes",
        Passes(PATCH, "bytes"),
    ),
    Case::new("a head that ends in a bare line feed", "{patch}Content-Length: 5\r\n\nbytes", Passes(PATCH, "bytes")),
    Case::new("an empty line before the request", "\r\n{get}\r\n", Passes(GET, "")),
    Case::new("empty lines before the request, some of them bare", "\r\n\n\r\n\n{get}\r\n", Passes(GET, "")),
    Case::new("a blank before the request", " {get}\r\n", Ends(400)),
    Case::new("a value with bytes over 127", "{get}X-Latin: caf\u{e9}\r\n\r\n", Passes(GET, "")),
    Case::new("a value with tabs", "{get}X-Tab: a\tb\r\n\r\n", Passes(GET, "")),
    Case::new("an empty value", "{get}X-Empty:\r\n\r\n", Passes(GET, "")),
    Case::new("a name of every sign that a name may have", "{get}X-!#$%&'*+.^`|~: 1\r\n\r\n", Passes(GET, "")),
    Case::new("a method in small letters", "get {manifest} HTTP/1.1\r\n{rest}", Refused(405)),
    Case::new("a method that begins like one", "GETX {manifest} HTTP/1.1\r\n{rest}", Refused(405)),
    Case::new("a method with a NUL", "G\0T {manifest} HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("a method with a colon", "GET: {manifest} HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("no method", " {manifest} HTTP/1.1\r\n{rest}", Ends(400)),
    Case::new("credentials twice", "{get}{bob}\r\n", Refused(401)),
    Case::new(
        "credentials twice, the better ones last",
        "GET {manifest} HTTP/1.1\r\nHost: {host}\r\n{bob}{alice}\r\n",
        Refused(401),
    ),
    Case::new(
        "credentials under a name with an underscore",
        "GET /v2/secret/app/manifests/v1 HTTP/1.1\r\nHost: {host}\r\n{bob}Authorization_: Basic x\r\n\r\n",
        Refused(403),
    ),
];

#[test]
fn lines_are_read_in_one_way() {
    crate::run::run(CASES);
}
