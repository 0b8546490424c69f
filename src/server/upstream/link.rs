//! One connection to an upstream as a request has it: a whole one that speaks HTTP/1.1, or a stream of one that speaks HTTP/2.

use http::{Request, Response};
use hyper::body::Incoming;

use super::error::LinkError;
use super::{http1, http2};
use crate::server::alarm::Alarm;
use crate::server::body::RequestBody;

/// What a request is sent over. Dropping it ends whatever is under way: it closes the socket, or resets the stream. That is what keeps a
/// broken upload from being completed upstream.
#[derive(Debug)]
pub(super) enum Link {
    /// A connection of its own.
    Http1(Box<http1::Connection>),
    /// A stream of a connection that others share.
    Http2(http2::Stream),
}

/// What became of a request.
pub(super) enum Exchange {
    /// The head of the response came.
    Answered {
        /// Its body is read from the link where the library does not bring one.
        response: Response<Option<Incoming>>,
        link: Link,
        /// The request, if it can be sent once more as it was.
        again: Option<Box<Request<RequestBody>>>,
    },
    /// Nothing of the request was written; here it is again.
    Unsent(Box<Request<RequestBody>>),
    /// The connection ended, or failed, before the head of the response.
    Unanswered {
        error: LinkError,
        /// The request, if it can be sent once more as it was.
        again: Option<Box<Request<RequestBody>>>,
    },
}

impl Link {
    /// Sends one request and waits for the head of its response.
    pub(super) async fn exchange(self, request: Box<Request<RequestBody>>) -> Exchange {
        match self {
            Self::Http1(connection) => connection.exchange(request).await,
            // Of a place of its own, so that most requests do not carry along what only some need.
            Self::Http2(stream) => Box::pin(stream.exchange(request)).await,
        }
    }

    /// The timer of whatever is awaited over it.
    pub(super) fn alarm(&mut self) -> &mut Alarm {
        match self {
            Self::Http1(connection) => connection.alarm(),
            Self::Http2(stream) => stream.alarm(),
        }
    }
}
