//! Requests of the gateway's own that want an answer read: short ones, over a connection of their own, that carry nothing of any
//! client's making.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;

use super::Upstream;
use super::balance::Tried;
use super::once::once;

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

    /// Asks the first address that accepts a connection; nothing is sent twice.
    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
        let (mut tried, mut why) = (Tried::default(), "it has no address".to_owned());
        while let Some(endpoint) = self.endpoints.next(&mut tried) {
            match endpoint.socket().await {
                Ok(connected) => {
                    let (head, body) = once(connected, request, LONGEST).await?.into_parts();
                    return Ok((head.status, body));
                }
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }
}
