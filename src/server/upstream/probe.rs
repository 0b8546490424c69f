//! Whether an upstream answers: what `/readyz` reports, and what keeps requests from addresses that do not.
//!
//! A probe carries nothing of any client: it is the gateway's own request, made here from nothing, to a fixed path.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use tokio::task::JoinSet;

use super::Upstream;
use super::endpoint::Endpoint;
use super::health::Change;
use super::link::Exchange;
use crate::server::body::RequestBody;
use crate::server::progress::Progress;
use crate::status::UpstreamStatus;

/// The longest time between two probes while an address does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Probes every address of an upstream, for as long as the future lives.
pub async fn keep_probing(upstream: Arc<Upstream>, status: UpstreamStatus) {
    let count = upstream.endpoints.iter().count();
    let board = Arc::new(Board { status, seen: Mutex::new(vec![Seen::Nothing; count]) });
    let mut probes = JoinSet::new();
    for (index, endpoint) in upstream.endpoints.iter().enumerate() {
        probes.spawn(watch(Arc::clone(&upstream), Arc::clone(endpoint), index, Arc::clone(&board)));
    }
    if let Some(tls) = &upstream.tls {
        probes.spawn(super::tls::keep_fresh(
            Arc::clone(tls),
            Arc::clone(&upstream.settings.name),
            upstream.settings.metrics.clone(),
        ));
    }
    while probes.join_next().await.is_some() {}
}

async fn watch(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>, index: usize, board: Arc<Board>) {
    let settings = &upstream.settings.health;
    let (name, address) = (&*upstream.settings.name, endpoint.shown());
    loop {
        let outcome = tokio::time::timeout(settings.timeout, upstream.probe(&endpoint)).await;
        let outcome =
            outcome.unwrap_or_else(|_| Err(format!("{address} did not answer within {:?}", settings.timeout)));
        let answered = outcome.is_ok();
        match (endpoint.probed(answered), outcome) {
            (Change::Down, Err(why)) => {
                tracing::warn!(upstream = name, address, "does not answer: {why}");
                board.post(index, Seen::Silent(why));
            }
            (change, Ok(())) if endpoint.is_up() => {
                if change == Change::In {
                    tracing::info!(upstream = name, address, "answers again");
                }
                board.post(index, Seen::Answers);
            }
            // What it said last is newer than what it said first.
            (_, Err(why)) if !endpoint.is_up() => board.post(index, Seen::Silent(why)),
            _ => {}
        }
        tokio::time::sleep(if answered { settings.interval } else { settings.interval.min(RETRY) }).await;
    }
}

/// What probes have seen of all addresses, as one status.
struct Board {
    status: UpstreamStatus,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Answers,
    Silent(String),
}

impl Board {
    /// One address that answers is enough for the upstream; what the others say is told all the same.
    fn post(&self, index: usize, what: Seen) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = seen.get_mut(index) {
            *slot = what;
        }
        let reasons: Vec<&str> = seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Silent(why) => Some(why.as_str()),
                Seen::Nothing | Seen::Answers => None,
            })
            .collect();
        match (seen.contains(&Seen::Answers), reasons.is_empty()) {
            (true, true) => self.status.set_healthy(),
            (true, false) => self.status.set_healthy_in_part(reasons.join("; ")),
            (false, false) => self.status.set_unhealthy(reasons.join("; ")),
            (false, true) => {}
        }
    }
}

impl Upstream {
    /// Asks over a connection of its own. Any answer that is no server error will do: a registry that wants credentials is alive.
    async fn probe(&self, endpoint: &Endpoint) -> Result<(), String> {
        let progress = Arc::new(Progress::new());
        let mut request = Box::new(Request::new(RequestBody::empty(Arc::clone(&progress))));
        *request.uri_mut() = self.settings.health.path.parse().unwrap_or(Uri::from_static("/"));
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(endpoint.authority());
        headers.insert(HOST, host.unwrap_or(HeaderValue::from_static("localhost")));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))));
        let link = endpoint.connect_alone().await.map_err(|error| error.to_string())?;
        match self.exchange(endpoint, link, &mut Some(request), &progress).await {
            Ok(Exchange::Answered { response, .. }) if response.status().is_server_error() => {
                Err(format!("{} answers {}", endpoint.shown(), response.status()))
            }
            Ok(Exchange::Answered { .. }) => Ok(()),
            Ok(Exchange::Unsent(_)) => Err(format!("{} closed the connection", endpoint.shown())),
            Ok(Exchange::Unanswered { error, .. }) => Err(super::broken(endpoint, error, &progress).to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::{Board, Seen};
    use crate::status::Status;

    #[test]
    fn one_address_that_answers_is_enough() {
        let status = Status::new();
        status.set_listening(true);
        let board = Board { status: status.upstream("registry"), seen: Mutex::new(vec![Seen::Nothing; 2]) };
        board.post(0, Seen::Silent("a is down".into()));
        assert_eq!(status.readiness().to_string(), "not ready\nupstream registry: a is down\n");
        board.post(1, Seen::Answers);
        assert_eq!(status.readiness().to_string(), "ready\nupstream registry: a is down\n");
        board.post(0, Seen::Answers);
        assert_eq!(status.readiness().to_string(), "ready\n");
        board.post(1, Seen::Silent("b is down".into()));
        board.post(0, Seen::Silent("a is down".into()));
        assert_eq!(status.readiness().to_string(), "not ready\nupstream registry: a is down; b is down\n");
    }
}
