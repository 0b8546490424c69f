//! A server on a real socket around a closure, and a client that speaks raw bytes.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tower_service::Service;

use super::{ConnectionInfo, ConnectionSettings, Inbound};
use crate::server::linger::LingerSettings;
use crate::server::listener::Listeners;
use crate::server::shutdown::Shutdown;
use crate::server::worker::Workers;

/// Long enough for the slowest machine; reached only by a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Time-outs that no test reaches; each test shortens the one it is about.
pub(crate) fn patient() -> ConnectionSettings {
    ConnectionSettings {
        header_timeout: PATIENCE * 2,
        idle_timeout: PATIENCE * 2,
        write_timeout: PATIENCE * 2,
        linger: LingerSettings { total: PATIENCE * 2, quiet: PATIENCE * 2, bytes: u64::MAX },
        ..ConnectionSettings::default()
    }
}

pub(crate) type TestBody = BoxBody<Bytes, std::io::Error>;

pub(crate) fn text(content: impl Into<Bytes>) -> Response<TestBody> {
    Response::new(Full::new(content.into()).map_err(|never| match never {}).boxed())
}

/// A response whose body is what the test sends, as long as the sender lives.
pub(crate) fn streamed() -> (mpsc::UnboundedSender<std::io::Result<Bytes>>, Response<TestBody>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Response::new(Streamed(receiver).boxed()))
}

struct Streamed(mpsc::UnboundedReceiver<std::io::Result<Bytes>>);

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(cx).map(|item| item.map(|data| data.map(Frame::data)))
    }
}

/// A closure as a service.
#[derive(Clone)]
pub(crate) struct Handler<F>(pub(crate) F);

impl<F, R> Service<Request<Inbound>> for Handler<F>
where
    F: FnMut(Request<Inbound>) -> R,
    R: Future<Output = Response<TestBody>> + Send + 'static,
{
    type Response = Response<TestBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<TestBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Inbound>) -> Self::Future {
        let answer = (self.0)(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// A server with one worker on loopback; dropped, it is cut.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) workers: Workers,
}

impl TestServer {
    pub(crate) fn start<F, R>(settings: ConnectionSettings, handler: F) -> Self
    where
        F: FnMut(Request<Inbound>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<TestBody>> + Send + 'static,
    {
        let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], NonZeroUsize::MIN).unwrap();
        let address = listeners.local_addrs()[0];
        let shutdown = Shutdown::new();
        let workers = Workers::start("test", listeners, settings, &shutdown, move |_| {
            let handler = handler.clone();
            move |_: &ConnectionInfo| Handler(handler.clone())
        })
        .unwrap();
        Self { address, shutdown, workers }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// What a client hears, until the end, that sends `request` and then only listens.
    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.rest().await.unwrap()
    }

    /// Waits until the workers have ended.
    pub(crate) async fn ended(&mut self) {
        within(self.workers.all_ended()).await;
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.cut();
    }
}

/// A client of raw bytes.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads until what came ends with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(end.as_bytes()) {
            let byte = within(self.0.read_u8()).await;
            heard.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&heard))));
        }
        String::from_utf8(heard).unwrap()
    }

    /// Reads until the connection ends; an error where it is reset.
    pub(crate) async fn rest(&mut self) -> std::io::Result<String> {
        let mut heard = Vec::new();
        within(self.0.read_to_end(&mut heard)).await?;
        Ok(String::from_utf8(heard).unwrap())
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}
