//! A request on its way out over HTTP/1.1.
//!
//! An upstream that rejects an upload answers and closes while the body is still being written. A write that then fails ends the
//! sending, and not the exchange: the answer may wait to be read.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::Request;
use http_body::Body as _;
use tokio::io::AsyncWrite as _;

use super::head::{self, Framing};
use super::piece::Piece;
use crate::server::body::RequestBody;
use crate::server::upstream::error::LinkError;
use crate::server::upstream::socket::Socket;

/// After so many bytes, other requests have their turn, and what has come of an answer is heard.
const TURN: usize = 1024 * 1024;

const CHUNK_END: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const CHUNK_END_AND_LAST: &[u8] = b"\r\n0\r\n\r\n";

/// What has to be written yet. It goes out in the order of its fields.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The head, or the size of a chunk.
    front: BytesMut,
    /// A piece of the body.
    piece: Piece,
    /// What ends a chunk.
    end: &'static [u8],
    /// Whether there is more of the body.
    more: bool,
    framing: Framing,
    /// Whether nothing of the body was asked for.
    is_untouched: bool,
    /// Whether nothing was written.
    is_unsent: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Something is to be written, or to be flushed.
    Open,
    /// All of it was written.
    Sent,
    /// The peer takes no more.
    Refused,
    /// There will not be all of it.
    Broken,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            front: BytesMut::new(),
            piece: Piece::default(),
            end: b"",
            more: false,
            framing: Framing::Nothing,
            is_untouched: true,
            is_unsent: true,
            state: State::Sent,
        }
    }
}

impl Outgoing {
    /// Begins a request.
    pub(super) fn begin(&mut self, request: &Request<RequestBody>) {
        let body = request.body();
        self.framing = match body.size_hint().exact() {
            _ if body.is_end_stream() => Framing::Nothing,
            Some(length) => Framing::Length(length),
            None => Framing::Chunks,
        };
        self.front.clear();
        head::write(&mut self.front, request, self.framing);
        self.more = self.framing != Framing::Nothing;
        (self.is_untouched, self.is_unsent, self.state) = (true, true, State::Open);
    }

    /// Whether the request can be sent once more as it was.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_untouched && (self.has_no_body() || self.is_unsent)
    }

    /// Whether its head is all of it.
    pub(super) fn has_no_body(&self) -> bool {
        self.framing == Framing::Nothing
    }

    /// Whether nothing of it was written.
    pub(super) fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// Whether all of it was written.
    pub(super) fn is_sent(&self) -> bool {
        self.state == State::Sent
    }

    /// Gives back the memory that only a long body needs.
    pub(super) fn rest(&mut self) {
        self.piece.rest();
    }

    /// Writes what can be written; `body` is that of the request. Ready when all of it was, when the peer takes no more, or with the
    /// reason why there will not be all of it.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut Socket,
        body: Option<&mut RequestBody>,
    ) -> Poll<Result<(), LinkError>> {
        if self.state != State::Open {
            return Poll::Ready(Ok(()));
        }
        self.state = match ready!(self.write_all(context, socket, body)) {
            Ok(()) => State::Sent,
            Err(LinkError::Io(error)) if is_closed(&error) => State::Refused,
            Err(error) => {
                // Whoever polls it all the same must not end what has broken off.
                self.state = State::Broken;
                return Poll::Ready(Err(error));
            }
        };
        Poll::Ready(Ok(()))
    }

    fn write_all(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut Socket,
        mut body: Option<&mut RequestBody>,
    ) -> Poll<Result<(), LinkError>> {
        let mut in_turn = 0;
        loop {
            if in_turn >= TURN {
                // That is ready after the runtime has looked at its sockets.
                let _ = pin!(tokio::task::yield_now()).poll(context);
                return Poll::Pending;
            }
            // What comes of the body at once goes with what stands before it.
            let is_whole = self.poll_body(context, body.as_deref_mut())?.is_ready();
            if self.is_written() {
                ready!(Pin::new(&mut *socket).poll_flush(context)).map_err(LinkError::Io)?;
                return if is_whole { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            let written = match (self.front.is_empty(), self.piece.is_empty(), self.end.is_empty()) {
                (_, true, true) => Pin::new(&mut *socket).poll_write(context, &self.front),
                (true, _, true) => Pin::new(&mut *socket).poll_write(context, &self.piece),
                _ => {
                    let parts = [IoSlice::new(&self.front), IoSlice::new(&self.piece), IoSlice::new(self.end)];
                    Pin::new(&mut *socket).poll_write_vectored(context, &parts)
                }
            };
            if written.is_pending() {
                self.piece.keep();
            }
            match ready!(written).map_err(LinkError::Io)? {
                0 => return Poll::Ready(Err(LinkError::Io(io::ErrorKind::BrokenPipe.into()))),
                count => {
                    in_turn += count;
                    self.advance(count);
                }
            }
        }
    }

    fn is_written(&self) -> bool {
        self.front.is_empty() && self.piece.is_empty() && self.end.is_empty()
    }

    fn advance(&mut self, count: usize) {
        self.is_unsent = false;
        let of_front = count.min(self.front.len());
        self.front.advance(of_front);
        let of_piece = (count - of_front).min(self.piece.len());
        self.piece.advance(of_piece);
        self.end = &self.end[(count - of_front - of_piece).min(self.end.len())..];
    }

    /// Takes the next piece, once the one before has been written. Ready when there is nothing more to take.
    fn poll_body(&mut self, context: &mut Context<'_>, body: Option<&mut RequestBody>) -> Poll<Result<(), LinkError>> {
        if !self.more {
            return Poll::Ready(Ok(()));
        }
        let Some(body) = body else { return Poll::Ready(Err(LinkError::Length)) };
        while self.more && self.piece.is_empty() && self.end.is_empty() {
            self.is_untouched = false;
            let data = match ready!(Pin::new(&mut *body).poll_frame(context)) {
                None => None,
                // Trailers end here.
                Some(Ok(frame)) => Some(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Poll::Ready(Err(LinkError::Request(error))),
            };
            self.more = data.is_some() && !body.is_end_stream();
            self.put(data.unwrap_or_default(), !self.more)?;
        }
        if self.more { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn put(&mut self, data: Bytes, is_last: bool) -> Result<(), LinkError> {
        match &mut self.framing {
            Framing::Length(left) => {
                let length = data.len() as u64;
                if length > *left || is_last && length < *left {
                    return Err(LinkError::Length);
                }
                *left -= length;
            }
            Framing::Chunks if data.is_empty() => self.end = if is_last { LAST_CHUNK } else { b"" },
            Framing::Chunks => {
                self.front.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                self.end = if is_last { CHUNK_END_AND_LAST } else { CHUNK_END };
            }
            Framing::Nothing => {}
        }
        self.piece.set(data);
        Ok(())
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
