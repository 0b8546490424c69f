//! The body of a request, as its connection hands it on.
//!
//! Over HTTP/1.1 what nobody reads of it is the connection's to discard, when it closes. Over HTTP/2 there is a stream for it,
//! which goes on being read when the body is dropped: see [`Stream::discard`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::streams::Stream;

/// What a client sends with a request.
#[derive(Debug)]
pub struct Inbound {
    /// There until it is dropped.
    incoming: Option<Incoming>,
    /// Where the rest goes when it is dropped before its end.
    stream: Option<Arc<Stream>>,
}

impl Inbound {
    /// Over HTTP/1.1.
    pub(super) fn plain(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), stream: None }
    }

    /// Over HTTP/2.
    pub(super) fn of(incoming: Incoming, stream: Arc<Stream>) -> Self {
        Self { incoming: Some(incoming), stream: Some(stream) }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if let (Some(stream), Some(incoming)) = (self.stream.take(), self.incoming.take())
            && !incoming.is_end_stream()
        {
            stream.discard(incoming);
        }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.stream = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
