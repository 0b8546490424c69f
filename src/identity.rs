//! The identity header: what an upstream is told about the caller, and what no client may tell it.
//!
//! Hop-by-hop headers, and those that `Connection` nominates, are the server's to remove.

mod name;
mod strip;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::document::Document;
use crate::jq::{CompileError, Filter, FilterError};

pub use name::{NameProblem, NameRules};
pub use strip::StripList;

/// Makes the identity header of a request.
pub struct IdentityHeader {
    name: HeaderName,
    filter: Arc<Filter>,
    username: Filter,
    anonymous: bool,
    max: usize,
    names: NameRules,
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
    /// The upstream would choke on the name in it, misread it, or believe too much of it.
    #[error("the identity header cannot be sent: {0}")]
    Name(#[from] NameProblem),
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
        let (username, names) = (Filter::compile(username)?, NameRules::default());
        Ok(Self { name, filter, username, anonymous, max, names })
    }

    /// The same header for an upstream that may be told these names alone.
    #[must_use]
    pub fn with_names(self, names: NameRules) -> Self {
        Self { names, ..self }
    }

    /// The header's name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Whether its value may differ between requests of one caller.
    pub fn reads_request(&self) -> bool {
        self.filter.reads_request()
    }

    /// The header's value; `None` when no header is to be sent.
    pub fn value(&self, document: &Document<'_>) -> Result<Option<HeaderValue>, IdentityError> {
        let Some(Made { json, .. }) = self.made(document)? else { return Ok(None) };
        let text = STANDARD.encode(json);
        if text.len() > self.max {
            return Err(IdentityError::TooLong { length: text.len(), limit: self.max });
        }
        // Base64 is always a header value.
        HeaderValue::try_from(text).map(Some).map_err(|_| FilterError::NotJson.into())
    }

    /// The name that the upstream would read from the header; `None` when no header is to be sent, or there is none in it.
    pub fn username(&self, document: &Document<'_>) -> Result<Option<String>, IdentityError> {
        let made = self.made(document)?;
        Ok(made.and_then(|made| made.name).and_then(|name| name.as_str().map(str::to_owned)))
    }

    /// What the filter makes, with a name in it that may be told.
    fn made(&self, document: &Document<'_>) -> Result<Option<Made>, IdentityError> {
        if document.is_anonymous() && !self.anonymous {
            return Ok(None);
        }
        let Some(json) = self.filter.run(document, self.max)? else { return Ok(None) };
        let produced = serde_json::from_str(&json).map_err(|_| FilterError::NotJson)?;
        // Where the path fails, as it does in a text, the upstream finds no name either.
        let name = self.username.run_value(&produced, self.max).unwrap_or_default();
        let name = name.map(|name| serde_json::from_str(&name)).transpose().map_err(|_| FilterError::NotJson)?;
        self.names.check(name.as_ref(), &self.filter, document)?;
        Ok(Some(Made { json, name }))
    }
}

/// What a filter made.
struct Made {
    json: String,
    /// What is at `identity.username`.
    name: Option<Value>,
}

impl fmt::Debug for IdentityHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityHeader")
            .field("name", &self.name)
            .field("filter", &self.filter)
            .field("username", &self.username)
            .field("anonymous", &self.anonymous)
            .field("max", &self.max)
            .field("names", &self.names)
            .finish()
    }
}

#[cfg(test)]
mod tests;
