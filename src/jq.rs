//! The jq engine with its allow list (stub: the signatures hold, the bodies are being written).

use crate::document::Document;

/// Why a filter text was refused at start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// Byte offset into the filter text where the mistake is.
    pub offset: usize,
    /// Length in bytes of what is wrong; at least 1.
    pub length: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A compiled filter that makes one JSON value of a document.
#[derive(Debug)]
pub struct Filter;

impl Filter {
    /// Compiles a filter.
    pub fn compile(_text: &str) -> Result<Self, CompileError> {
        Ok(Self)
    }
}

/// A compiled predicate over a document.
#[derive(Debug)]
pub struct Predicate;

impl Predicate {
    /// Compiles a predicate.
    pub fn compile(_text: &str) -> Result<Self, CompileError> {
        Ok(Self)
    }

    /// Whether it may read `request.method` or `request.reference`, which are null when a token is issued.
    pub fn reads_use_only_facts(&self) -> bool {
        false
    }

    /// Whether it holds; an error when it fails or is not boolean.
    pub fn holds(&self, _document: &Document<'_>) -> Result<bool, PredicateFailed> {
        Ok(true)
    }
}

/// A predicate that failed at run time or did not yield one boolean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the predicate did not yield true or false")]
pub struct PredicateFailed;
