//! What an API token may be used for: `api:read`, `api:write`. Which paths are open to whom is decided by rules, not here.

use std::fmt;
use std::str::FromStr;

use http::Method;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One scope of an API token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiScope {
    /// `api:read`: GET, HEAD and OPTIONS.
    Read,
    /// `api:write`: every other method.
    Write,
}

impl ApiScope {
    /// Both, in the order in which they are written.
    pub const ALL: [Self; 2] = [Self::Read, Self::Write];

    /// The one that a request with this method needs.
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Self::Read,
            _ => Self::Write,
        }
    }

    /// As clients ask for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "api:read",
            Self::Write => "api:write",
        }
    }
}

impl fmt::Display for ApiScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no scope of an API token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are api:read and api:write")]
pub struct UnknownApiScope;

impl FromStr for ApiScope {
    type Err = UnknownApiScope;

    fn from_str(text: &str) -> Result<Self, UnknownApiScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownApiScope)
    }
}

/// A set of them. One does not imply the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ApiScopes {
    read: bool,
    write: bool,
}

impl ApiScopes {
    /// Good for nothing.
    pub const NONE: Self = Self { read: false, write: false };
    /// Good for every method.
    pub const ALL: Self = Self { read: true, write: true };

    /// Whether `scope` is among them.
    pub fn contains(self, scope: ApiScope) -> bool {
        match scope {
            ApiScope::Read => self.read,
            ApiScope::Write => self.write,
        }
    }

    /// Adds one.
    pub fn insert(&mut self, scope: ApiScope) {
        match scope {
            ApiScope::Read => self.read = true,
            ApiScope::Write => self.write = true,
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = ApiScope> {
        ApiScope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<ApiScope> for ApiScopes {
    fn from_iter<I: IntoIterator<Item = ApiScope>>(scopes: I) -> Self {
        let mut set = Self::NONE;
        scopes.into_iter().for_each(|scope| set.insert(scope));
        set
    }
}

/// With blanks between them, as the `scope` of an answer has them (RFC 6749, section 3.3).
impl fmt::Display for ApiScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.iter().enumerate() {
            write!(f, "{}{scope}", if n == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl Serialize for ApiScopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Only what is known: a scope of another version could narrow the token.
impl<'de> Deserialize<'de> for ApiScopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let scopes = text.split(' ').filter(|scope| !scope.is_empty());
        scopes.map(str::parse::<ApiScope>).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::{ApiScope, ApiScopes};

    #[test]
    fn each_method_needs_one_scope() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert_eq!(ApiScope::of(&method), ApiScope::Read, "{method}");
        }
        let own = Method::from_bytes(b"PURGE").unwrap();
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, own] {
            assert_eq!(ApiScope::of(&method), ApiScope::Write, "{method}");
        }
    }

    #[test]
    fn what_is_unknown_is_no_scope() {
        for text in ["api", "api:", "api:READ", "api:read,write", "api:admin", "repository:api:pull", ""] {
            assert!(text.parse::<ApiScope>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<ApiScopes>("\"api:read api:admin\"").is_err());
        assert!(serde_json::from_str::<ApiScopes>("[\"api:read\"]").is_err());
    }

    proptest! {
        #[test]
        fn a_set_is_written_and_read_back(read: bool, write: bool) {
            let wanted = [(read, ApiScope::Read), (write, ApiScope::Write)];
            let set: ApiScopes = wanted.iter().filter(|(is, _)| *is).map(|(_, scope)| *scope).collect();
            prop_assert!(wanted.iter().all(|(is, scope)| set.contains(*scope) == *is));
            prop_assert_eq!(set.is_empty(), !read && !write);
            let json = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(serde_json::from_str::<ApiScopes>(&json).unwrap(), set);
        }
    }
}
