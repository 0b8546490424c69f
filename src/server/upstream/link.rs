//! One connection to an upstream as a request has it: a whole one that speaks HTTP/1.1, or a stream of one that speaks HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::http2;
use super::io::SurvivingWrites;
use super::socket::Socket;
use crate::server::alarm::Alarm;
use crate::server::body::RequestBody;

/// How long a connection whose response has been read may take to notice it.
const SETTLE: Duration = Duration::from_secs(1);

/// What a request is sent over. Dropping it ends whatever is under way: it closes the socket, or resets the stream. That is what keeps a
/// broken upload from being completed upstream.
#[derive(Debug)]
pub(super) enum Link {
    /// A connection of its own.
    Http1(Connection),
    /// A stream of a connection that others share.
    Http2(http2::Stream),
}

/// What became of a request.
pub(super) enum Exchange {
    /// The head of the response came.
    Answered(Response<Incoming>, Link),
    /// Nothing of the request was written; here it is again.
    Unsent(Request<RequestBody>),
    /// The connection ended, or failed, before the head of the response.
    Unanswered(hyper::Error),
}

impl Link {
    /// Sends one request and waits for the head of its response.
    pub(super) async fn exchange(self, request: Request<RequestBody>) -> Exchange {
        match self {
            Self::Http1(connection) => connection.exchange(request).await,
            Self::Http2(stream) => stream.exchange(request).await,
        }
    }

    /// The timer of whatever is awaited over it.
    pub(super) fn alarm(&mut self) -> &mut Alarm {
        match self {
            Self::Http1(connection) => &mut connection.alarm,
            Self::Http2(stream) => stream.alarm(),
        }
    }

    /// Whether it is a stream of a shared connection.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

/// An open connection that speaks HTTP/1.1. Dropping it closes the socket at once, whatever is under way.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    driver: AbortHandle,
    broken: Arc<AtomicBool>,
    alarm: Alarm,
}

impl Connection {
    /// Opens the protocol over a connected socket.
    pub(super) async fn open(socket: Socket) -> std::io::Result<Self> {
        let io = SurvivingWrites::new(socket);
        let broken = io.broken();
        let (sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(io)).await.map_err(std::io::Error::other)?;
        // How a connection ends is seen by the request that uses it, or by nobody.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self { sender, driver, broken, alarm: Alarm::default() })
    }

    async fn exchange(mut self, request: Request<RequestBody>) -> Exchange {
        match self.sender.try_send_request(request).await {
            Ok(response) => Exchange::Answered(response, Link::Http1(self)),
            Err(mut failed) => match failed.take_message() {
                Some(request) => Exchange::Unsent(request),
                None => Exchange::Unanswered(failed.into_error()),
            },
        }
    }

    /// Whether the peer has closed, or a write has failed.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.broken.load(Ordering::Relaxed)
    }

    /// Waits until another request can be sent; false when there will be no other.
    pub(super) async fn is_ready(&mut self) -> bool {
        if self.is_closed() {
            return false;
        }
        let first = std::future::poll_fn(|context| Poll::Ready(self.sender.poll_ready(context))).await;
        match first {
            Poll::Ready(ready) => ready.is_ok(),
            Poll::Pending => matches!(tokio::time::timeout(SETTLE, self.sender.ready()).await, Ok(Ok(()))),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
