//! The body of an upstream's response.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::pool::Release;
use crate::server::body::BodyError;

/// Streams what the upstream sends, within the idle bound, and gives the connection back at its end. Dropped before its end, it closes
/// the connection.
#[derive(Debug)]
pub struct UpstreamBody {
    inner: Incoming,
    release: Option<Release>,
    /// Whether the protocol marks its end (HTTP/2), whatever it said of its length.
    is_framed: bool,
    limit: Duration,
    moved: Instant,
}

impl UpstreamBody {
    pub(super) fn new(inner: Incoming, release: Release, limit: Duration) -> Self {
        // The answer may be there before the request is: it then goes on as long as this lives.
        let is_sent = release.is_sent();
        let is_framed = release.is_http2();
        let mut body = Self { inner, release: Some(release), is_framed, limit, moved: Instant::now() };
        if is_sent {
            body.release_at_end();
        }
        body
    }

    /// The next piece, the end, or the error that a broken or idle body is.
    pub(crate) fn poll_data(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let this = &mut *self;
        loop {
            match Pin::new(&mut this.inner).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers end here.
                    let Ok(data) = frame.into_data() else { continue };
                    this.moved = Instant::now();
                    this.release_at_end();
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(Some(Err(error))) => {
                    this.release = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Ready(None) if this.is_framed && !this.inner.is_end_stream() => {
                    // The library takes a reset without an error for an end (RST_STREAM with NO_ERROR).
                    this.release = None;
                    return Poll::Ready(Some(Err(BodyError::CutOff)));
                }
                Poll::Ready(None) => {
                    if let Some(release) = this.release.take() {
                        release.keep();
                    }
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    if this.poll_idle(context) {
                        this.release = None;
                        return Poll::Ready(Some(Err(BodyError::Idle)));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether everything has been read.
    pub(crate) fn is_end(&self) -> bool {
        self.inner.is_end_stream()
    }

    /// Its length, where the upstream said it.
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = self.moved + self.limit;
        // Without a link everything has come.
        self.release.as_mut().is_some_and(|release| release.alarm().poll(context, deadline).is_ready())
    }

    fn release_at_end(&mut self) {
        if self.inner.is_end_stream()
            && let Some(release) = self.release.take()
        {
            release.keep();
        }
    }
}
