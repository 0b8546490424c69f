//! Names of repositories, tags and references (OCI distribution-spec 1.1, "Pulling manifests").

use std::fmt;
use std::sync::Arc;

use super::{Digest, DigestError};

/// The longest repository name in bytes.
pub const MAX_REPOSITORY_NAME: usize = 255;
/// The longest tag in bytes.
pub const MAX_TAG: usize = 128;

/// A repository name: components of lower-case letters and digits, separated by `/`, each with single `.`, one or two
/// `_`, or any number of `-` between its runs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Arc<str>);

/// Why a text is no repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryNameError {
    /// Nothing there.
    #[error("a repository name must not be empty")]
    Empty,
    /// Over [`MAX_REPOSITORY_NAME`] bytes.
    #[error("a repository name must not be longer than {MAX_REPOSITORY_NAME} bytes")]
    TooLong,
    /// A component that does not match the grammar.
    #[error("each component of a repository name must match [a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*")]
    BadComponent,
}

impl RepositoryName {
    /// Checks a text against the grammar.
    pub fn parse(text: &str) -> Result<Self, RepositoryNameError> {
        if text.is_empty() {
            return Err(RepositoryNameError::Empty);
        }
        if text.len() > MAX_REPOSITORY_NAME {
            return Err(RepositoryNameError::TooLong);
        }
        if !text.split('/').all(is_component) {
            return Err(RepositoryNameError::BadComponent);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text is one component of a repository name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
pub fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(first) || !alphanumeric(last) {
        return false;
    }
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|&byte| !alphanumeric(byte)) {
        let tail = &rest[start..];
        let length = tail.iter().position(|&byte| alphanumeric(byte)).unwrap_or(tail.len());
        let separator = &tail[..length];
        let allowed = matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|&byte| byte == b'-');
        if !allowed {
            return false;
        }
        rest = &tail[length..];
    }
    true
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// A text that is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag must match [a-zA-Z0-9_][a-zA-Z0-9._-]{{0,127}}")]
pub struct TagError;

impl Tag {
    /// Checks a text against the grammar.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let bytes = text.as_bytes();
        let good = bytes.len() <= MAX_TAG
            && bytes.first().is_some_and(|&byte| word(byte))
            && bytes.iter().all(|&byte| word(byte) || byte == b'.' || byte == b'-');
        if good { Ok(Self(text.into())) } else { Err(TagError) }
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What a manifest is asked for by: its tag or its digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By tag.
    Tag(Tag),
    /// By digest.
    Digest(Digest),
}

impl Reference {
    /// The reference as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }

    /// A text with a colon is a digest, any other a tag; the error is that of the kind it would be.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') { Ok(Self::Digest(Digest::parse(text)?)) } else { Ok(Self::Tag(Tag::parse(text)?)) }
    }
}

/// Why a text is neither a tag nor a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Not a digest though it has a colon.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Not a tag.
    #[error(transparent)]
    Tag(#[from] TagError),
}
