//! What HTTP is spoken over: the client's socket, or TLS on it.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::socket::Socket;

/// An open connection, watched.
#[derive(Debug)]
pub(crate) struct Channel {
    io: Io,
    activity: Arc<Activity>,
    /// What was read and put back.
    unread: Vec<u8>,
    eof: bool,
    failed: bool,
}

#[derive(Debug)]
enum Io {
    Plain(Socket),
    // Large, and most connections of a gateway behind a proxy are plain.
    Tls(Box<TlsStream<Socket>>),
}

impl Channel {
    pub(crate) fn plain(socket: Socket) -> Self {
        Self::new(Io::Plain(socket))
    }

    pub(crate) fn tls(stream: TlsStream<Socket>) -> Self {
        Self::new(Io::Tls(Box::new(stream)))
    }

    fn new(io: Io) -> Self {
        Self { io, activity: Arc::default(), unread: Vec::new(), eof: false, failed: false }
    }

    /// What is done with it.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// The socket, below any TLS.
    pub(crate) fn socket(&mut self) -> &mut Socket {
        match &mut self.io {
            Io::Plain(socket) => socket,
            Io::Tls(stream) => stream.get_mut().0,
        }
    }

    /// Puts back what was read: it is read next.
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        self.unread.splice(..0, bytes.iter().copied());
    }

    /// Waits until there is something to read, or the end.
    pub(crate) async fn readable(&mut self) -> io::Result<()> {
        if !self.unread.is_empty() {
            return Ok(());
        }
        self.socket().readable().await
    }

    /// Whether the client has said that it will send nothing more.
    pub(crate) fn saw_eof(&mut self) -> bool {
        self.eof || self.socket().saw_eof()
    }

    /// Whether it broke: an error of the socket, a time-out, or something that is no TLS.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Everything that had to be sent was sent: from here on, closing is orderly.
    pub(crate) fn finished(&mut self) {
        self.socket().finished();
    }

    /// Closes it where there is nothing that the client would miss, and says so in TLS.
    pub(crate) async fn close(&mut self) {
        self.finished();
        if let Io::Tls(stream) = &mut self.io {
            // A client that does not hear it learns the same from the end of the connection.
            let _ = stream.shutdown().await;
        }
    }

    /// Writes a short last word if that is possible without waiting and without falling into an earlier answer.
    pub(crate) fn last_word(&mut self, message: &[u8]) {
        match &mut self.io {
            Io::Plain(socket) => drop(socket.try_write(message)),
            Io::Tls(stream) => {
                let (socket, session) = stream.get_mut();
                if !session.wants_write() && session.writer().write_all(message).is_ok() {
                    // A client that does not hear it learns the same from the end of the connection.
                    while session.wants_write() && session.write_tls(&mut AtOnce(socket)).is_ok() {}
                }
            }
        }
    }

    fn written(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(outcome, Poll::Ready(Ok(_))) {
            self.activity.bytes_left();
        }
        self.activity.unsent(outcome.is_pending());
        self.noted(outcome)
    }

    fn noted<T>(&mut self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.failed |= matches!(outcome, Poll::Ready(Err(_)));
        outcome
    }
}

/// Writes what can be written without waiting; what cannot is an error.
struct AtOnce<'a>(&'a Socket);

impl io::Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Channel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.unread.is_empty() {
            let length = this.unread.len().min(buf.remaining());
            buf.put_slice(&this.unread[..length]);
            this.unread.drain(..length);
            this.activity.bytes_arrived();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let mut outcome = match &mut this.io {
            Io::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if let Poll::Ready(Err(error)) = &outcome
            && error.kind() == io::ErrorKind::UnexpectedEof
        {
            // Many clients end without saying so in TLS. Requests tell their length, so none is taken for whole because of it.
            outcome = Poll::Ready(Ok(()));
        }
        if matches!(outcome, Poll::Ready(Ok(()))) {
            if buf.filled().len() > before {
                this.activity.bytes_arrived();
            } else if buf.remaining() > 0 {
                this.eof = true;
            }
        }
        this.noted(outcome)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = match &mut this.io {
            Io::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        this.written(outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = match &mut this.io {
            Io::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        this.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(socket) => socket.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = match &mut this.io {
            Io::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        // Of what TLS has taken, some may not have been written yet.
        this.activity.unsent(outcome.is_pending());
        this.noted(outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().io {
            Io::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
