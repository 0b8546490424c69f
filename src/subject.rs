//! Who is asking: the names and the facts that authentication yields and authorization reads.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest user or group name in bytes.
pub const MAX_NAME: usize = 255;

/// Why a text is no user or group name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The empty text.
    #[error("a name must not be empty")]
    Empty,
    /// Over [`MAX_NAME`] bytes.
    #[error("a name must not be longer than {MAX_NAME} bytes")]
    TooLong,
    /// A control character, or white space at either end.
    #[error("a name must not hold control characters, or begin or end with white space")]
    BadCharacter,
}

/// Whether a text is the name of a user or a group.
pub fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    // Most names are nothing but letters, digits and signs of ASCII.
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    if text.chars().any(char::is_control) || text.trim().len() != text.len() {
        return Err(NameError::BadCharacter);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks a text: 1 to 255 bytes, no control characters, no white space at the ends.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check_name(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name!(
    /// The name of a user: what a token carries as `sub` and rules match with `user:`.
    UserName
);
name!(
    /// The name of a group: what rules match with `group:`.
    GroupName
);

/// An authenticated identity: who, in which groups, and which member of the `[[authn]]` chain said so.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The user's name.
    pub name: UserName,
    /// Groups, sorted and without duplicates (see [`Subject::new`]).
    pub groups: Vec<GroupName>,
    /// The name of the `[[authn]]` member that accepted the credentials, such as `users` or `htpasswd`.
    pub member: Arc<str>,
    /// Further facts that the member vouches for; empty for local members.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

impl Subject {
    /// Puts the facts together; groups are sorted and deduplicated.
    pub fn new(name: UserName, mut groups: Vec<GroupName>, member: Arc<str>) -> Self {
        groups.sort();
        groups.dedup();
        Self { name, groups, member, claims: serde_json::Map::new() }
    }
}

/// The party behind a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Caller {
    /// Nobody said who they are.
    Anonymous,
    /// Somebody did, and it was verified.
    Known(Arc<Subject>),
}

impl Caller {
    /// Whether both are the same. Mostly it is the very same subject, which costs no comparison of names.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known(one), Self::Known(other)) if Arc::ptr_eq(one, other) => true,
            _ => self == other,
        }
    }

    /// The verified identity, if there is one.
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Anonymous => None,
            Self::Known(subject) => Some(subject),
        }
    }

    /// The user's name, if somebody said who they are.
    pub fn name(&self) -> Option<&UserName> {
        self.subject().map(|subject| &subject.name)
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An address.
    Ip(IpAddr),
    /// This machine, by a unix socket.
    Unix,
    /// Somewhere that a proxy does not tell.
    Unknown,
}

impl Origin {
    /// The address, where there is one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address),
            Self::Unix | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GroupName, NameError, Subject, UserName};

    #[test]
    fn names_are_checked() {
        assert!(UserName::parse("alice").is_ok());
        assert!(UserName::parse("repo:org/app:ref").is_ok());
        assert_eq!(UserName::parse(""), Err(NameError::Empty));
        assert_eq!(UserName::parse(&"a".repeat(256)), Err(NameError::TooLong));
        assert_eq!(UserName::parse("alice "), Err(NameError::BadCharacter));
        assert_eq!(UserName::parse("a\0b"), Err(NameError::BadCharacter));
    }

    #[test]
    fn groups_are_a_set() {
        let group = |name| GroupName::parse(name).unwrap();
        let subject =
            Subject::new(UserName::parse("a").unwrap(), vec![group("b"), group("a"), group("b")], "users".into());
        assert_eq!(subject.groups, [group("a"), group("b")]);
    }
}
