//! A body that has to fit what the request says of it, and whose end is withheld until it does.
//!
//! One piece is always held back: however the body is framed on its way on, nobody has the whole of it before the verdict. A body that
//! does not fit ends with an error, never with an end, so that nobody can take it for whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;

use super::body::BodyError;
use crate::registry::{DigestCheck, DigestMismatch};

/// What a body has to be.
#[derive(Clone, Debug)]
pub(crate) enum Requirement {
    /// What a digest names.
    Digest(DigestCheck),
    /// At least one byte.
    NotEmpty,
}

/// How a body fails to be it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The digest names something else.
    Digest(DigestMismatch),
    /// There is not one byte.
    Empty,
}

impl Requirement {
    /// The verdict over a body without any bytes.
    pub(crate) fn judge_empty(self) -> Result<(), Unfit> {
        self.finish(0)
    }

    fn update(&mut self, piece: &[u8]) {
        if let Self::Digest(check) = self {
            check.update(piece);
        }
    }

    fn finish(self, bytes: u64) -> Result<(), Unfit> {
        match self {
            Self::Digest(check) => check.finish().map_err(Unfit::Digest),
            Self::NotEmpty if bytes == 0 => Err(Unfit::Empty),
            Self::NotEmpty => Ok(()),
        }
    }
}

/// A body under a requirement.
#[derive(Debug)]
pub(crate) struct CheckedBody<B> {
    inner: B,
    held: Option<Bytes>,
    bytes: u64,
    stage: Stage,
    verdict: watch::Sender<Option<Result<(), Unfit>>>,
}

#[derive(Debug)]
enum Stage {
    /// There may be more.
    Open(Requirement),
    /// It fits; what is held may go.
    Fit,
    /// It does not, or it broke off.
    Failed,
}

/// What came of the check, for whoever answers the client.
#[derive(Clone, Debug)]
pub(crate) struct Verdict(watch::Receiver<Option<Result<(), Unfit>>>);

impl<B> CheckedBody<B> {
    /// Puts `inner` under a requirement.
    pub(crate) fn new(inner: B, requirement: Requirement) -> (Self, Verdict) {
        let (verdict, receiver) = watch::channel(None);
        let body = Self { inner, held: None, bytes: 0, stage: Stage::Open(requirement), verdict };
        (body, Verdict(receiver))
    }

    fn judge(&mut self) -> Result<(), Unfit> {
        let judged = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Open(requirement) => requirement.finish(self.bytes),
            // Asked once only.
            Stage::Fit | Stage::Failed => Ok(()),
        };
        if judged.is_ok() {
            self.stage = Stage::Fit;
        } else {
            self.held = None;
        }
        self.verdict.send_replace(Some(judged.clone()));
        judged
    }
}

impl Verdict {
    /// Why the body is unfit, if that is known by now.
    pub(crate) fn unfit(&self) -> Option<Unfit> {
        self.0.borrow().as_ref().and_then(|judged| judged.clone().err())
    }

    /// Waits for the verdict; `None` when there will be none, since the body was given up before its end.
    pub(crate) async fn decided(&mut self) -> Option<Result<(), Unfit>> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|judged| judged.clone())
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for CheckedBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            let requirement = match &mut this.stage {
                Stage::Open(requirement) => requirement,
                Stage::Fit => return Poll::Ready(this.held.take().map(|data| Ok(Frame::data(data)))),
                Stage::Failed => return Poll::Ready(Some(Err(BodyError::Unfit))),
            };
            match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                Some(Ok(frame)) => {
                    // An empty piece held back would be none.
                    let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) else { continue };
                    this.bytes += data.len() as u64;
                    requirement.update(&data);
                    if let Some(earlier) = this.held.replace(data) {
                        return Poll::Ready(Some(Ok(Frame::data(earlier))));
                    }
                }
                Some(Err(error)) => {
                    this.stage = Stage::Failed;
                    this.held = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    if this.judge().is_err() {
                        return Poll::Ready(Some(Err(BodyError::Unfit)));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // Never what the inner body says of itself: its end is not ours before the verdict.
        matches!(self.stage, Stage::Fit) && self.held.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, |data| data.len() as u64);
        let mut hint = self.inner.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + held);
        }
        hint.set_lower(hint.lower() + held);
        hint
    }
}

#[cfg(test)]
mod tests;
