//! A connection to an upstream that speaks HTTP/1.1 (RFC 9112), one request at a time.
//!
//! It has no task of its own: whoever waits for the answer, or reads it, moves both directions on. So a small request is written and
//! answered without a word between tasks, and pieces of a body go from socket to socket within one turn. Dropping it closes the socket
//! at once, whatever is under way: that is what keeps a broken upload from being completed upstream.

mod content;
mod head;
mod outgoing;
mod piece;
mod reader;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response};
use http_body::SizeHint;
use hyper::body::Incoming;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, ReadBuf};

use super::error::LinkError;
use super::link::{Exchange, Link};
use super::socket::Socket;
use crate::server::alarm::Alarm;
use crate::server::body::{BodyError, RequestBody};
use outgoing::Outgoing;
pub use reader::{ReadError, ResponseReader};

/// What is read at once at first, and what a connection keeps between requests.
const LEAST_READ: usize = 8 * 1024;
/// What is read at once of a long body: each read that was filled doubles it. With 128 KiB a GiB was
/// measured to cost half as much again.
const MOST_READ: usize = 512 * 1024;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    /// What is under way, as long as it may be sent once more, or something of it is still to be sent.
    request: Option<Box<Request<RequestBody>>>,
    method: Method,
    outgoing: Outgoing,
    reader: ResponseReader,
    /// Where more is read into.
    buffer: BytesMut,
    /// Another, of which a piece may still be on its way to the client.
    lent: BytesMut,
    read_at_once: usize,
    alarm: Alarm,
}

impl Connection {
    /// Speaks over a connected socket.
    pub(super) fn new(socket: Socket) -> Box<Self> {
        Box::new(Self {
            socket,
            request: None,
            method: Method::GET,
            outgoing: Outgoing::default(),
            reader: ResponseReader::default(),
            buffer: BytesMut::new(),
            lent: BytesMut::new(),
            read_at_once: LEAST_READ,
            alarm: Alarm::default(),
        })
    }

    /// The timer of whatever is awaited over it.
    pub(super) fn alarm(&mut self) -> &mut Alarm {
        &mut self.alarm
    }

    /// Sends one request and waits for the head of its response.
    pub(super) async fn exchange(mut self: Box<Self>, request: Box<Request<RequestBody>>) -> Exchange {
        self.outgoing.begin(&request);
        self.method.clone_from(request.method());
        self.request = Some(request);
        let answer = poll_fn(|context| self.poll_answer(context)).await;
        match answer {
            Ok(response) => {
                // With a body, it goes on.
                let again = self.request.take_if(|_| self.outgoing.has_no_body());
                Exchange::Answered { response, link: Link::Http1(self), again }
            }
            Err(error) => match self.request.take_if(|_| self.outgoing.is_untouched()) {
                Some(request) if self.outgoing.is_unsent() => Exchange::Unsent(request),
                again => Exchange::Unanswered { error, again },
            },
        }
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<Option<Incoming>>, LinkError>> {
        let is_begun = !self.outgoing.is_unsent();
        if is_begun {
            // An answer may come before all has been sent, and is worth more than the rest.
            let answer = self.poll_head(context);
            if answer.is_ready() {
                return answer;
            }
        }
        if let Poll::Ready(Err(error)) = self.poll_send(context) {
            return Poll::Ready(Err(error));
        }
        if is_begun { Poll::Pending } else { self.poll_head(context) }
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<Option<Incoming>>, LinkError>> {
        loop {
            if let Some(response) = self.reader.head(&self.method).map_err(LinkError::NoHttp)? {
                return Poll::Ready(Ok(response.map(|()| None)));
            }
            if ready!(self.poll_read(context)).map_err(LinkError::Io)? == 0 {
                return Poll::Ready(Err(LinkError::Ended));
            }
        }
    }

    /// The next piece of the answer's body, or its end. What is left of the request is sent meanwhile.
    pub(super) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Poll::Ready(Err(error)) = self.poll_send(context) {
            return Poll::Ready(Some(Err(error.into())));
        }
        loop {
            match self.reader.data() {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(None) if self.reader.is_over() => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(LinkError::NoHttp(error).into()))),
            }
            match ready!(self.poll_read(context)) {
                Ok(0) => return Poll::Ready(Some(Err(BodyError::CutOff))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(LinkError::Io(error).into()))),
            }
        }
    }

    /// Sends what is left of the request, and is never ready before that is done or cannot be.
    pub(super) fn poll_sending(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_send(context).map(drop)
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let body = self.request.as_mut().map(|request| request.body_mut());
        let sent = self.outgoing.poll(context, &mut self.socket, body);
        if matches!(sent, Poll::Ready(Err(_))) && !self.outgoing.is_untouched() {
            // Whoever waits for its end hears that there is none.
            self.request = None;
        }
        sent
    }

    /// Whether all of the answer has been taken.
    pub(super) fn is_over(&self) -> bool {
        self.reader.is_over()
    }

    /// What is known of how much is left of the answer's body.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.reader.size_hint()
    }

    /// Whether another request may follow the one that was: both were whole, and nothing came that nobody has asked for.
    pub(super) fn may_be_kept(&self) -> bool {
        self.reader.may_go_on() && self.outgoing.is_sent()
    }

    /// Gives back the memory that only a long body needs.
    pub(super) fn rest(&mut self) {
        self.request = None;
        self.outgoing.rest();
        if self.read_at_once > LEAST_READ {
            self.read_at_once = LEAST_READ;
            self.buffer = BytesMut::new();
            self.lent = BytesMut::new();
        }
    }

    /// Makes room for a read, where there is room already if there can be: new memory has to be got from the system.
    fn make_room(&mut self) {
        if self.buffer.try_reclaim(self.read_at_once) {
            return;
        }
        if self.buffer.is_empty() {
            std::mem::swap(&mut self.lent, &mut self.buffer);
        }
        self.buffer.reserve(self.read_at_once);
    }

    /// Whether the peer has been silent since the last answer, as far as the runtime has heard. An end, or anything else that comes
    /// between two requests, is no answer to the next.
    pub(super) fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.socket).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Reads more behind what is held.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.extend_from_slice(&self.reader.rest());
        self.make_room();
        let read = pin!(self.socket.read_buf(&mut self.buffer)).poll(context);
        if matches!(read, Poll::Ready(Ok(count)) if count >= self.read_at_once) {
            self.read_at_once = (2 * self.read_at_once).min(MOST_READ);
        }
        if !self.buffer.is_empty() {
            self.reader.push(self.buffer.split().freeze());
        }
        read
    }
}

#[cfg(test)]
mod tests;
