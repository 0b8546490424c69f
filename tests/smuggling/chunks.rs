//! Chunks: sizes, extensions, what stands between them, and trailers.

use crate::case::Outcome::{Breaks, Passes};
use crate::case::{Case, PATCH};

/// The cases about chunks. All that break do so within the body: the head may be upstream by then, its end never is.
pub(crate) const CASES: &[Case] = &[
    Case::new("a negative size", "{patch}Transfer-Encoding: chunked\r\n\r\n-5\r\nbytes\r\n0\r\n\r\n", Breaks),
    Case::new("a size with a plus sign", "{patch}Transfer-Encoding: chunked\r\n\r\n+5\r\nbytes\r\n0\r\n\r\n", Breaks),
    Case::new("a size with 0x", "{patch}Transfer-Encoding: chunked\r\n\r\n0x5\r\nbytes\r\n0\r\n\r\n", Breaks),
    Case::new("a size with 0X", "{patch}Transfer-Encoding: chunked\r\n\r\n0X5\r\nbytes\r\n0\r\n\r\n", Breaks),
    Case::new("a size that is no number", "{patch}Transfer-Encoding: chunked\r\n\r\ng\r\nbytes\r\n0\r\n\r\n", Breaks),
    Case::new(
        "a size with an underscore",
        "{patch}Transfer-Encoding: chunked\r\n\r\n0_5\r\nbytes\r\n0\r\n\r\n",
        Breaks,
    ),
    Case::new("an empty size", "{patch}Transfer-Encoding: chunked\r\n\r\n\r\nbytes\r\n0\r\n\r\n", Breaks),
    Case::new("a blank before a size", "{patch}Transfer-Encoding: chunked\r\n\r\n 5\r\nbytes\r\n0\r\n\r\n", Breaks),
    Case::new("a blank within a size", "{patch}Transfer-Encoding: chunked\r\n\r\n0 5\r\nbytes\r\n0\r\n\r\n", Breaks),
    Case::new("a NUL behind a size", "{patch}Transfer-Encoding: chunked\r\n\r\n5\0\r\nbytes\r\n0\r\n\r\n", Breaks),
    Case::new(
        "a size that is 5 when 64 bits wrap",
        "{patch}Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nbytes\r\n0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "a size that is 5 when 32 bits wrap",
        "{patch}Transfer-Encoding: chunked\r\n\r\n100000005\r\nbytes\r\n0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "the largest size of 64 bits",
        "{patch}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nbytes\r\n0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "a size of five when it is signed",
        "{patch}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffb\r\nbytes\r\n0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "a size behind a thousand zeros and more",
        "{patch}Transfer-Encoding: chunked\r\n\r\n{0*100000}5\r\nbytes\r\n0\r\n\r\n",
        Passes(PATCH, "bytes"),
    ),
    Case::new(
        "a size that ends in a bare line feed",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\nbytes\r\n0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "a size that ends in a bare carriage return",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\rbytes\r\n0\r\n\r\n",
        Breaks,
    ),
    Case::new("data that go on", "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytesXX0\r\n\r\n", Breaks),
    Case::new("data without an end of line", "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes0\r\n\r\n", Breaks),
    Case::new(
        "data that end in a bare line feed",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\n0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "data that end in a bare carriage return",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "a last chunk that ends in bare line feeds",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\n\n",
        Breaks,
    ),
    Case::new(
        "a last chunk without the empty line",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n",
        Breaks,
    ),
    Case::new("a negative last chunk", "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n-0\r\n\r\n", Breaks),
    Case::new("no last chunk", "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n", Breaks),
    Case::new(
        "a line feed within an extension",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nbytes\r\n0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "a carriage return within an extension",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nbytes\r\n0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "an extension over the limit",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5;{a*70000}\r\nbytes\r\n0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "extensions over the limit together",
        "{patch}Transfer-Encoding: chunked\r\n\r\n{1;abcdefgh\r\nx\r\n*10000}0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "extensions, which go no further",
        "{patch}Transfer-Encoding: chunked\r\n\r\n2;a\r\nby\r\n1 ; b=c;d=\"e;f\"\r\nt\r\n2\t;\r\nes\r\n0;g=h\r\n\r\n",
        Passes(PATCH, "bytes"),
    ),
    Case::new(
        "sizes in capitals and with zeros",
        "{patch}Transfer-Encoding: chunked\r\n\r\n00A\r\nbytesbytes\r\n000\r\n\r\n",
        Passes(PATCH, "bytesbytes"),
    ),
    Case::new(
        "a blank behind a size",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5 \r\nbytes\r\n0\t\r\n\r\n",
        Passes(PATCH, "bytes"),
    ),
    Case::new("chunks of no body", "{patch}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Passes(PATCH, "")),
    Case::new(
        "a coding and a length as trailers",
        "{patch}Transfer-Encoding: chunked\r\nTrailer: Transfer-Encoding, Content-Length\r\n\r\n\
         5\r\nbytes\r\n0\r\nTransfer-Encoding: chunked\r\nContent-Length: 500\r\n\r\n",
        Passes(PATCH, "bytes"),
    ),
    Case::new(
        "identity, credentials and a host as trailers",
        "{patch}Transfer-Encoding: chunked\r\n\r\n\
         5\r\nbytes\r\n0\r\nX-Authentication-Service: e30=\r\n{bob}Host: evil.example\r\nConnection: close\r\n\r\n",
        Passes(PATCH, "bytes"),
    ),
    Case::new(
        "a trailer over two lines",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\nX-A: b\r\n c\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "a trailer without a colon",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\nX-A\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "a trailer with a blank before its colon",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\nX-A : b\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "a trailer with a NUL",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\nX-A: b\0\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "a trailer over the limit",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\nX-A: {a*70000}\r\n\r\n",
        Breaks,
    ),
    Case::new(
        "trailers over the limit",
        "{patch}Transfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n0\r\n{X-A: b\r\n*2000}\r\n",
        Breaks,
    ),
];

#[test]
fn chunks_are_read_in_one_way() {
    crate::run::run(CASES);
}
