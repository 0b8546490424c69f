//! What a member of the `[[authn]]` chain is asked, and what it may answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::hasher::HashingError;
use super::password::Cost;
use crate::metrics;
use crate::secret::Secret;
use crate::subject::{Subject, UserName};

/// The future of a member's answer.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// What a member says about a user name and a password. The four never blur.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The member knows the user, and the password is right.
    Accepted(Arc<Subject>),
    /// The member does not know the user; the next one may.
    UnknownHere,
    /// The member knows the user, and the password is wrong. Nobody else is asked.
    Wrong,
    /// The member cannot say. Nobody else is asked: a later member may hold a different person of that name.
    Unavailable(Trouble),
}

impl Outcome {
    /// What it is counted as.
    pub(super) fn answer(&self) -> metrics::Answer {
        match self {
            Self::Accepted(_) => metrics::Answer::Accepted,
            Self::UnknownHere => metrics::Answer::Unknown,
            Self::Wrong => metrics::Answer::Wrong,
            Self::Unavailable(Trouble::Busy) => metrics::Answer::Busy,
            Self::Unavailable(Trouble::Failed(_)) => metrics::Answer::Unavailable,
        }
    }
}

/// Why a member cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The bound on password hashing is reached.
    Busy,
    /// Anything else; the text is for the log and holds no secret.
    Failed(String),
}

impl From<HashingError> for Outcome {
    fn from(error: HashingError) -> Self {
        Self::Unavailable(match error {
            HashingError::Busy => Trouble::Busy,
            HashingError::Broken => Trouble::Failed(error.to_string()),
        })
    }
}

/// What a member knows of a user without a password, when a token is used.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// The user as the member's own table has it now.
    Known(Arc<Subject>),
    /// The member's table has no such user (any more).
    Gone,
    /// The member keeps no table here; what it said when the token was issued holds until the token expires.
    Remote,
}

/// One entry of the `[[authn]]` chain.
pub trait Member: Send + Sync {
    /// The member's name, which travels in tokens and stands in logs: `users`, `htpasswd`, …
    fn name(&self) -> &Arc<str>;

    /// Checks a password.
    ///
    /// A local member does exactly one verification for a user it knows, and none for one it does not; the chain makes
    /// up for that.
    fn authenticate<'a>(&'a self, user: &'a UserName, password: &'a Secret) -> Answer<'a>;

    /// What the member knows of a user now. Must not wait.
    fn lookup(&self, _user: &UserName) -> Lookup {
        Lookup::Remote
    }

    /// A number that changes whenever the member's answers may have; what was remembered before is then forgotten.
    /// Must not wait.
    fn generation(&self) -> u64 {
        0
    }

    /// The distinct costs of the hashes that the member holds, for unknown users to cost the same.
    fn costs(&self) -> Arc<[Cost]> {
        Arc::from([])
    }

    /// How long the member may take before it counts as unavailable; `None` for members that are only bounded by the
    /// work itself.
    fn deadline(&self) -> Option<Duration> {
        None
    }
}
