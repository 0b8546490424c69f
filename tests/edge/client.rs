//! Clients: TLS by rustls, HTTP by hyper.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::pki::{Authority, Issued};

/// Long enough for the slowest machine; reached only by a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Both protocols, as most clients offer them.
pub(crate) const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];
/// HTTP/1.1 alone.
pub(crate) const HTTP1: &[&[u8]] = &[b"http/1.1"];

/// How a client connects.
#[derive(Clone)]
pub(crate) struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    port: u16,
}

/// What a client is made of.
pub(crate) struct Settings<'a> {
    pub(crate) port: u16,
    pub(crate) trusts: &'a Authority,
    /// The name that it asks for.
    pub(crate) name: &'static str,
    pub(crate) certificate: Option<&'a Issued>,
    pub(crate) alpn: &'a [&'a [u8]],
    pub(crate) versions: &'a [&'static SupportedProtocolVersion],
}

impl<'a> Settings<'a> {
    /// As `gw.example`, with everything that rustls offers.
    pub(crate) fn new(port: u16, trusts: &'a Authority) -> Self {
        Self { port, trusts, name: "gw.example", certificate: None, alpn: BOTH, versions: rustls::ALL_VERSIONS }
    }

    pub(crate) fn client(&self) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusts.certificate()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                builder.with_client_auth_cert(vec![issued.certificate.clone()], issued.private_key()).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        Client { config: Arc::new(config), name: self.name.try_into().unwrap(), port: self.port }
    }
}

impl Client {
    /// A connection after the handshake. With TLS 1.3 the server may still refuse the client's certificate, or its lack.
    pub(crate) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = within(TcpStream::connect(("127.0.0.1", self.port))).await?;
        within(TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream)).await
    }

    /// A connection that speaks what was agreed on.
    pub(crate) async fn open(&self) -> io::Result<Open> {
        let stream = self.connect().await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        if is_http2 { Open::http2(stream).await } else { Open::http1(stream).await }
    }

    /// One request over a connection of its own.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> io::Result<Response<Bytes>> {
        self.open().await?.ask(request).await
    }

    /// The same for one that is answered.
    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.ask(get(path)).await.unwrap()
    }
}

/// An open connection.
pub(crate) enum Open {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Open {
    pub(crate) async fn http1<T>(stream: T) -> io::Result<Self>
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = within(http1::handshake(TokioIo::new(stream))).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    pub(crate) async fn http2<T>(stream: T) -> io::Result<Self>
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let opened = within(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await;
        let (sender, connection) = opened.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self::Http2(sender))
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Asks, and reads the answer to its end.
    pub(crate) async fn ask(&mut self, mut request: Request<Full<Bytes>>) -> io::Result<Response<Bytes>> {
        let response = match self {
            Self::Http1(sender) => {
                let host = request.uri().authority().unwrap().as_str().parse().unwrap();
                request.headers_mut().entry("host").or_insert(host);
                *request.uri_mut() = request.uri().path_and_query().unwrap().as_str().parse().unwrap();
                within(async {
                    sender.ready().await?;
                    sender.send_request(request).await
                })
                .await
            }
            Self::Http2(sender) => {
                within(async {
                    sender.ready().await?;
                    sender.send_request(request).await
                })
                .await
            }
        };
        let (head, body) = response.map_err(io::Error::other)?.into_parts();
        let body = within(body.collect()).await.map_err(io::Error::other)?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

/// GET of a path, from `gw.example`.
pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    request("GET", path, "")
}

/// A request to `gw.example`.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    Request::builder().method(method).uri(format!("https://gw.example{path}")).body(body).unwrap()
}

/// The same with Basic credentials.
pub(crate) fn as_user<T>(mut request: Request<T>, (user, password): (&str, &str)) -> Request<T> {
    let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    request.headers_mut().insert("authorization", value.parse().unwrap());
    request
}

/// The value of a header.
pub(crate) fn header<'a, T>(response: &'a Response<T>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}
