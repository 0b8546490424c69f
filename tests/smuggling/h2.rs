//! HTTP/2 in raw frames: a client that sends what no library would, and reads no more of the answers than they take.
//!
//! Header blocks are literals without compression (RFC 7541, section 6.2.2), and the gateway is told to keep no table, so that its own
//! are nearly as plain.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use crate::support::wire::LIMIT;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113, section 6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

/// A frame as it goes over the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field as a literal that nobody keeps.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0_u8][..], &string(name), &string(value)].concat()
}

/// A string without Huffman's code (RFC 7541, section 5.2).
fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes.len();
    if rest < 127 {
        out.push(u8::try_from(rest).unwrap());
    } else {
        out.push(127);
        rest -= 127;
        while rest >= 128 {
            out.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        out.push(u8::try_from(rest).unwrap());
    }
    out.extend(bytes);
    out
}

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// An answer of this status has come.
    Answered(u16),
    /// The stream was reset.
    Reset,
    /// The connection ended, with GOAWAY or without a word.
    Ended,
}

/// One end of a connection.
pub(crate) struct Client(TcpStream);

impl Client {
    /// Connects and says its preface and settings: no table for header fields.
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        let mut client = Self(stream);
        client.send(&[PREFACE, &frame(kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])].concat());
        client
    }

    /// Sends bytes, as far as the other side takes them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// Reads until it is clear what becomes of a stream.
    pub(crate) fn fate(&mut self, stream: u32) -> Fate {
        loop {
            match self.frame() {
                None | Some((kind::GOAWAY, ..)) => return Fate::Ended,
                Some((kind::RST_STREAM, _, of, _)) if of == stream => return Fate::Reset,
                Some((kind::HEADERS, _, of, block)) if of == stream => match status(&block) {
                    100..=199 => {}
                    status => return Fate::Answered(status),
                },
                Some((kind::SETTINGS, 0, ..)) => self.send(&frame(kind::SETTINGS, 1, 0, &[])),
                Some(_) => {}
            }
        }
    }
}

/// The status, which is the first field of a response.
fn status(block: &[u8]) -> u16 {
    let block = &block[block.iter().take_while(|byte| **byte & 0xe0 == 0x20).count()..];
    match block {
        // An entry of the static table.
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        // A literal under the name of entry 8: three digits, likely in Huffman's code.
        [0x08 | 0x18 | 0x48, length, rest @ ..] => {
            let value = &rest[..usize::from(length & 0x7f)];
            let digits = if length & 0x80 == 0 { String::from_utf8(value.to_vec()).unwrap() } else { digits(value) };
            digits.parse().unwrap()
        }
        other => panic!("no status that this can read: {other:x?}"),
    }
}

/// Three digits in Huffman's code (RFC 7541, appendix B): 0, 1 and 2 take five bits, the others six.
fn digits(value: &[u8]) -> String {
    let mut bits = value.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1)));
    let mut next = |count: usize| bits.by_ref().take(count).fold(0, |all, bit| all << 1 | bit);
    let digit = |_| match next(5) {
        short @ 0..=2 => short,
        long => (long << 1 | next(1)) - 0b01_1001 + 3,
    };
    (0..3).map(digit).map(|digit| char::from_digit(digit, 10).unwrap()).collect()
}

#[test]
fn statuses_are_read_in_every_form() {
    assert_eq!((status(&[0x88]), status(&[0x20, 0x8d])), (200, 404));
    assert_eq!(status(&[0x48, 3, b'4', b'0', b'3']), 403);
    // 302 is the example of RFC 7541, appendix C.6.1.
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), 302);
}
