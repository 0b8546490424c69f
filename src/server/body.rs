//! The body of a request on its way upstream, and how bodies break.
//!
//! Bodies stream. A body that breaks off is an error here, never an early end, so that neither side takes it for whole. Trailers
//! are dropped in both directions: they could carry what the header rules took away.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::checked_body::{CheckedBody, Requirement, Verdict};
use super::connection::Inbound;
use super::progress::{Progress, Stage};
use super::spool::Kept;
use super::upstream::LinkError;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection that it came over failed, or the peer sent less than it promised.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// The client took the request back as if it had sent all of it (`RST_STREAM` with `NO_ERROR`).
    #[error("the body was taken back")]
    TakenBack,
    /// Nothing came for longer than the configured bound.
    #[error("the body stood still for too long")]
    Idle,
    /// A body that was kept cannot be read again.
    #[error("the kept body cannot be read: {0}")]
    Lost(std::io::Error),
    /// It came whole, but is not what the request says of it.
    #[error("the body is not what the request says of it")]
    Unfit,
    /// Nobody waits for the answer any more.
    #[error("the request was given up")]
    GivenUp,
    /// The upstream ended an answer before its end.
    #[error("the upstream broke the body off")]
    CutOff,
    /// The connection to the upstream failed within an answer.
    #[error("the body broke off: {0}")]
    Link(#[source] Box<LinkError>),
}

impl From<LinkError> for BodyError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Request(error) => error,
            LinkError::Ended => Self::CutOff,
            error => Self::Link(Box::new(error)),
        }
    }
}

/// The body of a request on its way upstream.
#[derive(Debug)]
pub struct RequestBody {
    source: Source,
    framing: Framing,
    progress: Arc<Progress>,
}

/// Where its bytes come from.
#[derive(Debug)]
enum Source {
    Nothing,
    Client(ClientBody),
    Checked(Box<CheckedBody<ClientBody>>),
    /// Where they were kept until all had come.
    Kept(Kept),
}

/// How a body is framed upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length, where the client says it.
    #[default]
    AsItCame,
    /// In chunks: one that breaks off then lacks its last chunk, and nobody takes it for whole.
    Chunked,
}

impl RequestBody {
    /// The one place where a body is put together, from the inside out: what the client sends, held against what the request says of
    /// it, framed for the upstream. The verdict is there to be asked where there is a requirement and a body.
    pub(crate) fn new(
        inner: Inbound,
        version: Version,
        requirement: Option<Requirement>,
        framing: Framing,
        progress: Arc<Progress>,
    ) -> (Self, Option<Verdict>) {
        if inner.is_end_stream() {
            return (Self::empty(progress), None);
        }
        let client = ClientBody::new(inner, version, Arc::clone(&progress));
        let (source, verdict) = match requirement {
            None => (Source::Client(client), None),
            Some(requirement) => {
                let (checked, verdict) = CheckedBody::new(client, requirement);
                (Source::Checked(Box::new(checked)), Some(verdict))
            }
        };
        (Self { source, framing, progress }, verdict)
    }

    /// Passes on what was kept of a body, checked as it came. What is told of its progress is how far the upstream has taken it; the
    /// client is not concerned any more.
    pub(crate) fn kept(kept: Kept, framing: Framing) -> Self {
        let progress = Arc::new(Progress::new());
        if kept.left() == 0 {
            return Self::empty(progress);
        }
        Self { source: Source::Kept(kept), framing, progress }
    }

    /// No body; it is done from the start.
    pub(crate) fn empty(progress: Arc<Progress>) -> Self {
        progress.enter(Stage::Done);
        Self { source: Source::Nothing, framing: Framing::AsItCame, progress }
    }

    /// How it is framed upstream.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// How long it will be at least, as far as the client says it.
    pub(crate) fn announced(&self) -> u64 {
        self.source.size_hint().lower()
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
        let polled = match &mut this.source {
            Source::Nothing => return Poll::Ready(None),
            Source::Client(body) => ready!(Pin::new(body).poll_frame(context)),
            Source::Checked(body) => ready!(Pin::new(body).poll_frame(context)),
            // Whatever holds it up, it is not the client.
            Source::Kept(kept) => ready!(kept.poll_frame(context)),
        };
        this.progress.moved(match &polled {
            // Something may be held back still: only what was handed over is done.
            Some(Ok(_)) if !this.is_end_stream() => Stage::UpstreamIsBusy,
            Some(Ok(_)) | None => Stage::Done,
            // What the client sent was whole.
            Some(Err(BodyError::Lost(_))) => Stage::UpstreamIsBusy,
            Some(Err(_)) => Stage::Broken,
        });
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Nothing => true,
            Source::Client(body) => body.is_end_stream(),
            Source::Checked(body) => body.is_end_stream(),
            Source::Kept(kept) => kept.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Nothing => SizeHint::with_exact(0),
            _ if self.framing == Framing::Chunked => SizeHint::default(),
            source => source.size_hint(),
        }
    }
}

impl Source {
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Client(body) => body.size_hint(),
            Self::Checked(body) => body.size_hint(),
            Self::Kept(kept) => SizeHint::with_exact(kept.left()),
        }
    }
}

/// What the client sends, counted, without trailers.
#[derive(Debug)]
pub(crate) struct ClientBody {
    inner: Inbound,
    /// Whether the end of a stream says if the body was whole. hyper takes a stream that was taken back without an error for one.
    tells_end: bool,
    progress: Arc<Progress>,
}

impl ClientBody {
    pub(crate) fn new(inner: Inbound, version: Version, progress: Arc<Progress>) -> Self {
        Self { inner, tells_end: version == Version::HTTP_2, progress }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            let Poll::Ready(polled) = Pin::new(&mut this.inner).poll_frame(context) else {
                this.progress.enter(Stage::ClientIsSlow);
                return Poll::Pending;
            };
            match polled {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.progress.count(data.len());
                    // It may be held back, and the next one waited for: the client has moved all the same.
                    this.progress.moved(Stage::UpstreamIsBusy);
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None if this.tells_end && !this.inner.is_end_stream() => {
                    return Poll::Ready(Some(Err(BodyError::TakenBack)));
                }
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
