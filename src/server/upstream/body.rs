//! The body of an upstream's response.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::link::Link;
use super::pool::Release;
use crate::server::body::BodyError;

/// Streams what the upstream sends, within the idle bound, and gives the connection back at its end. Dropped before its end, it closes
/// the connection.
#[derive(Debug)]
pub struct UpstreamBody {
    source: Source,
    limit: Duration,
    moved: Instant,
}

#[derive(Debug)]
enum Source {
    /// What is still to come over a connection. Over HTTP/2, the library brings it.
    Open(Release, Option<Incoming>),
    /// It has come to its end.
    Ended,
    /// It has broken off. Why, is told once.
    Failed(Option<BodyError>),
}

impl UpstreamBody {
    pub(super) fn new(incoming: Option<Incoming>, release: Release, limit: Duration) -> Self {
        // The answer may be there before the request is: it then goes on as long as this lives.
        let is_sent = release.is_sent();
        let mut body = Self { source: Source::Open(release, incoming), limit, moved: Instant::now() };
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
        let (release, incoming) = match &mut this.source {
            Source::Open(release, incoming) => (release, incoming),
            Source::Ended => return Poll::Ready(None),
            Source::Failed(why) => return Poll::Ready(why.take().map(Err)),
        };
        let polled = match (release.link(), incoming) {
            (Link::Http1(connection), _) => connection.poll_data(context),
            (Link::Http2(_), Some(incoming)) => poll_stream(incoming, context),
            (Link::Http2(_), None) => Poll::Ready(None),
        };
        match polled {
            Poll::Ready(Some(Ok(data))) => {
                this.moved = Instant::now();
                this.release_at_end();
                Poll::Ready(Some(Ok(data)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(error, context),
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let deadline = this.moved + this.limit;
                if release.link().alarm().poll(context, deadline).is_ready() {
                    return this.fail(BodyError::Idle, context);
                }
                Poll::Pending
            }
        }
    }

    /// Waits for something that comes of the request while what is left of that is sent, which nobody else does before this is read.
    pub(crate) async fn while_sending<T>(&mut self, awaited: impl Future<Output = T>) -> T {
        let mut awaited = pin!(awaited);
        std::future::poll_fn(|context| {
            if let Source::Open(release, _) = &mut self.source
                && let Link::Http1(connection) = release.link()
            {
                let _ = connection.poll_sending(context);
            }
            awaited.as_mut().poll(context)
        })
        .await
    }

    /// Whether everything has been read.
    pub(crate) fn is_end(&self) -> bool {
        match &self.source {
            Source::Open(release, incoming) => is_over(release.shown(), incoming.as_ref()),
            Source::Ended => true,
            Source::Failed(_) => false,
        }
    }

    /// Its length, where the upstream said it.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Open(_, Some(incoming)) => incoming.size_hint(),
            Source::Open(release, None) => match release.shown() {
                Link::Http1(connection) => connection.size_hint(),
                Link::Http2(_) => SizeHint::default(),
            },
            Source::Ended => SizeHint::with_exact(0),
            Source::Failed(_) => SizeHint::default(),
        }
    }

    /// Closes the connection. The error is told in another turn, so that what came before it is on its way to the client.
    fn fail(&mut self, error: BodyError, context: &Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.source = Source::Failed(Some(error));
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn end(&mut self) {
        if let Source::Open(release, _) = std::mem::replace(&mut self.source, Source::Ended) {
            release.keep();
        }
    }

    fn release_at_end(&mut self) {
        if self.is_end() {
            self.end();
        }
    }
}

fn is_over(link: &Link, incoming: Option<&Incoming>) -> bool {
    match (link, incoming) {
        (_, Some(incoming)) => incoming.is_end_stream(),
        (Link::Http1(connection), None) => connection.is_over(),
        (Link::Http2(_), None) => true,
    }
}

/// The next piece over HTTP/2, where the end is marked, whatever was said of a length.
fn poll_stream(incoming: &mut Incoming, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
    loop {
        return match Pin::new(&mut *incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Poll::Ready(Some(Ok(data))),
                // Trailers end here.
                Err(_) => continue,
            },
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            // The library takes a reset without an error for an end (RST_STREAM with NO_ERROR).
            Poll::Ready(None) if !incoming.is_end_stream() => Poll::Ready(Some(Err(BodyError::CutOff))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        };
    }
}
