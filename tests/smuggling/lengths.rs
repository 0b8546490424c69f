//! `Content-Length`: more than one, lists, signs, blanks, and numbers that are none.

use crate::case::Outcome::{Ends, Passes, PassesAndEnds};
use crate::case::{Case, GET, PATCH};

/// The cases about lengths.
pub(crate) const CASES: &[Case] = &[
    Case::new("two lengths that differ", "{patch}Content-Length: 5\r\nContent-Length: 6\r\n\r\nbytes!", Ends(400)),
    Case::new(
        "two lengths that differ, the smaller one last",
        "{patch}Content-Length: 6\r\nContent-Length: 5\r\n\r\nbytes!",
        Ends(400),
    ),
    Case::new(
        "two lengths that agree and a third",
        "{patch}Content-Length: 5\r\nContent-Length: 5\r\ncontent-length: 0\r\n\r\nbytes",
        Ends(400),
    ),
    Case::new(
        "two lengths that agree",
        "{patch}Content-Length: 5\r\nContent-Length: 5\r\n\r\nbytes",
        Passes(PATCH, "bytes"),
    ),
    Case::new("a list of lengths that differ", "{patch}Content-Length: 5, 6\r\n\r\nbytes!", Ends(400)),
    Case::new("a list of lengths that agree", "{patch}Content-Length: 5, 5\r\n\r\nbytes", Ends(400)),
    Case::new("a list with an empty length", "{patch}Content-Length: 5,\r\n\r\nbytes", Ends(400)),
    Case::new("a negative length", "{patch}Content-Length: -5\r\n\r\nbytes", Ends(400)),
    Case::new("a length with a plus sign", "{patch}Content-Length: +5\r\n\r\nbytes", Ends(400)),
    Case::new("a hexadecimal length", "{patch}Content-Length: 0x5\r\n\r\nbytes", Ends(400)),
    Case::new("a length in hexadecimal digits", "{patch}Content-Length: a\r\n\r\nbytesbytes", Ends(400)),
    Case::new("a length with a fraction", "{patch}Content-Length: 5.0\r\n\r\nbytes", Ends(400)),
    Case::new("a length with an exponent", "{patch}Content-Length: 5e0\r\n\r\nbytes", Ends(400)),
    Case::new("a length in quotes", "{patch}Content-Length: \"5\"\r\n\r\nbytes", Ends(400)),
    Case::new("a length with parameters", "{patch}Content-Length: 5;a=b\r\n\r\nbytes", Ends(400)),
    Case::new("a length of two words", "{patch}Content-Length: 5 5\r\n\r\nbytes", Ends(400)),
    Case::new("a length in full-width digits", "{patch}Content-Length: \u{ef}\u{bc}\u{95}\r\n\r\nbytes", Ends(400)),
    Case::new("an empty length", "{patch}Content-Length:\r\n\r\nbytes", Ends(400)),
    Case::new("a blank length", "{patch}Content-Length:  \t \r\n\r\nbytes", Ends(400)),
    Case::new("a length with a control character", "{patch}Content-Length: 5\u{c}\r\n\r\nbytes", Ends(400)),
    Case::new("a length between blanks", "{patch}Content-Length: \t 5 \t\r\n\r\nbytes", Passes(PATCH, "bytes")),
    Case::new("a length with zeros before it", "{patch}Content-Length: 005\r\n\r\nbytes", Passes(PATCH, "bytes")),
    Case::new(
        "a length one over the largest of 64 bits",
        "{patch}Content-Length: 18446744073709551616\r\n\r\nbytes",
        Ends(400),
    ),
    Case::new(
        "a length that is 5 when 64 bits wrap",
        "{patch}Content-Length: 18446744073709551621\r\n\r\nbytes",
        Ends(400),
    ),
    Case::new(
        "the largest length of 64 bits",
        "{patch}Content-Length: 18446744073709551615\r\n\r\nbytes",
        // The parser's own limit; its number means that it counts for a coding there.
        Ends(431),
    ),
    Case::new("a blank before the colon of a length", "{patch}Content-Length : 5\r\n\r\nbytes", Ends(400)),
    Case::new(
        "another length under a name with an underscore",
        "{patch}Content-Length: 5\r\nContent_Length: 0\r\n\r\nbytes",
        Passes(PATCH, "bytes"),
    ),
    Case::new("a length of an empty body, and no coding", "{patch}Content-Length: 0\r\n\r\n", Passes(PATCH, "")),
    Case::new("no length of a method that has bodies", "{patch}\r\n", Passes(PATCH, "")),
    Case::new("a body where a method has none", "{get}Content-Length: 5\r\n\r\nbytes", PassesAndEnds(GET, "")),
];

#[test]
fn lengths_are_read_in_one_way() {
    crate::run::run(CASES);
}
