//! The admin listener: `/healthz` and `/readyz`, for orchestrators and load balancers, and `/metrics`, for Prometheus.
//!
//! It has a thread of its own, so that it answers while workers are busy, and ends after them, so that a drain can be watched.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use tower_service::Service;

use super::connection::LiveSettings;
use super::listener::{ListenError, Listeners};
use super::shutdown::Shutdown;
use super::worker::Workers;
use crate::access_log::LogWriter;
use crate::metrics::{Form, Metrics};
use crate::status::Status;

/// The admin listener could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Its address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its thread cannot be started.
    #[error("cannot start the admin thread: {0}")]
    Thread(#[from] io::Error),
}

/// A running admin listener. It ends with [`AdminServer::stop`], or when it is dropped.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    shutdown: Shutdown,
    workers: Workers,
}

impl AdminServer {
    /// Listens on `address` (port 0 picks a free one) and serves `pages`.
    pub fn start(address: SocketAddr, settings: impl Into<LiveSettings>, pages: Pages) -> Result<Self, AdminError> {
        let listeners = Listeners::bind(&[address], NonZeroUsize::MIN)?;
        let address = listeners.local_addrs().first().copied().unwrap_or(address);
        let shutdown = Shutdown::new();
        let workers = Workers::start("admin", listeners, settings, &shutdown, move |_worker| {
            let pages = pages.clone();
            move |_connection: &_| pages.clone()
        })?;
        Ok(Self { address, shutdown, workers })
    }

    /// The address really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Cuts its connections and waits until it has ended.
    pub async fn stop(mut self) {
        self.shutdown.cut();
        self.workers.all_ended().await;
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.shutdown.cut();
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// What the pages are made from.
#[derive(Clone, Debug)]
pub struct Pages {
    /// For `/readyz`.
    pub status: Status,
    /// For `/metrics`.
    pub metrics: Metrics,
    /// For `/metrics` too: how many lines were not written.
    pub log: LogWriter,
}

impl Pages {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let mut content_type = PLAIN;
        let (status, text) = match request.uri().path() {
            "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => {
                let readiness = self.status.readiness();
                let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                (status, readiness.to_string())
            }
            "/metrics" => {
                let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
                let form = Form::accepted(accept.unwrap_or_default());
                content_type = form.content_type();
                (StatusCode::OK, self.metrics.scrape(form, self.status.readiness().is_ready(), &self.log))
            }
            _ => (StatusCode::NOT_FOUND, "not found: there are /healthz, /readyz and /metrics\n".to_owned()),
        };
        if status == StatusCode::NOT_FOUND || matches!(*request.method(), Method::GET | Method::HEAD) {
            return page(status, content_type, text);
        }
        let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n".to_owned());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        refusal
    }
}

fn page(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl<B> Service<Request<B>> for Pages {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request, StatusCode};
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::{AdminServer, LogWriter, Metrics, Pages};
    use crate::server::connection::ConnectionSettings;
    use crate::status::Status;

    fn pages(status: Status) -> Pages {
        Pages { status, metrics: Metrics::new(), log: LogWriter::off() }
    }

    async fn ask(pages: &Pages, method: Method, path: &str) -> (StatusCode, String) {
        let response = pages.answer(&Request::builder().method(method).uri(path).body(()).unwrap());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_follows_the_status_and_alive_does_not() {
        let status = Status::new();
        let pages = pages(status.clone());
        let registry = status.upstream("registry");
        status.set_listening(true);
        registry.set_unhealthy("connection refused");
        assert_eq!(ask(&pages, Method::GET, "/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
        let (code, text) = ask(&pages, Method::GET, "/readyz").await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("upstream registry: connection refused"), "{text}");
        registry.set_healthy();
        assert_eq!(ask(&pages, Method::HEAD, "/readyz").await.0, StatusCode::OK);
        status.set_draining();
        assert_eq!(ask(&pages, Method::GET, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(&pages, Method::GET, "/healthz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let pages = pages(Status::new());
        for path in ["/", "/healthz/", "/readyz/x", "/v2/", "/metrics/"] {
            assert_eq!(ask(&pages, Method::GET, path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(ask(&pages, method, "/healthz").await.0, StatusCode::METHOD_NOT_ALLOWED);
        }
    }

    #[test]
    fn metrics_come_in_the_form_that_is_asked_for() {
        let pages = pages(Status::new());
        let types = ["*/*", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"].map(|accept| {
            let request = Request::builder().uri("/metrics").header("accept", accept).body(()).unwrap();
            pages.answer(&request).headers()["content-type"].to_str().unwrap().to_owned()
        });
        assert_eq!(
            types,
            ["text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8"]
        );
    }

    #[tokio::test]
    async fn it_answers_on_a_socket_until_it_is_stopped() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let admin = AdminServer::start(loopback, ConnectionSettings::default(), pages(Status::new())).unwrap();
        let address = admin.local_addr();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("not ready\nnot listening yet\n"), "{answer}");
        admin.stop().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
