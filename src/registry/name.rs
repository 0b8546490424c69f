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

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn components_follow_the_grammar() {
        for good in ["a", "0", "a.b", "a_b", "a__b", "a-b", "a---b", "a-b_c.d__e", "blobs", "0a.1-2"] {
            assert!(is_component(good), "{good}");
        }
        for bad in [
            "", ".", "..", "-", "_", "a.", ".a", "a-", "-a", "a_", "_a", "a..b", "a___b", "a._b", "a-_b", "a-.b", "A",
            "aB", "a b", "a:b", "a@b", "a+b", "é", "a\u{301}", "a\0", "*", "a/b", "ａ",
        ] {
            assert!(!is_component(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_components_of_bounded_length_together() {
        for bad in ["/", "/a", "a/", "a//b", "a/./b", "a/../b", "a/B", "localhost:5000/a", "${user}/a", "a/*"] {
            assert_eq!(RepositoryName::parse(bad), Err(RepositoryNameError::BadComponent), "{bad}");
        }
        assert_eq!(RepositoryName::parse(""), Err(RepositoryNameError::Empty));
        let longest = format!("{}/{}", "a".repeat(127), "b".repeat(127));
        assert_eq!(RepositoryName::parse(&longest).unwrap().as_str(), longest);
        assert_eq!(RepositoryName::parse(&format!("{longest}b")), Err(RepositoryNameError::TooLong));
    }

    #[test]
    fn tags_follow_the_grammar() {
        for good in ["latest", "v1.0-rc_1", "_", "A", "0", &"a".repeat(MAX_TAG)] {
            assert_eq!(Tag::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", ".a", "-", "-a", "a b", "a+b", "a/b", "a:b", "é", "a\n", &"a".repeat(MAX_TAG + 1)] {
            assert_eq!(Tag::parse(bad), Err(TagError), "{bad}");
        }
    }

    #[test]
    fn a_colon_makes_a_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert!(matches!(Reference::parse("sha256"), Ok(Reference::Tag(_))));
        assert!(matches!(Reference::parse(&digest), Ok(Reference::Digest(_))));
        assert_eq!(Reference::parse("sha256:a"), Err(DigestError::BadHex.into()));
        assert_eq!(Reference::parse("-"), Err(TagError.into()));
    }

    proptest! {
        #[test]
        fn what_the_expression_makes_is_a_name(
            first in "[a-z0-9]{1,4}((\\.|_|__|-{1,4})[a-z0-9]{1,4}){0,3}",
            more in "(/[a-z0-9]{1,4}((\\.|_|__|-{1,4})[a-z0-9]{1,4}){0,3}){0,4}",
        ) {
            let name = first + &more;
            let parsed = RepositoryName::parse(&name).unwrap();
            prop_assert_eq!(parsed.as_str(), name);
        }

        #[test]
        fn a_bad_separator_spoils_a_name(before in "[a-z0-9]{1,3}", separator in "\\.{2,3}|_{3,4}|[._]-|-[._]|\\._|_\\.|[A-Z:@ %]", after in "[a-z0-9]{1,3}") {
            let text = format!("{before}{separator}{after}");
            prop_assert!(!is_component(&text), "{}", text);
        }
    }
}
