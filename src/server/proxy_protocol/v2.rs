//! Version 2: binary.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Malformed, Parsed, Told};

/// How every header begins.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The most bytes that may follow the fixed part. Addresses take 216 at most; the rest is for what proxies add (TLVs), of which a
/// certificate's subject is the longest that is seen.
pub(super) const LONGEST: usize = 4096;

/// The signature, version and command, family and protocol, length.
const FIXED: usize = SIGNATURE.len() + 4;

/// Looks at bytes that begin with the signature.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some(fixed) = bytes.get(SIGNATURE.len()..FIXED) else { return Ok(Parsed::Lacks(FIXED - bytes.len())) };
    let [command, kind, high, low] = fixed else { return Err(Malformed::Binary) };
    let is_proxy = match command {
        0x20 => false,
        0x21 => true,
        _ => return Err(Malformed::Binary),
    };
    let (family, protocol) = (kind >> 4, kind & 0x0f);
    if family > 3 || protocol > 2 {
        return Err(Malformed::Binary);
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > LONGEST {
        return Err(Malformed::TooLong);
    }
    let body = &bytes[FIXED..];
    if body.len() < length {
        return Ok(Parsed::Lacks(length - body.len()));
    }
    if body.len() > length {
        return Err(Malformed::Binary);
    }
    let (addresses, told) = match (is_proxy, family, protocol) {
        // Whatever stands there is to be ignored.
        (false, ..) => return Ok(Parsed::Whole(Told::Itself)),
        (true, 1, 1) => (12, v4(body)),
        (true, 2, 1) => (36, v6(body)),
        (true, 3, _) => (216, Some(Told::Unknown)),
        // Datagrams, and what the proxy has no word for: whoever it is, it is not a peer of this connection.
        (true, ..) => return Ok(Parsed::Whole(Told::Unknown)),
    };
    let extras = body.get(addresses..).ok_or(Malformed::Binary)?;
    if !are_whole(extras) {
        return Err(Malformed::Binary);
    }
    told.map(Parsed::Whole).ok_or(Malformed::Binary)
}

fn v4(body: &[u8]) -> Option<Told> {
    let (source, rest) = body.split_first_chunk::<4>()?;
    let (_destination, rest) = rest.split_first_chunk::<4>()?;
    let (port, _) = rest.split_first_chunk::<2>()?;
    Some(Told::Client(SocketAddr::new(Ipv4Addr::from(*source).into(), u16::from_be_bytes(*port))))
}

fn v6(body: &[u8]) -> Option<Told> {
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (_destination, rest) = rest.split_first_chunk::<16>()?;
    let (port, _) = rest.split_first_chunk::<2>()?;
    Some(Told::Client(SocketAddr::new(Ipv6Addr::from(*source).into(), u16::from_be_bytes(*port))))
}

/// Whether these are type, length and value, so many times. What they say is skipped.
fn are_whole(mut extras: &[u8]) -> bool {
    while !extras.is_empty() {
        let [_kind, high, low, rest @ ..] = extras else { return false };
        let Some(next) = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) else { return false };
        extras = next;
    }
    true
}
