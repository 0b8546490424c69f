//! Reading a header from a connection, and not a byte more.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Malformed, Parsed, Told, parse};

/// Why no header was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// What came is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It did not come in time.
    #[error("no PROXY header came within {0:?}")]
    TooSlow(Duration),
    /// The connection ended before the header was whole.
    #[error("it ended within its PROXY header")]
    Ended,
    /// The connection ended before anything was sent, as checks of a port do.
    #[error("it ended before anything came")]
    Silent,
    /// The connection broke.
    #[error("it broke within its PROXY header: {0}")]
    Broken(#[from] io::Error),
}

/// Reads a header from the beginning of a connection.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin), limit: Duration) -> Result<Told, ReadError> {
    tokio::time::timeout(limit, whole(stream)).await.unwrap_or(Err(ReadError::TooSlow(limit)))
}

async fn whole(stream: &mut (impl AsyncRead + Unpin)) -> Result<Told, ReadError> {
    let mut bytes = Vec::with_capacity(64);
    loop {
        let lacks = match parse(&bytes)? {
            Parsed::Whole(told) => return Ok(told),
            Parsed::Lacks(lacks) => lacks,
        };
        let before = bytes.len();
        bytes.resize(before + lacks, 0);
        let read = stream.read(&mut bytes[before..]).await?;
        bytes.truncate(before + read);
        if read == 0 {
            return Err(if bytes.is_empty() { ReadError::Silent } else { ReadError::Ended });
        }
    }
}
