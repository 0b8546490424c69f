//! The client's socket as a connection sees it: timed, and never closed as if all were well by accident.
//!
//! When a connection ends is decided in `connection`; this type only knows how.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::server::stream::Stream;

/// How much is read at most of a connection of which nobody knows yet what is spoken over it.
const FIRST_READ: usize = 1024;

/// A client's stream.
///
/// Dropped without [`Socket::finished`], it resets the connection instead of closing it: a response that ends early because of an
/// error, a panic or a deadline must not look whole to a client that reads until the end.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    /// What was read ahead, from here on.
    ahead: Vec<u8>,
    taken: usize,
    write_timeout: Duration,
    /// Runs while the client takes nothing of what we send.
    stalled: Option<Pin<Box<Sleep>>>,
    eof: bool,
    finished: bool,
}

impl Socket {
    pub(crate) fn new(stream: Stream, write_timeout: Duration) -> Self {
        Self { stream, ahead: Vec::new(), taken: 0, write_timeout, stalled: None, eof: false, finished: false }
    }

    /// Reads something, which is still there to be read afterwards, and returns all that was read so. Nothing more than before: the
    /// client has ended.
    pub(crate) async fn read_ahead(&mut self) -> io::Result<&[u8]> {
        let mut piece = [0; FIRST_READ];
        let read = self.stream.read(&mut piece).await?;
        self.ahead.extend_from_slice(piece.get(..read).unwrap_or_default());
        self.eof |= read == 0;
        Ok(&self.ahead)
    }

    /// What was read ahead.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Waits until there is something to read, or the end.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.taken < self.ahead.len() {
            return Ok(());
        }
        self.stream.readable().await
    }

    /// Whether the client has said that it will send nothing more.
    pub(crate) fn saw_eof(&self) -> bool {
        self.eof
    }

    /// Everything that had to be sent was sent: from here on, closing is orderly.
    pub(crate) fn finished(&mut self) {
        self.finished = true;
    }

    /// Writes what can be written without waiting, unless the client takes nothing anyway.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.stalled.is_some() { Err(io::ErrorKind::WouldBlock.into()) } else { self.stream.try_write(bytes) }
    }

    fn timed<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let limit = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: on failure the socket is broken already.
            let _ = self.stream.reset_when_dropped();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(rest) = this.ahead.get(this.taken..).filter(|rest| !rest.is_empty()) {
            let piece = rest.get(..buf.remaining()).unwrap_or(rest);
            buf.put_slice(piece);
            this.taken += piece.len();
            if this.taken == this.ahead.len() {
                (this.ahead, this.taken) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buf);
        if matches!(outcome, Poll::Ready(Ok(()))) && buf.filled().len() == before && buf.remaining() > 0 {
            this.eof = true;
        }
        outcome
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.timed(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.timed(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
