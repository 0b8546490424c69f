//! Whether an upstream answers: what `/readyz` reports.
//!
//! A probe carries nothing of any client: it is the gateway's own request, made here from nothing, to a fixed path.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};

use super::Upstream;
use super::link::Exchange;
use crate::server::body::RequestBody;
use crate::server::progress::Progress;
use crate::status::UpstreamStatus;

/// Time between two probes.
const INTERVAL: Duration = Duration::from_secs(5);
/// Time between two probes while the upstream does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Probes an upstream for as long as the runtime lives.
pub async fn keep_probing(upstream: Arc<Upstream>, status: UpstreamStatus) {
    let mut answered = None;
    let metrics = upstream.settings.metrics.address(&upstream.place());
    loop {
        let outcome = upstream.probe().await;
        let answers = outcome.is_ok();
        metrics.set_healthy(answers);
        let name = &*upstream.settings.name;
        match outcome {
            Ok(()) => {
                status.set_healthy();
                if answered == Some(false) {
                    tracing::info!(upstream = name, "answers again");
                }
            }
            Err(why) => {
                if answered != Some(false) {
                    tracing::warn!(upstream = name, "does not answer: {why}");
                }
                status.set_unhealthy(why);
            }
        }
        answered = Some(answers);
        tokio::time::sleep(if answers { INTERVAL } else { RETRY }).await;
    }
}

impl Upstream {
    /// Asks over a connection of its own. Any answer that is no server error will do: a registry that wants credentials is alive.
    async fn probe(&self) -> Result<(), String> {
        let progress = Arc::new(Progress::new());
        let mut request = Request::new(RequestBody::empty(Arc::clone(&progress)));
        *request.uri_mut() = self.settings.probe_path.parse().unwrap_or(Uri::from_static("/"));
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(&self.place()).unwrap_or(HeaderValue::from_static("localhost")));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))));
        let link = self.connect().await.map_err(|error| error.to_string())?;
        match self.exchange(link, request, &progress).await {
            Ok(Exchange::Answered(response, _)) if response.status().is_server_error() => {
                Err(format!("it answers {}", response.status()))
            }
            Ok(Exchange::Answered(..)) => Ok(()),
            Ok(Exchange::Unsent(_)) => Err("the connection was closed".to_owned()),
            Ok(Exchange::Unanswered(error)) => Err(self.broken(error, &progress).to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}
