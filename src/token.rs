//! Tokens: what is in them, how they are signed, and when they are accepted.
//!
//! A token is a compact JWS (RFC 7515) by a key of the [`KeyRing`](crate::keys::KeyRing). Who may have which access is
//! decided in `authz`; here it is only written down and read back.

mod api_scope;
mod cache;
mod claims;
mod error;
mod header;
mod inspect;
mod issue;
mod json;
mod latest;
#[cfg(test)]
mod tests;
mod verify;

use std::time::Duration;

pub use api_scope::{ApiScope, ApiScopes, UnknownApiScope};
pub use cache::{Cache, Entry, TokenHash};
pub use error::{Part, TokenError};
pub use inspect::{Inspection, inspect};
pub use issue::{Grant, IssueError, Issued, Issuer};
pub use latest::Latest;
pub use verify::{Verified, Verifier};

/// The longest token that is issued or looked at, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;

/// The shortest life of a token in seconds: clients take a shorter one, or none, for 60 s.
pub const MIN_TTL: u64 = 60;

/// By how many seconds `nbf` and `iat` lie before the time of issue. Pulp checks both, and other verifiers `nbf`,
/// without leeway; this is how far their clocks may be behind ours.
pub const EARLY: u64 = 30;

/// What kind of route a token is good for. Neither kind grants anything on the other's routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Routes with `auth = "registry"`.
    Registry,
    /// Routes with `auth = "api"`, for these methods.
    Api(ApiScopes),
}

/// What the configuration says about tokens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `iss`, exactly.
    pub issuer: String,
    /// The audiences that are accepted, exactly.
    pub services: Vec<String>,
    /// The life of a token for registry routes; less than [`MIN_TTL`] is taken for it.
    pub ttl: Duration,
    /// The life of a token for API routes; less than [`MIN_TTL`] is taken for it.
    pub api_ttl: Duration,
}
