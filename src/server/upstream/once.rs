//! One request over a connection of its own, and its whole answer: for what the gateway and its doctor ask themselves.

use bytes::Bytes;
use http::{Request, Response, Uri, Version};
use http_body::Body;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::connect::{Connected, Protocol};
use super::socket::Socket;

/// Sends a request, which names its host in `Host`, and reads up to `longest` bytes of the answer. Why there is none, is text.
pub(crate) async fn once<B>(
    connected: Connected,
    request: Request<B>,
    longest: usize,
) -> Result<Response<Bytes>, String>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Connected { socket, protocol } = connected;
    let text = |error: hyper::Error| error.to_string();
    match protocol {
        Protocol::Http1 => {
            let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(text)?;
            driven(connection, async { read(sender.send_request(request).await, longest).await }).await
        }
        Protocol::Http2 => {
            let request = in_http2(request, matches!(socket, Socket::Tls(_)));
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.map_err(text)?;
            driven(connection, async { read(sender.send_request(request).await, longest).await }).await
        }
    }
}

async fn read(answered: hyper::Result<Response<Incoming>>, longest: usize) -> Result<Response<Bytes>, String> {
    let (head, body) = answered.map_err(|error| error.to_string())?.into_parts();
    let body = Limited::new(body, longest).collect().await.map_err(|error| error.to_string())?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// The connection is driven here and ends with this future, however that ends. Its own error is seen by the exchange.
async fn driven<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    exchange: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    tokio::pin!(exchange);
    let driven = async {
        drop(connection.await);
        // What has come is still to be read.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        answered = &mut exchange => answered,
        () = driven => Err("the connection ended".to_owned()),
    }
}

/// The request as HTTP/2 has it: with `:scheme` and `:authority`.
fn in_http2<B>(mut request: Request<B>, secure: bool) -> Request<B> {
    let host = request.headers_mut().remove(http::header::HOST);
    request.headers_mut().remove(http::header::CONNECTION);
    let authority = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let scheme = if secure { "https" } else { "http" };
    if let Ok(uri) = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build() {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
    request
}
