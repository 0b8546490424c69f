//! The body of a request on its way upstream, and how bodies break.
//!
//! Bodies stream. A body that breaks off is an error here, never an early end, so that neither side takes it for whole. Trailers
//! are dropped in both directions: they could carry what the header rules took away.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::progress::{Progress, Stage};

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection that it came over failed, or the peer sent less than it promised.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// Nothing came for longer than the configured bound.
    #[error("the body stood still for too long")]
    Idle,
}

/// The body of a request on its way upstream.
#[derive(Debug)]
pub struct RequestBody {
    inner: Option<Incoming>,
    progress: Arc<Progress>,
}

impl RequestBody {
    /// Passes a client's body on.
    pub(crate) fn new(inner: Incoming, progress: Arc<Progress>) -> Self {
        if inner.is_end_stream() {
            return Self::empty(progress);
        }
        Self { inner: Some(inner), progress }
    }

    /// No body; it is done from the start.
    pub(crate) fn empty(progress: Arc<Progress>) -> Self {
        progress.enter(Stage::Done);
        Self { inner: None, progress }
    }

    /// Who else wants to know how far it is.
    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        loop {
            let Poll::Ready(polled) = Pin::new(&mut *inner).poll_frame(context) else {
                this.progress.enter(Stage::ClientIsSlow);
                return Poll::Pending;
            };
            match polled {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.progress.count(data.len());
                    this.progress.moved(if inner.is_end_stream() { Stage::Done } else { Stage::UpstreamIsBusy });
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => {
                    this.progress.moved(Stage::Broken);
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    this.progress.moved(Stage::Done);
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
