//! A small client: one GET over a connection of its own, under a deadline.
//!
//! Nothing but GET is ever sent, so nothing is changed by it. What comes back is data to be looked at, never to be believed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, DATE, HOST, SERVER, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::Empty;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::server::{Address, Connector, Tls, once};

/// The longest body that is read. Pulp's description of its API takes about 1 MiB.
const LONGEST: usize = 16 * 1024 * 1024;

/// Where a request goes, and how.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The address.
    pub(super) address: Address,
    /// How TLS is spoken; none: not at all.
    pub(super) tls: Option<Arc<Tls>>,
    /// Whether HTTP/2 is.
    pub(super) http2: bool,
}

impl Target {
    /// In cleartext, over TCP.
    pub(super) fn plain(host: String, port: u16) -> Self {
        Self { address: Address::Tcp { host, port }, tls: None, http2: false }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoAnswer {
    /// No connection.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// Nothing within the deadline.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// What came was no HTTP, or too much of it.
    #[error("the connection ended, or what came is no HTTP")]
    NoHttp,
}

/// A whole answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body.
    pub(super) body: Bytes,
}

/// What became of a request.
pub(super) type Outcome = Result<Answer, NoAnswer>;

impl Answer {
    /// A header as text; the first, where there are several.
    pub(super) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Who says to have answered.
    pub(super) fn server(&self) -> &str {
        self.header(SERVER).unwrap_or_default()
    }

    /// The body as JSON; null where it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether the body holds a text.
    pub(super) fn says(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(text)
    }

    /// The challenge of a 401.
    pub(super) fn challenge(&self) -> Option<Challenge> {
        self.header(WWW_AUTHENTICATE).map(Challenge::parse)
    }

    /// When it was sent, in seconds since the epoch.
    pub(super) fn date(&self) -> Option<i64> {
        OffsetDateTime::parse(self.header(DATE)?, &Rfc2822).ok().map(OffsetDateTime::unix_timestamp)
    }
}

/// What a `WWW-Authenticate` header asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The scheme, in lower case.
    pub(super) scheme: String,
    /// `realm`.
    pub(super) realm: String,
    /// `service`.
    pub(super) service: String,
}

impl Challenge {
    fn parse(text: &str) -> Self {
        let (scheme, parameters) = text.split_once(' ').unwrap_or((text, ""));
        let parameter = |name: &str| {
            let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        Self {
            scheme: scheme.to_ascii_lowercase(),
            realm: parameter("realm").unwrap_or_default(),
            service: parameter("service").unwrap_or_default(),
        }
    }

    pub(super) fn is_bearer(&self) -> bool {
        self.scheme == "bearer"
    }
}

/// The client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// How long a request may take.
    pub(super) timeout: Duration,
}

/// A header to send.
pub(super) type Header = (HeaderName, HeaderValue);

impl Client {
    /// Asks for `path` at `target`, which is called `host`.
    pub(super) async fn get(&self, target: &Target, host: &str, path: &str, headers: &[Header]) -> Outcome {
        let asking = self.ask(target, host, path, headers);
        tokio::time::timeout(self.timeout, asking).await.unwrap_or(Err(NoAnswer::Slow(self.timeout)))
    }

    async fn ask(&self, target: &Target, host: &str, path: &str, headers: &[Header]) -> Outcome {
        let Target { address, tls, http2 } = target;
        let connector = Connector::new(address, tls.clone(), *http2, self.timeout, self.timeout);
        let connected = connector.connect().await.map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
        let mut request = Request::builder()
            .uri(path)
            .header(HOST, host)
            .header(CONNECTION, "close")
            .header(USER_AGENT, concat!("tidegate-doctor/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|_| NoAnswer::NoHttp)?;
        for (name, value) in headers {
            request.headers_mut().append(name.clone(), value.clone());
        }
        let (head, body) = once(connected, request, LONGEST).await.map_err(|_| NoAnswer::NoHttp)?.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// A header whose value must not be printed.
pub(super) fn secret_header(name: HeaderName, value: &str) -> Option<Header> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
impl Answer {
    /// An answer as tests write it.
    pub(super) fn of(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Self {
        let pairs =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Self { status, headers: pairs.collect(), body: Bytes::from_static(body.as_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Target};

    #[test]
    fn challenges_and_dates_are_read() {
        let answer = Answer::of(
            401,
            &[
                ("www-authenticate", "Bearer realm=\"http://gw/token\",service=\"gw\",error=\"invalid_token\""),
                ("date", "Mon, 23 Nov 2026 09:03:11 GMT"),
            ],
            "no JSON",
        );
        let challenge = answer.challenge().unwrap();
        assert!(challenge.is_bearer());
        assert_eq!((challenge.realm.as_str(), challenge.service.as_str()), ("http://gw/token", "gw"));
        assert_eq!(answer.date(), Some(1_795_424_591));
        assert!(answer.json().is_null());
    }

    #[test]
    fn targets_are_shown_as_in_urls() {
        assert_eq!(Target::plain("::1".into(), 80).to_string(), "[::1]:80");
        assert_eq!(Target::plain("pulp".into(), 24817).to_string(), "pulp:24817");
    }
}
