//! Patterns of rules (stub).

use std::str::FromStr;

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub String);

macro_rules! stub {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $type;

        impl FromStr for $type {
            type Err = PatternError;

            fn from_str(_text: &str) -> Result<Self, PatternError> {
                Ok(Self)
            }
        }
    };
}

stub!(
    /// One entry of `who`: `user:GLOB`, `group:GLOB`, `authenticated`, `anonymous`, `anyone`.
    Who
);
stub!(
    /// One entry of `repositories`.
    RepositoryPattern
);
stub!(
    /// One entry of `paths`.
    PathPattern
);
