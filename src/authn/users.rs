//! The member `users`: the inline `[users]` table.

use std::collections::HashMap;
use std::sync::Arc;

use super::hasher::Hasher;
use super::member::{Answer, Lookup, Member, Outcome};
use super::password::{Cost, PasswordHash};
use crate::secret::Secret;
use crate::subject::{GroupName, Subject, UserName};

/// Users with their hashes: the part that `users` and `htpasswd` share.
#[derive(Debug)]
pub(super) struct Table {
    entries: HashMap<UserName, Entry>,
    costs: Arc<[Cost]>,
}

#[derive(Debug)]
struct Entry {
    hash: PasswordHash,
    subject: Arc<Subject>,
}

impl Table {
    pub(super) fn new(member: &Arc<str>, users: impl IntoIterator<Item = NewUser>) -> Self {
        let entries: HashMap<_, _> = users
            .into_iter()
            .map(|NewUser { name, hash, groups }| {
                let subject = Arc::new(Subject::new(name.clone(), groups, Arc::clone(member)));
                (name, Entry { hash, subject })
            })
            .collect();
        let mut costs: Vec<_> = entries.values().map(|entry| entry.hash.cost()).collect();
        costs.sort_unstable();
        costs.dedup();
        Self { entries, costs: costs.into() }
    }

    pub(super) async fn authenticate(&self, hasher: &Hasher, user: &UserName, password: &Secret) -> Outcome {
        let Some(entry) = self.entries.get(user) else { return Outcome::UnknownHere };
        match hasher.verify(&entry.hash, password).await {
            Ok(true) => Outcome::Accepted(Arc::clone(&entry.subject)),
            Ok(false) => Outcome::Wrong,
            Err(error) => error.into(),
        }
    }

    pub(super) fn lookup(&self, user: &UserName) -> Lookup {
        self.entries.get(user).map_or(Lookup::Gone, |entry| Lookup::Known(Arc::clone(&entry.subject)))
    }

    pub(super) fn costs(&self) -> Arc<[Cost]> {
        Arc::clone(&self.costs)
    }
}

/// One user of a local member.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The name.
    pub name: UserName,
    /// The stored hash.
    pub hash: PasswordHash,
    /// The groups that the member itself gives this user; `[groups]` is the chain's.
    pub groups: Vec<GroupName>,
}

/// The inline users.
#[derive(Debug)]
pub struct Users {
    name: Arc<str>,
    hasher: Arc<Hasher>,
    table: Table,
}

impl Users {
    /// A member named `users` over a fixed table. Of two users of one name the later counts.
    pub fn new(users: impl IntoIterator<Item = NewUser>, hasher: Arc<Hasher>) -> Self {
        let name = Arc::from("users");
        let table = Table::new(&name, users);
        Self { name, hasher, table }
    }
}

impl Member for Users {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn authenticate<'a>(&'a self, user: &'a UserName, password: &'a Secret) -> Answer<'a> {
        Box::pin(self.table.authenticate(&self.hasher, user, password))
    }

    fn lookup(&self, user: &UserName) -> Lookup {
        self.table.lookup(user)
    }

    fn costs(&self) -> Arc<[Cost]> {
        self.table.costs()
    }
}
