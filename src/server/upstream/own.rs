//! Requests of the gateway's own that want an answer read: short ones, over a connection of their own, that carry nothing of any
//! client's making.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Upstream;

/// How long the whole of it may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The most that is read of an answer.
const LONGEST: usize = 64 * 1024;

impl Upstream {
    /// Sends a request, which says for which host it is, and reads the answer. Why there is none, is text.
    pub(crate) async fn ask(&self, mut request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tidegate-own/", env!("CARGO_PKG_VERSION"))));
        tokio::time::timeout(LIMIT, self.answer(request))
            .await
            .unwrap_or_else(|_| Err(format!("it took over {LIMIT:?}")))
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
        let place = (self.settings.host.as_str(), self.settings.port);
        let stream = TcpStream::connect(place).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST).collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        tokio::pin!(exchange);
        // The connection is driven here and ends with this future, however that ends. Its own error is seen by the exchange.
        let driven = async {
            drop(connection.await);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            answered = &mut exchange => answered,
            () = driven => Err("the connection ended".to_owned()),
        }
    }
}
