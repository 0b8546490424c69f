//! No traces: what takes their place in a build without the feature `otel`.

use std::io;
use std::time::Instant;

use http::{HeaderMap, HeaderValue};

use super::TraceSettings;
use crate::access_log::RequestLine;

/// Traces nothing.
#[derive(Clone, Debug, Default)]
pub struct Tracer(());

impl Tracer {
    /// Nothing can be told.
    pub fn start(settings: TraceSettings) -> io::Result<Self> {
        drop(settings);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// None.
    pub fn begin(&self, _believed: Option<&HeaderMap>) -> Option<Trace> {
        None
    }
}

/// There is none.
#[derive(Debug)]
pub enum Trace {}

impl Trace {
    /// Who it is has been found out.
    pub fn authenticated(&mut self, _began: Instant, _known: bool) {
        match *self {}
    }

    /// The request goes to an upstream.
    pub fn begin_upstream(&mut self) -> HeaderValue {
        match *self {}
    }

    /// The upstream has answered, or not.
    pub fn end_upstream(&mut self, _status: Option<u16>) {
        match *self {}
    }

    /// The request has ended.
    pub fn end(self, _line: &RequestLine<'_>) {
        match self {}
    }
}
