//! The client's socket as a connection sees it: watched, timed, and never closed as if all were well by accident.
//!
//! When a connection ends is decided in `connection`; this type only knows how.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use crate::server::stream::Stream;

/// A client's stream.
///
/// Dropped without [`Socket::finished`], it resets the connection instead of closing it: a response that ends early because of an
/// error, a panic or a deadline must not look whole to a client that reads until the end.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    activity: Arc<Activity>,
    write_timeout: Duration,
    /// Runs while the client takes nothing of what we send.
    stalled: Option<Pin<Box<Sleep>>>,
    eof: bool,
    finished: bool,
}

impl Socket {
    pub(crate) fn new(stream: Stream, activity: Arc<Activity>, write_timeout: Duration) -> Self {
        Self { stream, activity, write_timeout, stalled: None, eof: false, finished: false }
    }

    /// Whether the client has said that it will send nothing more.
    pub(crate) fn saw_eof(&self) -> bool {
        self.eof
    }

    /// Everything that had to be sent was sent: from here on, closing is orderly.
    pub(crate) fn finished(&mut self) {
        self.finished = true;
    }

    /// Writes a short last word if that is possible without waiting and without falling into an earlier answer.
    pub(crate) fn last_word(&self, message: &[u8]) {
        if self.stalled.is_none() {
            // A client that does not hear it learns the same from the end of the connection.
            let _ = self.stream.try_write(message);
        }
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
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buf);
        if matches!(outcome, Poll::Ready(Ok(()))) {
            if buf.filled().len() > before {
                this.activity.bytes_arrived();
            } else if buf.remaining() > 0 {
                this.eof = true;
            }
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
