//! The body of a request on its way upstream, and how bodies break.
//!
//! Bodies stream. A body that breaks off is an error here, never an early end, so that neither side takes it for whole. Trailers
//! are dropped in both directions: they could carry what the header rules took away.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::progress::{Progress, Stage};
use super::spool::Kept;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection that it came over failed, or the peer sent less than it promised.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// Nothing came for longer than the configured bound.
    #[error("the body stood still for too long")]
    Idle,
    /// A body that was kept cannot be read again.
    #[error("the kept body cannot be read: {0}")]
    Lost(std::io::Error),
}

/// The body of a request on its way upstream.
#[derive(Debug)]
pub struct RequestBody {
    inner: Source,
    progress: Arc<Progress>,
}

/// Where it comes from.
#[derive(Debug)]
enum Source {
    /// There is none.
    Nothing,
    /// From the client, as it comes.
    Client(Incoming),
    /// From where it was kept until it was whole.
    Kept(Kept),
}

impl RequestBody {
    /// Passes a client's body on.
    pub(crate) fn new(inner: Incoming, progress: Arc<Progress>) -> Self {
        if inner.is_end_stream() {
            return Self::empty(progress);
        }
        Self { inner: Source::Client(inner), progress }
    }

    /// Passes on what was kept of a client's body. What is told of its progress is how far the upstream has taken it; the client is
    /// not concerned any more.
    pub(crate) fn kept(kept: Kept) -> Self {
        let progress = Arc::new(Progress::new());
        if kept.left() == 0 {
            return Self::empty(progress);
        }
        Self { inner: Source::Kept(kept), progress }
    }

    /// No body; it is done from the start.
    pub(crate) fn empty(progress: Arc<Progress>) -> Self {
        progress.enter(Stage::Done);
        Self { inner: Source::Nothing, progress }
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
        let inner = match &mut this.inner {
            Source::Nothing => return Poll::Ready(None),
            Source::Client(inner) => inner,
            Source::Kept(kept) => return poll_kept(kept, &this.progress, context),
        };
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
        match &self.inner {
            Source::Nothing => true,
            Source::Client(inner) => inner.is_end_stream(),
            Source::Kept(kept) => kept.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Client(inner) => inner.size_hint(),
            Source::Kept(kept) => SizeHint::with_exact(kept.left()),
        }
    }
}

/// The upstream asks for more of a kept body. Whatever holds it up, it is not the client.
fn poll_kept(
    kept: &mut Kept,
    progress: &Progress,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    Poll::Ready(match ready!(kept.poll_data(context)) {
        Some(Ok(data)) => {
            progress.moved(if kept.left() == 0 { Stage::Done } else { Stage::UpstreamIsBusy });
            Some(Ok(Frame::data(data)))
        }
        Some(Err(error)) => {
            tracing::error!("a request body that was kept cannot be read again: {error}");
            Some(Err(BodyError::Lost(error)))
        }
        None => None,
    })
}
