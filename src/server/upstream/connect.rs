//! From an address to a connection: its name looked up, a socket connected, TLS spoken where it is to be. Each phase has its bound.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::settings::Address;
use super::socket::Socket;
use super::tls::Tls;

/// Most addresses of one name that are tried.
const MOST: usize = 8;

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A connection, and what is to be spoken over it.
#[derive(Debug)]
pub(crate) struct Connected {
    /// The connection.
    pub(crate) socket: Socket,
    /// What the peer chose, or the settings say where it had no choice.
    pub(crate) protocol: Protocol,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The system said no.
    #[error("{0}")]
    Connect(io::Error),
    /// Nobody accepted within the bound.
    #[error("no connection was accepted within {0:?}")]
    ConnectTimeout(Duration),
    /// The TLS handshake failed.
    #[error("no TLS: {0}")]
    Handshake(io::Error),
    /// The TLS handshake took too long.
    #[error("the TLS handshake was not done within {0:?}")]
    HandshakeTimeout(Duration),
}

/// Makes connections to one address.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    place: Place,
    tls: Option<Arc<Tls>>,
    http2: bool,
    connect_timeout: Duration,
    handshake_timeout: Duration,
}

#[derive(Clone, Debug)]
enum Place {
    Ip(SocketAddr),
    Name(String, u16),
    Unix(PathBuf),
}

impl Connector {
    /// To this address.
    pub(crate) fn new(
        address: &Address,
        tls: Option<Arc<Tls>>,
        http2: bool,
        connect_timeout: Duration,
        handshake_timeout: Duration,
    ) -> Self {
        let place = match address {
            Address::Unix(path) => Place::Unix(path.clone()),
            Address::Tcp { host, port } => match host.parse() {
                Ok(ip) => Place::Ip(SocketAddr::new(ip, *port)),
                Err(_) => Place::Name(host.clone(), *port),
            },
        };
        Self { place, tls, http2, connect_timeout, handshake_timeout }
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Connected, ConnectError> {
        let stream = match &self.place {
            Place::Unix(path) => {
                let stream = self.in_time(UnixStream::connect(path)).await?;
                return Ok(Connected { socket: Socket::Unix(stream), protocol: self.prior_knowledge() });
            }
            Place::Ip(address) => self.in_time(TcpStream::connect(address)).await?,
            Place::Name(host, port) => self.by_name(host, *port).await?,
        };
        stream.set_nodelay(true).map_err(ConnectError::Connect)?;
        match &self.tls {
            None => Ok(Connected { socket: Socket::Tcp(stream), protocol: self.prior_knowledge() }),
            Some(tls) => self.secure(tls, stream).await,
        }
    }

    async fn secure(&self, tls: &Tls, stream: TcpStream) -> Result<Connected, ConnectError> {
        let name = match &self.place {
            Place::Ip(address) => tls.server_name(&address.ip().to_string()),
            Place::Name(host, _) => tls.server_name(host),
            Place::Unix(_) => tls.server_name(""),
        };
        let name = name.map_err(|error| ConnectError::Handshake(io::Error::other(error)))?;
        let handshake = TlsConnector::from(tls.config()).connect(name, stream);
        let stream = timeout(self.handshake_timeout, handshake)
            .await
            .map_err(|_| ConnectError::HandshakeTimeout(self.handshake_timeout))?
            .map_err(ConnectError::Handshake)?;
        let chosen = stream.get_ref().1.alpn_protocol();
        let protocol = if self.http2 && chosen == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
        Ok(Connected { socket: Socket::Tls(Box::new(stream)), protocol })
    }

    /// Tries the addresses of a name in the order of the resolver, each for its share of the time that is left.
    async fn by_name(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let deadline = Instant::now() + self.connect_timeout;
        let late = || ConnectError::ConnectTimeout(self.connect_timeout);
        let addresses = timeout_at(deadline, lookup_host((host, port))).await.map_err(|_| late())?;
        let addresses: Vec<SocketAddr> = addresses.map_err(ConnectError::Connect)?.take(MOST).collect();
        let mut last = None;
        for (index, address) in (0_u32..).zip(&addresses) {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(addresses.len()).unwrap_or(u32::MAX).saturating_sub(index).max(1);
            last = Some(match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => ConnectError::Connect(error),
                Err(_) => late(),
            });
        }
        let nothing = || ConnectError::Connect(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        Err(last.unwrap_or_else(nothing))
    }

    async fn in_time<T>(&self, connecting: impl Future<Output = io::Result<T>>) -> Result<T, ConnectError> {
        match timeout(self.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(ConnectError::Connect),
            Err(_) => Err(ConnectError::ConnectTimeout(self.connect_timeout)),
        }
    }

    fn prior_knowledge(&self) -> Protocol {
        if self.http2 { Protocol::Http2 } else { Protocol::Http1 }
    }
}
