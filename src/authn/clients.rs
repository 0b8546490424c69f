//! OAuth2 clients (`[clients]`): programs that fetch API tokens with a name and a secret of their own. They are no members of
//! the chain: with a client's secret nobody logs in.

use std::collections::HashMap;
use std::sync::Arc;

use super::hasher::{Hasher, HashingError};
use super::key_hash::KeyHash;
use super::password::{Cost, HashError, PasswordHash};
use crate::secret::Secret;
use crate::subject::{GroupName, Subject, UserName};

/// The member that their subjects name.
pub const CLIENTS: &str = "clients";

/// The stored hash of a client's secret. `Debug` does not show it.
#[derive(Clone, Debug)]
pub enum SecretHash {
    /// argon2id or bcrypt, for a secret that somebody thought of.
    Slow(PasswordHash),
    /// SHA-256, for a key that `tidegate api-key` made.
    Fast(KeyHash),
}

impl SecretHash {
    /// Parses a password hash, or a `sha256:` one.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        if text.starts_with("sha256:") {
            return KeyHash::parse(text).map(Self::Fast).map_err(|error| HashError(error.to_string()));
        }
        PasswordHash::parse(text).map(Self::Slow)
    }

    /// What a verification costs; `None` for next to nothing.
    fn cost(&self) -> Option<Cost> {
        match self {
            Self::Slow(hash) => Some(hash.cost()),
            Self::Fast(_) => None,
        }
    }
}

/// One client.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// Its `client_id`.
    pub name: UserName,
    /// The hash of its secret.
    pub secret_hash: SecretHash,
    /// Its groups.
    pub groups: Vec<GroupName>,
}

/// All clients.
#[derive(Debug, Default)]
pub struct Clients {
    entries: HashMap<UserName, Entry>,
    /// The distinct costs of their hashes, sorted.
    costs: Vec<Option<Cost>>,
}

#[derive(Debug)]
struct Entry {
    hash: SecretHash,
    subject: Arc<Subject>,
}

impl Clients {
    /// A table of clients. Of two of one name the later counts.
    pub fn new(clients: impl IntoIterator<Item = NewClient>) -> Self {
        let member = Arc::from(CLIENTS);
        let entry = |NewClient { name, secret_hash, groups }| {
            let subject = Arc::new(Subject::new(name.clone(), groups, Arc::clone(&member)));
            (name, Entry { hash: secret_hash, subject })
        };
        let entries: HashMap<_, _> = clients.into_iter().map(entry).collect();
        let mut costs: Vec<_> = entries.values().map(|entry| entry.hash.cost()).collect();
        costs.sort_unstable();
        costs.dedup();
        Self { entries, costs }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn lookup(&self, name: &UserName) -> Option<&Arc<Subject>> {
        self.entries.get(name).map(|entry| &entry.subject)
    }

    /// The client of this name, if `secret` is its own. `name` is none for names that nobody can have; `choice` takes a number
    /// of costs to one of them, always the same for one name. Who is unknown costs what one of those who are known costs.
    pub(super) async fn verify(
        &self,
        hasher: &Hasher,
        name: Option<&UserName>,
        secret: &Secret,
        choice: impl FnOnce(usize) -> usize,
    ) -> Result<Option<&Arc<Subject>>, HashingError> {
        let Some(entry) = name.and_then(|name| self.entries.get(name)) else {
            if let Some(cost) = self.costs.get(choice(self.costs.len())).copied().flatten() {
                hasher.spend(cost, secret).await?;
            }
            return Ok(None);
        };
        let right = match &entry.hash {
            SecretHash::Slow(hash) => hasher.verify(hash, secret).await?,
            SecretHash::Fast(hash) => hash.verify(secret),
        };
        Ok(right.then_some(&entry.subject))
    }
}
