//! Accepting: listening sockets of either kind, before and after a runtime has them.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::unix::SocketFile;
use crate::server::stream::{PeerAddr, Stream};

/// A worker's handle of a listening socket. It does not block.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    /// The configured address that it is for, by position.
    pub(crate) address: usize,
    kind: Kind<std::net::TcpListener, StdUnixListener>,
    file: Option<Arc<SocketFile>>,
    /// Whether somebody else goes on listening when we end.
    kept: bool,
}

#[derive(Debug)]
enum Kind<T, U> {
    Tcp(T),
    Unix(U),
}

impl ListeningSocket {
    pub(super) fn tcp(socket: std::net::TcpListener) -> Self {
        Self { address: 0, kind: Kind::Tcp(socket), file: None, kept: false }
    }

    pub(super) fn unix(socket: StdUnixListener, file: Option<Arc<SocketFile>>) -> Self {
        Self { address: 0, kind: Kind::Unix(socket), file, kept: false }
    }

    /// The same for a socket that somebody else goes on listening on.
    pub(super) fn kept(self) -> Self {
        Self { kept: true, ..self }
    }

    #[cfg(test)]
    pub(super) fn as_tcp(&self) -> Option<&std::net::TcpListener> {
        match &self.kind {
            Kind::Tcp(socket) => Some(socket),
            Kind::Unix(_) => None,
        }
    }
}

/// A listening socket of the current runtime.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// The configured address that it is for, by position.
    pub(crate) address: usize,
    kind: Kind<TcpListener, UnixListener>,
    file: Option<Arc<SocketFile>>,
    kept: bool,
}

impl Acceptor {
    /// Gives a socket to the current runtime.
    pub(crate) fn new(socket: ListeningSocket) -> io::Result<Self> {
        let ListeningSocket { address, kind, file, kept } = socket;
        let kind = match kind {
            Kind::Tcp(socket) => Kind::Tcp(TcpListener::from_std(socket)?),
            Kind::Unix(socket) => Kind::Unix(UnixListener::from_std(socket)?),
        };
        Ok(Self { address, kind, file, kept })
    }

    /// Accepts a connection.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, PeerAddr)>> {
        Poll::Ready(match &self.kind {
            Kind::Tcp(socket) => ready!(socket.poll_accept(cx)).map(|(stream, peer)| (stream.into(), peer.into())),
            Kind::Unix(socket) => ready!(socket.poll_accept(cx)).map(|(stream, _)| (stream.into(), PeerAddr::Unix)),
        })
    }

    /// Ends listening, and yields the connections that the kernel has accepted already: closing the socket would reset them.
    pub(crate) fn close(self) -> Vec<(Stream, PeerAddr)> {
        if let Some(file) = &self.file {
            // Another worker may have a handle still; nobody shall come any more all the same.
            file.remove();
        }
        if self.kept {
            // Whoever listens on it next finds them there.
            return Vec::new();
        }
        // Asks the kernel itself: the runtime may not have heard of the latest ones. Any error ends it, mostly "would block".
        match self.kind {
            Kind::Tcp(socket) => {
                let Ok(socket) = socket.into_std() else { return Vec::new() };
                std::iter::from_fn(|| socket.accept().ok())
                    .filter_map(|(stream, peer)| {
                        stream.set_nonblocking(true).ok()?;
                        Some((TcpStream::from_std(stream).ok()?.into(), peer.into()))
                    })
                    .collect()
            }
            Kind::Unix(socket) => {
                let Ok(socket) = socket.into_std() else { return Vec::new() };
                std::iter::from_fn(|| socket.accept().ok())
                    .filter_map(|(stream, _)| {
                        stream.set_nonblocking(true).ok()?;
                        Some((UnixStream::from_std(stream).ok()?.into(), PeerAddr::Unix))
                    })
                    .collect()
            }
        }
    }
}
