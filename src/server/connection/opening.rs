//! The beginning of a connection: TLS where it is spoken, and which HTTP.
//!
//! All of it has to be over by the same deadline as the first request, so that nobody can hold a connection by beginning it slowly.

use std::io;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::ConnectionSettings;
use super::channel::Channel;
use super::socket::Socket;
use crate::certificate::Certificate;
use crate::metrics::Handshake;
use crate::server::linger;
use crate::server::shutdown::ShutdownWatch;
use crate::server::stream::Stream;
use crate::server::tls::{self, Tls};

/// What a client of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of TLS: a handshake record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// What a client hears that speaks plain HTTP where TLS is spoken.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 59\r\n\
                            connection: close\r\n\r\nThis is an https port: a plain http request was sent to it\n";

/// A connection on which requests can come.
pub(super) struct Opened {
    pub(super) channel: Channel,
    pub(super) spoken: Spoken,
    /// What the client has shown.
    pub(super) certificate: Option<Arc<Certificate>>,
}

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
}

/// Opens it; `None` when it has ended instead.
pub(super) async fn open(
    stream: Stream,
    tls: Option<&Tls>,
    settings: &ConnectionSettings,
    deadline: Instant,
    shutdown: &mut ShutdownWatch,
) -> Option<Opened> {
    let mut socket = Socket::new(stream, settings.write_timeout);
    if let Some(tls) = tls {
        return secured(socket, tls, settings, deadline, shutdown).await;
    }
    let mut spoken = Spoken::Http1;
    if settings.http2.is_some() {
        socket =
            begun(socket, deadline, shutdown, |read| read.len() >= PREFACE.len() || !PREFACE.starts_with(read)).await?;
        if socket.ahead().starts_with(PREFACE) {
            spoken = Spoken::Http2;
        }
    }
    Some(Opened { channel: Channel::plain(socket), spoken, certificate: None })
}

async fn secured(
    socket: Socket,
    tls: &Tls,
    settings: &ConnectionSettings,
    deadline: Instant,
    shutdown: &mut ShutdownWatch,
) -> Option<Opened> {
    let socket = begun(socket, deadline, shutdown, |_| true).await?;
    if socket.ahead().first().is_some_and(u8::is_ascii_uppercase) {
        tracing::debug!("plain HTTP was spoken where TLS is");
        let mut channel = Channel::plain(socket);
        channel.last_word(PLAIN_HTTP);
        linger::close(channel, settings.linger).await;
        return None;
    }
    if socket.ahead().first().is_some_and(|&first| first != HANDSHAKE) {
        tracing::debug!("neither TLS nor HTTP was spoken");
        return None;
    }
    let handshake = TlsAcceptor::from(tls.config()).accept(socket).into_fallible();
    let count = |how| settings.metrics.iter().for_each(|metrics| metrics.handshake(how));
    let stream = match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => {
            count(Handshake::Done);
            stream
        }
        Ok(Err((error, socket))) => {
            tracing::debug!(%error, "a TLS handshake failed");
            count(Handshake::Failed);
            // The client shall hear why: rustls has sent an alert.
            linger::close(Channel::plain(socket), settings.linger).await;
            return None;
        }
        Err(_late) => {
            tracing::debug!("a TLS handshake took too long");
            count(Handshake::Timeout);
            return None;
        }
    };
    let (_, session) = stream.get_ref();
    let spoken = if session.alpn_protocol() == Some(tls::HTTP2) { Spoken::Http2 } else { Spoken::Http1 };
    // Verified by rustls; what cannot be read names nobody.
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.and_then(|der| Certificate::parse(der).ok()).map(Arc::new);
    Some(Opened { channel: Channel::tls(stream), spoken, certificate })
}

/// Reads ahead until it is `enough` to know what is spoken. `None`: the connection has ended instead, as idle ones do.
///
/// A client that has sent too little by the deadline, or has ended, is left to whoever reads what there is.
async fn begun(
    mut socket: Socket,
    deadline: Instant,
    shutdown: &mut ShutdownWatch,
    enough: impl Fn(&[u8]) -> bool,
) -> Option<Socket> {
    let told_to_end = async {
        shutdown.draining().await;
        // One turn for the runtime to hear of what the kernel holds already.
        tokio::task::yield_now().await;
    };
    let outcome = tokio::select! {
        biased;
        outcome = timeout_at(deadline, read_until(&mut socket, &enough)) => outcome.unwrap_or(Ok(())),
        () = told_to_end => Ok(()),
    };
    if outcome.is_err() {
        return None;
    }
    if socket.ahead().is_empty() {
        socket.finished();
        return None;
    }
    Some(socket)
}

async fn read_until(socket: &mut Socket, enough: &impl Fn(&[u8]) -> bool) -> io::Result<()> {
    loop {
        let before = socket.ahead().len();
        let read = socket.read_ahead().await?;
        if read.len() == before || enough(read) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PLAIN_HTTP;

    #[test]
    fn the_plain_answer_says_its_length() {
        let text = std::str::from_utf8(PLAIN_HTTP).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
