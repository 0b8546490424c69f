//! Traces: which requests belong together across processes, and how long each part of one took.
//!
//! They are built in with the feature `otel`. Without it, or with nobody to tell, a [`Tracer`] yields no [`Trace`], and a request costs
//! no more than the question. What is told to whom is in `spans` and `export`; how contexts travel (W3C Trace Context) in `context`.

#[cfg(feature = "otel")]
mod context;
#[cfg(feature = "otel")]
mod export;
#[cfg(feature = "otel")]
mod spans;
#[cfg(not(feature = "otel"))]
mod without;

#[cfg(feature = "otel")]
pub use spans::{Trace, Tracer};
#[cfg(not(feature = "otel"))]
pub use without::{Trace, Tracer};

/// Where traces go.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    /// The collector's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The path that takes spans (OTLP over HTTP).
    pub path: String,
    /// What the gateway is called there.
    pub service: String,
    /// The part of the requests, of those that nobody traces yet, that are told.
    pub sample: f64,
}

/// `traceparent`, `tracestate` and `baggage`, which only trusted proxies may send.
pub const CONTEXT_HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];
