//! One request and its response, as the request line will tell it.
//!
//! The line is written when the response body has been sent or given up, which is when the response body is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::body::BodyError;
use super::challenge::Scheme;
use super::failure::Failure;
use super::passage::Passage;
use super::peer::Peer;
use super::progress::Progress;
use super::response_body::ResponseBody;
use super::spool::SpoolError;
use super::strangers::{Challenged, Stranger};
use crate::access_log::{Decision, LogWriter, RequestLine};
use crate::audit::AuditLine;
use crate::authn::CertificateRefused;
use crate::certificate::Certificate;
use crate::metrics::{self, Action, Grant, InFlight, Metrics};
use crate::registry::{Operation, OperationAction, RepositoryName};
use crate::subject::{Caller, UserName};
use crate::telemetry::Trace;

/// Where it is told what became of requests.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) log: LogWriter,
    pub(crate) metrics: Metrics,
}

/// A decision that was made before.
#[derive(Debug)]
enum Before {
    Allowed(Arc<Passage>),
    Challenged(Arc<Challenged>),
}

impl Before {
    fn path(&self) -> &str {
        match self {
            Self::Allowed(passage) => &passage.path,
            Self::Challenged(challenged) => &challenged.path,
        }
    }

    fn operation(&self) -> Option<&Operation> {
        match self {
            Self::Allowed(passage) => passage.operation(),
            Self::Challenged(challenged) => Some(&challenged.operation),
        }
    }
}

/// What is known of a request so far.
#[derive(Debug)]
pub(crate) struct Exchange {
    recorder: Arc<Recorder>,
    began: SystemTime,
    started: Instant,
    pub(crate) peer: Peer,
    pub(crate) method: Method,
    /// The path as far as it was parsed; never a query.
    pub(crate) path: String,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) caller: Caller,
    /// What it reached.
    pub(crate) route: metrics::Route,
    /// What it wants there.
    pub(crate) action: Action,
    /// How it asked for a token.
    pub(crate) grant: Grant,
    operation: Option<&'static str>,
    repository: Option<RepositoryName>,
    /// What was decided before and is again: of such a request nothing is parsed.
    before: Option<Before>,
    /// What is kept of it, should it be challenged.
    pub(crate) stranger: Option<Box<Stranger>>,
    pub(crate) decision: Decision,
    /// The user name of credentials that were not verified (yet).
    pub(crate) claimed: Option<String>,
    /// What the client has shown when the connection began.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Why that is nobody's, if it mattered.
    pub(crate) unusable: Option<CertificateRefused>,
    /// What went wrong, in words without secrets.
    pub(crate) error: Option<String>,
    pub(crate) upstream: Option<Arc<str>>,
    pub(crate) upstream_time: Option<Duration>,
    /// Counts it as one that the upstream has, until its end.
    pub(crate) in_flight: Option<InFlight>,
    /// What is told of how long each part took, where somebody is told.
    pub(crate) trace: Option<Trace>,
    /// How far the client's body has come.
    pub(crate) progress: Option<Arc<Progress>>,
    /// What answers of ours say of the time of another try, where the upstream's settings do.
    pub(crate) retry_after: Option<HeaderValue>,
    /// How the route challenges.
    pub(crate) scheme: Scheme,
    /// Whether the client may be sending a body that was given to nobody.
    pub(crate) unread: bool,
    /// Whether the answer says that the registry keeps signatures.
    pub(crate) signatures: bool,
    status: StatusCode,
    sent: u64,
    /// How the response body ended; anything but its end is a broken transfer.
    whole: bool,
}

impl Exchange {
    /// A request that has just come, where it stays.
    pub(crate) fn new(recorder: Arc<Recorder>, peer: Peer, method: Method) -> Box<Self> {
        recorder.metrics.request_begun();
        Box::new(Self {
            recorder,
            began: SystemTime::now(),
            started: Instant::now(),
            peer,
            method,
            path: String::new(),
            user_agent: None,
            caller: Caller::Anonymous,
            route: metrics::Route::None,
            action: Action::None,
            grant: Grant::Unknown,
            operation: None,
            repository: None,
            before: None,
            stranger: None,
            decision: Decision::Refused,
            claimed: None,
            certificate: None,
            unusable: None,
            error: None,
            upstream: None,
            upstream_time: None,
            in_flight: None,
            trace: None,
            progress: None,
            retry_after: None,
            scheme: Scheme::Bearer,
            unread: false,
            signatures: false,
            status: StatusCode::OK,
            sent: 0,
            whole: false,
        })
    }

    /// Names the operation of a request that is none of the registry's.
    pub(crate) fn is(&mut self, operation: &'static str) {
        self.operation = Some(operation);
    }

    /// Notes what is asked of the registry.
    pub(crate) fn asks(&mut self, operation: &Operation) {
        self.operation = Some(operation.name());
        self.action = action(operation);
        self.repository = operation.repository().cloned();
    }

    /// Notes that the caller was allowed the same before.
    pub(crate) fn allowed_before(&mut self, caller: &Caller, passage: &Arc<Passage>) {
        self.route = metrics::Route::Registry;
        self.action = passage.operation().map_or(Action::None, action);
        self.scheme = passage.route.challenge;
        self.caller = caller.clone();
        self.decision = Decision::Allowed;
        self.before = Some(Before::Allowed(Arc::clone(passage)));
    }

    /// Notes that the same was challenged before.
    pub(crate) fn challenged_before(&mut self, challenged: &Arc<Challenged>) {
        self.route = metrics::Route::Registry;
        self.action = action(&challenged.operation);
        self.scheme = challenged.scheme;
        self.signatures = challenged.signatures;
        self.decision = Decision::Challenged;
        self.error = Some(challenged.error.clone());
        self.before = Some(Before::Challenged(Arc::clone(challenged)));
    }

    /// The canonical path, once parsed; never a query.
    pub(crate) fn path(&self) -> &str {
        self.before.as_ref().map_or(&self.path, Before::path)
    }

    /// The operation's name.
    pub(crate) fn operation(&self) -> Option<&'static str> {
        let known = self.before.as_ref().and_then(Before::operation);
        known.map(Operation::name).or(self.operation)
    }

    /// The repository.
    pub(crate) fn repository(&self) -> Option<&RepositoryName> {
        let known = self.before.as_ref().and_then(Before::operation);
        known.and_then(Operation::repository).or(self.repository.as_ref())
    }

    /// Notes how the request failed: for its line, for the audit, and in the log where only an operator can mend it.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        let request_id = &*self.peer.request_id;
        match failure {
            Failure::Upstream(error) => tracing::warn!(request_id, "{error}"),
            Failure::UpstreamChallenged { .. } => tracing::error!(
                request_id,
                "{failure}; hint: `tidegate export` prints what a registry needs to accept our tokens; a Pulp also has to know their \
                 users, see `create_users`; or change `credentials`"
            ),
            Failure::Spool(SpoolError::TooLong { .. }) => {}
            Failure::UpstreamUnframed { .. }
            | Failure::Identity(_)
            | Failure::Newcomer(_)
            | Failure::Signing
            | Failure::Spool(_) => {
                tracing::error!(request_id, "{failure}");
            }
            Failure::AuthenticationUnavailable | Failure::Busy => tracing::warn!(request_id, "{failure}"),
            _ => {}
        }
        match failure {
            Failure::Challenged { .. } => self.decision = Decision::Challenged,
            Failure::Denied { .. } | Failure::InsufficientApiScope { .. } => self.decision = Decision::Denied,
            // What was let through and failed later was allowed all the same.
            Failure::Upstream(_)
            | Failure::UpstreamChallenged { .. }
            | Failure::UpstreamUnframed { .. }
            | Failure::Spool(_)
            | Failure::Newcomer(_)
            | Failure::Upload(_) => {}
            _ => self.decision = Decision::Refused,
        }
        self.audit_failure(failure);
        self.error = Some(match self.unusable {
            Some(unusable) => format!("{failure}; {unusable}"),
            None => failure.to_string(),
        });
    }

    /// Whether the client may still be sending a body that nobody reads to its end.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread || self.progress.as_ref().is_some_and(|progress| !progress.is_done())
    }

    /// Where it is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.recorder.metrics
    }

    /// Whether audit lines are written at all.
    pub(crate) fn is_audited(&self) -> bool {
        self.recorder.log.audits()
    }

    /// Writes an audit line.
    pub(crate) fn audit(&self, line: &AuditLine<'_>) {
        self.recorder.log.audit(line);
    }

    /// Binds the line to the life of the response.
    pub(crate) fn follow(mut self: Box<Self>, response: Response<ResponseBody>) -> Response<FollowedBody> {
        self.status = response.status();
        response.map(|inner| {
            // The answer to a HEAD is whole without its body.
            self.whole = inner.is_end_stream() || self.method == Method::HEAD;
            FollowedBody { inner, exchange: self }
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let total = self.started.elapsed();
        let bytes_in = self.progress.as_ref().map_or(0, |progress| progress.bytes());
        self.metrics().request_ended(&metrics::Request {
            route: self.route,
            action: self.action,
            decision: self.decision,
            status: self.status.as_u16(),
            duration: total,
            bytes_in,
            bytes_out: self.sent,
            whole: self.whole,
        });
        let broken = (!self.whole).then_some("the response was not sent whole");
        let trace = self.trace.take();
        let line = RequestLine {
            time: self.began,
            request_id: &self.peer.request_id,
            client: self.peer.client,
            method: self.method.as_str(),
            host: Some(self.peer.host().as_bytes()),
            path: self.path(),
            subject: self.caller.name().map(UserName::as_str),
            operation: self.operation(),
            repository: self.repository().map(RepositoryName::as_str),
            decision: self.decision,
            status: self.status.as_u16(),
            upstream: self.upstream.as_deref(),
            upstream_time: self.upstream_time,
            total,
            bytes_in,
            bytes_out: self.sent,
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
            error: self.error.as_deref().or(broken),
        };
        self.recorder.log.request(&line);
        if let Some(trace) = trace {
            trace.end(&line);
        }
    }
}

/// What an operation of the registry is counted as.
fn action(operation: &Operation) -> Action {
    match operation.action() {
        _ if operation.is_ping() => Action::Ping,
        OperationAction::Pull => Action::Pull,
        OperationAction::Push => Action::Push,
        OperationAction::Delete => Action::Delete,
        OperationAction::Catalog => Action::Catalog,
    }
}

/// A response body that counts itself.
#[derive(Debug)]
pub struct FollowedBody {
    inner: ResponseBody,
    exchange: Box<Exchange>,
}

impl Body for FollowedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    this.exchange.sent += data.len() as u64;
                }
                this.exchange.whole = this.inner.is_end_stream();
            }
            Poll::Ready(None) => this.exchange.whole = true,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use http::{HeaderMap, Method, Response};

    use super::{Exchange, LogWriter, Metrics, Peer, Recorder, ResponseBody};
    use crate::server::memory::Memory;
    use crate::server::peer::TrustedProxies;
    use crate::server::stream::PeerAddr;
    use crate::telemetry::Style;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The error of the request line of an answer whose body nobody reads.
    fn error_of_unread(method: Method) -> serde_json::Value {
        let written = Written::default();
        let log = LogWriter::to(Box::new(written.clone()), Box::new(std::io::sink()), Style::Json).unwrap();
        let peer = Peer::new(
            PeerAddr::Ip("192.0.2.1:1".parse().unwrap()),
            "gw",
            &HeaderMap::new(),
            &TrustedProxies::default(),
            |_| "http",
            &Memory::default(),
        );
        let recorder = Recorder { log: log.clone(), metrics: Metrics::new() };
        drop(Exchange::new(recorder.into(), peer, method).follow(Response::new(ResponseBody::own("{}"))));
        assert!(log.flush(Duration::from_secs(60)));
        let line: serde_json::Value = serde_json::from_slice(&written.0.lock().unwrap()).unwrap();
        line["error"].clone()
    }

    #[test]
    fn a_body_that_was_not_sent_is_told_but_for_head() {
        assert_eq!(error_of_unread(Method::GET), "the response was not sent whole");
        assert_eq!(error_of_unread(Method::HEAD), serde_json::Value::Null);
    }
}
