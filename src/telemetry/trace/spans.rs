//! The spans of a request: the request itself, finding out who it is, and the upstream.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::TraceSettings;
use super::context::{Context, Id};
use super::export::Exporter;
use crate::access_log::RequestLine;

/// Begins traces, and tells of those that have ended. Clones tell the same collector.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Telling>>);

#[derive(Debug)]
struct Telling {
    exporter: Exporter,
    sample: f64,
}

impl Tracer {
    /// Starts the thread that tells the collector.
    pub fn start(settings: TraceSettings) -> io::Result<Self> {
        let sample = settings.sample;
        Ok(Self(Some(Arc::new(Telling { exporter: Exporter::start(settings)?, sample }))))
    }

    /// A request has come, with these headers if they are believed. None where nobody is told.
    pub fn begin(&self, believed: Option<&HeaderMap>) -> Option<Trace> {
        let telling = self.0.as_ref()?;
        let parent = believed.and_then(Context::of);
        let (trace, sampled) = parent.map_or_else(
            || {
                let trace = Id::new();
                (trace, trace.share() < telling.sample)
            },
            |parent| (parent.trace, parent.sampled),
        );
        Some(Trace {
            telling: Arc::clone(telling),
            own: Context { trace, span: Id::new(), sampled },
            parent: parent.map(|parent| parent.span),
            wall: SystemTime::now(),
            zero: Instant::now(),
            parts: Vec::new(),
            upstream: None,
        })
    }
}

/// One request.
#[derive(Debug)]
pub struct Trace {
    telling: Arc<Telling>,
    /// The request's own span.
    own: Context,
    parent: Option<Id<8>>,
    wall: SystemTime,
    zero: Instant,
    /// Spans below it that have ended.
    parts: Vec<Value>,
    /// The upstream's span, while it lasts.
    upstream: Option<(Id<8>, Instant)>,
}

/// Kinds of spans in OTLP.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

impl Trace {
    /// Who it is has been found out, or not, which began then.
    pub fn authenticated(&mut self, began: Instant, known: bool) {
        if self.own.sampled {
            let span = self.span(Id::new(), Some(self.own.span), "authn", INTERNAL, (began, Instant::now()));
            self.parts.push(with_status(span, !known));
        }
    }

    /// The request goes to an upstream: yields the `traceparent` for it.
    pub fn begin_upstream(&mut self) -> HeaderValue {
        let span = Id::new();
        self.upstream = Some((span, Instant::now()));
        Context { span, ..self.own }.header()
    }

    /// The upstream has answered with this status, or not at all.
    pub fn end_upstream(&mut self, status: Option<u16>) {
        let Some((id, began)) = self.upstream.take().filter(|_| self.own.sampled) else { return };
        let mut span = self.span(id, Some(self.own.span), "upstream", CLIENT, (began, Instant::now()));
        if let Some(status) = status {
            span["attributes"] = json!([number("http.response.status_code", status.into())]);
        }
        self.parts.push(with_status(span, status.is_none_or(|status| status >= 500)));
    }

    /// The request has ended, as its line tells.
    pub fn end(mut self, line: &RequestLine<'_>) {
        if !self.own.sampled {
            return;
        }
        self.end_upstream(None);
        let name = line.operation.unwrap_or("request");
        let mut span = self.span(self.own.span, self.parent, name, SERVER, (self.zero, Instant::now()));
        let mut attributes = vec![
            text("http.request.method", known_method(line.method)),
            number("http.response.status_code", line.status.into()),
            text("url.path", line.path.split('?').next().unwrap_or_default()),
            text("tidegate.request_id", line.request_id),
            text("tidegate.decision", line.decision.as_str()),
            number("http.request.body.size", line.bytes_in),
            number("http.response.body.size", line.bytes_out),
        ];
        let optional = [
            ("tidegate.repository", line.repository.map(str::to_owned)),
            ("tidegate.upstream", line.upstream.map(str::to_owned)),
            ("client.address", Some(line.client.to_string())),
            ("user_agent.original", line.user_agent.map(|agent| String::from_utf8_lossy(agent).into_owned())),
            ("error.message", line.error.map(str::to_owned)),
        ];
        attributes.extend(optional.iter().filter_map(|(key, value)| Some(text(key, value.as_ref()?))));
        span["attributes"] = attributes.into();
        let span = with_status(span, line.status >= 500);
        let parts = std::mem::take(&mut self.parts);
        self.telling.exporter.tell(parts.into_iter().chain([span]).collect());
    }

    fn span(
        &self,
        id: Id<8>,
        parent: Option<Id<8>>,
        name: &str,
        kind: u8,
        (began, ended): (Instant, Instant),
    ) -> Value {
        let mut span = json!({
            "traceId": self.own.trace.to_string(),
            "spanId": id.to_string(),
            "name": name,
            "kind": kind,
            "startTimeUnixNano": self.nanos(began),
            "endTimeUnixNano": self.nanos(ended),
        });
        if let Some(parent) = parent {
            span["parentSpanId"] = parent.to_string().into();
        }
        span
    }

    /// OTLP has 64-bit numbers as text.
    fn nanos(&self, at: Instant) -> String {
        let began = self.wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        (began + at.saturating_duration_since(self.zero)).as_nanos().to_string()
    }
}

fn with_status(mut span: Value, failed: bool) -> Value {
    if failed {
        span["status"] = json!({ "code": 2 });
    }
    span
}

pub(super) fn text(key: &str, value: &str) -> Value {
    // What a client sends may be as long as its head.
    let end = value.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 1024).last();
    json!({ "key": key, "value": { "stringValue": value.get(..end.unwrap_or(0)).unwrap_or_default() } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// As the semantic conventions have it: other methods are one.
fn known_method(method: &str) -> &str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    if KNOWN.contains(&method) { method } else { "_OTHER" }
}
