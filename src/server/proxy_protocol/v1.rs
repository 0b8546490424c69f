//! Version 1: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Malformed, Parsed, Told};

/// How every line begins.
pub(super) const PREFIX: &[u8] = b"PROXY ";
/// The longest line, its end included, that a sender may write.
pub(super) const LONGEST: usize = 107;

const END: &[u8] = b"\r\n";
/// The shortest lines of each kind.
const SHORTEST: usize = b"PROXY UNKNOWN\r\n".len();
const SHORTEST_V4: usize = b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n".len();
const SHORTEST_V6: usize = b"PROXY TCP6 :: :: 1 1\r\n".len();

/// Looks at bytes that begin as a line does.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if let Some(end) = bytes.windows(END.len()).position(|pair| pair == END) {
        let line = &bytes[..end];
        // What follows the end would not have been asked for.
        let whole = end + END.len() == bytes.len() && bytes.len() <= LONGEST && line.iter().copied().all(is_plain);
        return if whole { told(line).map(Parsed::Whole) } else { Err(Malformed::Line) };
    }
    let ending = bytes.last() == Some(&b'\r');
    let so_far = if ending { &bytes[..bytes.len() - 1] } else { bytes };
    if !so_far.iter().copied().all(is_plain) {
        return Err(Malformed::Line);
    }
    let shortest = match &bytes[PREFIX.len()..] {
        [b'T', b'C', b'P', b'4', ..] => SHORTEST_V4,
        [b'T', b'C', b'P', b'6', ..] => SHORTEST_V6,
        rest if b"UNKNOWN".starts_with(&rest[..rest.len().min(7)]) => SHORTEST,
        _ => return Err(Malformed::Line),
    };
    let to_end = if ending { 1 } else { END.len() };
    let lacks = shortest.saturating_sub(bytes.len()).max(to_end);
    if bytes.len() + to_end > LONGEST { Err(Malformed::LineTooLong) } else { Ok(Parsed::Lacks(lacks)) }
}

/// Whether a byte may stand in a line: the same whether the line comes whole or in pieces.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// What a line without its end says.
fn told(line: &[u8]) -> Result<Told, Malformed> {
    let text = std::str::from_utf8(line).map_err(|_| Malformed::Line)?;
    let mut words = text.split(' ');
    let (_proxy, kind) = (words.next(), words.next());
    if kind == Some("UNKNOWN") {
        // Whatever stands behind it is to be ignored.
        return Ok(Told::Unknown);
    }
    let mut address = || {
        let word = words.next()?;
        match kind {
            Some("TCP4") => word.parse().ok().map(|address: Ipv4Addr| IpAddr::V4(address)),
            Some("TCP6") => word.parse().ok().map(|address: Ipv6Addr| IpAddr::V6(address)),
            _ => None,
        }
    };
    let (source, destination) = (address(), address());
    let mut port = || words.next().and_then(port);
    let (source_port, destination_port) = (port(), port());
    match (source, destination, source_port, destination_port, words.next()) {
        (Some(ip), Some(_), Some(port), Some(_), None) => Ok(Told::Client(SocketAddr::new(ip, port))),
        _ => Err(Malformed::Line),
    }
}

/// A number without a sign and without leading zeros.
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if plain { word.parse().ok() } else { None }
}
