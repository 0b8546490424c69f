//! Ids of upload sessions. They are the upstream's own, and opaque.

use std::fmt;
use std::sync::Arc;

use super::escape::is_unreserved;

/// The longest session id in bytes. Most registries use UUIDs, some a few hundred characters of state.
pub const MAX_SESSION_ID: usize = 1024;

/// The id of an upload session: unreserved characters (RFC 3986), `=` and `:`, but no dot segment.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Arc<str>);

/// A text that is no session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of an upload session has 1 to {MAX_SESSION_ID} letters, digits and any of -._~=:")]
pub struct SessionIdError;

impl SessionId {
    /// Checks a text.
    pub fn parse(text: &str) -> Result<Self, SessionIdError> {
        let good = (1..=MAX_SESSION_ID).contains(&text.len())
            && !matches!(text, "." | "..")
            && text.bytes().all(|byte| is_unreserved(byte) || matches!(byte, b'=' | b':'));
        if good { Ok(Self(text.into())) } else { Err(SessionIdError) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_opaque_but_harmless() {
        for good in ["6b3c9a93-af5d-473f-a4ff-9710022185cd", "AJMK_~.x==", "1:2", "...", &"a".repeat(MAX_SESSION_ID)] {
            assert_eq!(SessionId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a b", "a%2fb", "a;b", "é", "a?b", "a\0", &"a".repeat(MAX_SESSION_ID + 1)] {
            assert_eq!(SessionId::parse(bad), Err(SessionIdError), "{bad}");
        }
    }
}
