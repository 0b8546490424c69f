//! The identity header: what an upstream is told about the caller, and what no client may tell it.
//!
//! Hop-by-hop headers, and those that `Connection` nominates, are the server's to remove.

mod strip;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::document::Document;
use crate::jq::{CompileError, Filter, FilterError};

pub use strip::StripList;

/// Makes the identity header of a request.
pub struct IdentityHeader {
    name: HeaderName,
    filter: Arc<Filter>,
    username: Filter,
    anonymous: bool,
    max: usize,
}

/// Why a request has no identity header though it should. No text of it holds anything of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The filter gave no value that could be sent.
    #[error("no identity header: {0}")]
    Filter(#[from] FilterError),
    /// The value is longer than `identity.max_header`.
    #[error("the identity header would be {length} bytes long, over the limit of {limit}")]
    TooLong {
        /// Length of the Base64 text in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl IdentityHeader {
    /// A header `name` of at most `max` bytes, made by `filter`. `username` is the jq path at which the upstream looks for
    /// the name in it. The filter runs for anonymous callers only if `anonymous`.
    pub fn new(
        name: HeaderName,
        filter: Arc<Filter>,
        username: &str,
        anonymous: bool,
        max: usize,
    ) -> Result<Self, CompileError> {
        Ok(Self { name, filter, username: Filter::compile(username)?, anonymous, max })
    }

    /// The header's name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The same header made by another filter, for a route with one of its own.
    pub fn with_filter(&self, filter: Arc<Filter>) -> Result<Self, CompileError> {
        Self::new(self.name.clone(), filter, self.username.text(), self.anonymous, self.max)
    }

    /// Whether its value may differ between requests of one caller.
    pub fn reads_request(&self) -> bool {
        self.filter.reads_request()
    }

    /// The header's value; `None` when no header is to be sent.
    pub fn value(&self, document: &Document<'_>) -> Result<Option<HeaderValue>, IdentityError> {
        let Some(json) = self.json(document)? else { return Ok(None) };
        let text = STANDARD.encode(json);
        if text.len() > self.max {
            return Err(IdentityError::TooLong { length: text.len(), limit: self.max });
        }
        // Base64 is always a header value.
        HeaderValue::try_from(text).map(Some).map_err(|_| FilterError::NotJson.into())
    }

    /// The JSON text that the header encodes, for `tidegate filter`; `None` when no header is to be sent.
    pub fn json(&self, document: &Document<'_>) -> Result<Option<String>, IdentityError> {
        if document.is_anonymous() && !self.anonymous {
            return Ok(None);
        }
        Ok(self.filter.run(document, self.max)?)
    }

    /// The name that the upstream would read from what a filter produced; `None` where there is no text.
    pub fn produced_username(&self, produced: &Value) -> Option<String> {
        let text = self.username.run_value(produced, self.max).ok()??;
        serde_json::from_str(&text).ok()
    }
}

impl fmt::Debug for IdentityHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityHeader")
            .field("name", &self.name)
            .field("filter", &self.filter)
            .field("username", &self.username)
            .field("anonymous", &self.anonymous)
            .field("max", &self.max)
            .finish()
    }
}

#[cfg(test)]
mod tests;
