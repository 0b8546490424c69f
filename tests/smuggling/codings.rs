//! `Transfer-Encoding`: its spellings, several of it, and beside a length.

use crate::case::Outcome::{Ends, Passes, PassesAndEnds};
use crate::case::{Case, GET, PATCH};

/// The cases about transfer codings.
pub(crate) const CASES: &[Case] = &[
    Case::new(
        "chunks beside a length",
        "{patch}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n",
        PassesAndEnds(PATCH, "one"),
    ),
    Case::new(
        "chunks before a length that is too long",
        "{patch}Transfer-Encoding: chunked\r\nContent-Length: 500\r\n\r\n3\r\none\r\n0\r\n\r\n",
        PassesAndEnds(PATCH, "one"),
    ),
    Case::new(
        "chunks before a length of nothing",
        "{patch}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n3\r\none\r\n0\r\n\r\n",
        PassesAndEnds(PATCH, "one"),
    ),
    Case::new(
        "chunks beside a length behind a bare line feed",
        "{patch}Content-Length: 5\r\nX-A: b\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n",
        PassesAndEnds(PATCH, "one"),
    ),
    Case::new(
        "chunked twice in two headers",
        "{patch}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Ends(400),
    ),
    Case::new("chunked twice in a list", "{patch}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new(
        "chunked, then identity",
        "{patch}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        Ends(400),
    ),
    Case::new(
        "identity, then chunked",
        "{patch}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Ends(400),
    ),
    Case::new(
        "chunked and identity in a list",
        "{patch}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Ends(400),
    ),
    Case::new(
        "identity beside a length",
        "{patch}Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nbytes",
        Ends(400),
    ),
    Case::new("gzip alone", "{patch}Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("gzip in chunks", "{patch}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("chunks in gzip", "{patch}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("a coding like chunked", "{patch}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("a coding that begins with chunked", "{patch}Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("chunked with parameters", "{patch}Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("chunked in quotes", "{patch}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("chunked behind a comma", "{patch}Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("chunked before a comma", "{patch}Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("an empty coding", "{patch}Transfer-Encoding:\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("chunked behind a vertical tab", "{patch}Transfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("chunked before a NUL", "{patch}Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("chunked before a byte over 127", "{patch}Transfer-Encoding: chunked\u{ff}\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new(
        "chunked with the sign of kelvin",
        "{patch}Transfer-Encoding: chun\u{e2}\u{84}\u{aa}ed\r\n\r\n0\r\n\r\n",
        Ends(400),
    ),
    Case::new("chunked over two lines", "{patch}Transfer-Encoding: chun\r\n ked\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("chunked on the next line", "{patch}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("a blank before the colon of a coding", "{patch}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("a tab before the colon of a coding", "{patch}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new("a blank before a coding", "{patch} Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Ends(400)),
    Case::new(
        "a coding behind a bare carriage return",
        "{patch}X-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Ends(400),
    ),
    Case::new(
        "chunks of HTTP/1.0",
        "PATCH {upload} HTTP/1.0\r\nHost: {host}\r\n{alice}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n\r\n",
        Ends(400),
    ),
    Case::new(
        "chunks and a length of HTTP/1.0",
        "PATCH {upload} HTTP/1.0\r\nHost: {host}\r\n{alice}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Ends(400),
    ),
    Case::new(
        "chunked in capitals",
        "{patch}TRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nbytes\r\n0\r\n\r\n",
        Passes(PATCH, "bytes"),
    ),
    Case::new(
        "chunked between blanks",
        "{patch}Transfer-Encoding: \t chunked \t\r\n\r\n5\r\nbytes\r\n0\r\n\r\n",
        Passes(PATCH, "bytes"),
    ),
    Case::new(
        "a coding under a name with an underscore",
        "{patch}Content-Length: 5\r\nTransfer_Encoding: chunked\r\n\r\nbytes",
        Passes(PATCH, "bytes"),
    ),
    Case::new(
        "a coding that is only accepted",
        "{patch}Content-Length: 5\r\nTE: chunked, trailers\r\n\r\nbytes",
        Passes(PATCH, "bytes"),
    ),
    Case::new(
        "chunks where a method has no body",
        "{get}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n\r\n",
        PassesAndEnds(GET, ""),
    ),
];

#[test]
fn codings_are_read_in_one_way() {
    crate::run::run(CASES);
}
