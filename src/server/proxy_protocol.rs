//! The PROXY protocol, versions 1 and 2: what a proxy says, before anything else, about who is at its other end.
//!
//! Here it is parsed and read; who is believed is decided in `entrance`. The parser is strict: it takes what the specification
//! (haproxy.org, "The PROXY protocol", sections 2.1 and 2.2) lets a sender write, and nothing else. It never asks for a byte that may
//! belong to what follows the header, so nothing has to be put back.

mod read;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::net::SocketAddr;

pub(crate) use self::read::{ReadError, read};

/// What a header says of the connection's other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The proxy speaks for itself, as its health checks do.
    Itself,
    /// The client's address.
    Client(SocketAddr),
    /// There is a client, and the proxy cannot say where: it came over a unix socket, or by another kind of network.
    Unknown,
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// It is whole, and ends with the last byte.
    Whole(Told),
    /// At least so many bytes are missing.
    Lacks(usize),
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither version begins like this.
    #[error("it does not begin with a PROXY header")]
    NoHeader,
    /// Version 1, and not as it must be written.
    #[error("its PROXY header (version 1) is malformed")]
    Line,
    /// Version 1, and no end in sight.
    #[error("its PROXY header (version 1) is longer than {} bytes", v1::LONGEST)]
    LineTooLong,
    /// Version 2, and not as it must be written.
    #[error("its PROXY header (version 2) is malformed")]
    Binary,
    /// Version 2, and longer than anybody needs.
    #[error("its PROXY header (version 2) announces more than {} bytes", v2::LONGEST)]
    TooLong,
}

/// The fewest bytes of any header that tell its version: those of version 2, and no header of version 1 is shorter.
const FIRST: usize = v2::SIGNATURE.len();

/// Looks at the beginning of a connection.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let begins = |with: &[u8]| {
        let common = bytes.len().min(with.len());
        bytes[..common] == with[..common]
    };
    let (first, second) = (begins(v1::PREFIX), begins(v2::SIGNATURE));
    if !first && !second {
        return Err(Malformed::NoHeader);
    }
    if bytes.len() < FIRST {
        return Ok(Parsed::Lacks(FIRST - bytes.len()));
    }
    if first { v1::parse(bytes) } else { v2::parse(bytes) }
}
