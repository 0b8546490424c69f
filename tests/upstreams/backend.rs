//! An upstream by the HTTP library, for what cannot be spoken by hand: TLS, HTTP/2, Unix sockets.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// A body of an answer.
pub(crate) type AnswerBody = BoxBody<Bytes, std::io::Error>;
/// An answer under way.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Response<AnswerBody>> + Send>>;
type Answer = dyn Fn(Request<Incoming>, Arc<Seen>) -> Answering + Send + Sync;

/// What a request looked like.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The protocol.
    pub(crate) version: Version,
    /// `Host`, or `:authority`.
    pub(crate) host: String,
    /// The connection that it came over.
    pub(crate) connection: usize,
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Seen {
    records: Mutex<Vec<Record>>,
    /// Of each body: its length, and whether it was whole.
    bodies: Mutex<Vec<(usize, bool)>>,
    connections: AtomicUsize,
    /// Names that clients asked for (SNI), and how many certificates they showed.
    handshakes: Mutex<Vec<(Option<String>, usize)>>,
}

impl Seen {
    /// Reads a body, and notes how it ended.
    pub(crate) async fn read(&self, mut body: Incoming) -> bool {
        let mut length = 0;
        let whole = loop {
            match body.frame().await {
                Some(Ok(frame)) => length += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        self.bodies.lock().unwrap().push((length, whole));
        whole
    }
}

/// A running upstream, which ends when dropped.
pub(crate) struct Backend {
    /// Its port, if it has one.
    pub(crate) port: u16,
    seen: Arc<Seen>,
    /// None once it has been dropped.
    runtime: Option<Runtime>,
}

/// What it speaks.
#[derive(Clone)]
pub(crate) enum Speaks {
    /// HTTP/1.1 in cleartext.
    Plain,
    /// HTTP/2 in cleartext.
    Http2,
    /// TLS, and in it what ALPN says.
    Tls(Arc<ServerConfig>),
}

impl Backend {
    /// Listens on a port of 127.0.0.1.
    pub(crate) fn start(
        speaks: Speaks,
        answer: impl Fn(Request<Incoming>, Arc<Seen>) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let (runtime, seen, answer) = (runtime(), Arc::new(Seen::default()), Arc::new(answer) as Arc<Answer>);
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let noted = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (speaks, answer, seen) = (speaks.clone(), Arc::clone(&answer), Arc::clone(&noted));
                tokio::spawn(async move {
                    match speaks {
                        Speaks::Plain => serve(stream, false, answer, seen).await,
                        Speaks::Http2 => serve(stream, true, answer, seen).await,
                        Speaks::Tls(config) => {
                            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
                            let connection = stream.get_ref().1;
                            let name = connection.server_name().map(ToOwned::to_owned);
                            let shown = connection.peer_certificates().map_or(0, <[_]>::len);
                            seen.handshakes.lock().unwrap().push((name, shown));
                            let is_http2 = connection.alpn_protocol() == Some(b"h2");
                            serve(stream, is_http2, answer, seen).await;
                        }
                    }
                });
            }
        });
        Self { port, seen, runtime: Some(runtime) }
    }

    /// Listens on a Unix socket.
    pub(crate) fn start_at(
        path: &Path,
        answer: impl Fn(Request<Incoming>, Arc<Seen>) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let (runtime, seen, answer) = (runtime(), Arc::new(Seen::default()), Arc::new(answer) as Arc<Answer>);
        let entered = runtime.enter();
        let listener = UnixListener::bind(path).unwrap();
        drop(entered);
        let noted = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, false, Arc::clone(&answer), Arc::clone(&noted)));
            }
        });
        Self { port: 0, seen, runtime: Some(runtime) }
    }

    /// The requests so far, the gateway's health probes left out.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.seen.records.lock().unwrap().clone()
    }

    /// The bodies that were read so far.
    pub(crate) fn bodies(&self) -> Vec<(usize, bool)> {
        self.seen.bodies.lock().unwrap().clone()
    }

    /// Names that clients asked for, and how many certificates they showed.
    pub(crate) fn handshakes(&self) -> Vec<(Option<String>, usize)> {
        self.seen.handshakes.lock().unwrap().clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    is_http2: bool,
    answer: Arc<Answer>,
    seen: Arc<Seen>,
) {
    let number = seen.connections.fetch_add(1, Ordering::SeqCst);
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
        async move {
            let of =
                |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
            if of("user-agent").is_some_and(|agent| agent.starts_with("tidegate/")) {
                return Ok::<_, Infallible>(text(200, "well"));
            }
            let authority = request.uri().authority().map(ToString::to_string);
            seen.records.lock().unwrap().push(Record {
                version: request.version(),
                host: of("host").or(authority).unwrap_or_default(),
                connection: number,
            });
            Ok(answer(request, seen).await)
        }
    });
    // How it ends is seen by the other side.
    if is_http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

/// An answer with a text.
pub(crate) fn text(status: u16, text: &'static str) -> Response<AnswerBody> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed();
    Response::builder().status(status).body(body).unwrap()
}

/// A body of these pieces, or of those before an error.
pub(crate) fn parts(list: impl IntoIterator<Item = std::io::Result<Bytes>>) -> AnswerBody {
    BoxBody::new(Parts { list: list.into_iter().collect(), pause: None })
}

struct Parts {
    list: VecDeque<std::io::Result<Bytes>>,
    /// Before an error, so that what comes before it is sent.
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Body for Parts {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(Err(_)) = this.list.front() {
            let pause = || Box::pin(tokio::time::sleep(Duration::from_millis(50)));
            ready!(this.pause.get_or_insert_with(pause).as_mut().poll(context));
        }
        Poll::Ready(this.list.pop_front().map(|part| part.map(Frame::data)))
    }
}

/// Reads the body; then 200 with `ok`, or 400 if it broke off.
pub(crate) fn ok(request: Request<Incoming>, seen: Arc<Seen>) -> Answering {
    Box::pin(async move { if seen.read(request.into_body()).await { text(200, "ok") } else { text(400, "broken") } })
}
