//! A body that has been kept whole, on its way out.

use std::fs::File;
use std::future::Future as _;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::task::JoinHandle;

use crate::server::body::BodyError;

/// How much of a file is read at a time.
const PIECE: usize = 128 * 1024;

/// What of a kept body has not been read yet.
#[derive(Debug)]
pub(crate) struct Kept {
    left: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    /// None once reading has failed.
    File(Option<File>),
    Reading(JoinHandle<io::Result<(File, Vec<u8>)>>),
}

impl Kept {
    pub(super) fn in_memory(bytes: Bytes) -> Self {
        Self { left: bytes.len() as u64, source: Source::Memory(bytes) }
    }

    /// In a file that stands at its beginning.
    pub(super) fn in_file(file: File, length: u64) -> Self {
        Self { left: length, source: Source::File(Some(file)) }
    }

    /// How much is left.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// The next piece; none at the end.
    pub(crate) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let data = ready!(self.poll_data(context));
        Poll::Ready(data.map(|data| match data {
            Ok(data) => Ok(Frame::data(data)),
            Err(error) => {
                tracing::error!("a request body that was kept cannot be read again: {error}");
                Err(BodyError::Lost(error))
            }
        }))
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        loop {
            match &mut self.source {
                Source::Memory(bytes) => {
                    self.left = 0;
                    return Poll::Ready(Some(Ok(std::mem::take(bytes))));
                }
                Source::File(file) => self.source = begin(file.take(), self.left),
                Source::Reading(reading) => {
                    let read = ready!(Pin::new(reading).poll(context)).map_err(io::Error::other).flatten();
                    return Poll::Ready(Some(match read {
                        Ok((file, bytes)) => {
                            self.left = self.left.saturating_sub(bytes.len() as u64);
                            self.source = Source::File(Some(file));
                            Ok(bytes.into())
                        }
                        Err(error) => {
                            self.source = Source::File(None);
                            Err(error)
                        }
                    }));
                }
            }
        }
    }
}

/// Reads the next piece on a thread that may block.
fn begin(file: Option<File>, left: u64) -> Source {
    let length = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
    Source::Reading(tokio::task::spawn_blocking(move || {
        let mut file = file.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok((file, bytes))
    }))
}
