//! The `[groups]` table: groups that the configuration gives to users of any member.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::member::Lookup;
use crate::subject::{GroupName, Subject, UserName};

/// Who is in which group, by configuration.
#[derive(Debug, Default)]
pub struct Groups {
    of_user: HashMap<UserName, Vec<GroupName>>,
    named: HashSet<GroupName>,
}

impl Groups {
    /// Turns groups with their members into users with their groups.
    pub fn new(groups: impl IntoIterator<Item = (GroupName, Vec<UserName>)>) -> Self {
        let mut table = Self::default();
        for (group, users) in groups {
            for user in users {
                table.of_user.entry(user).or_default().push(group.clone());
            }
            table.named.insert(group);
        }
        table
    }

    /// A user with the groups that this table gives.
    ///
    /// What a *remote* member says of a group that this table names does not count: who is in such a group is the table's
    /// alone. Otherwise nobody could tell, when a token is used, whether the table once gave the group or the member did,
    /// and taking somebody out of the table would take effect only when the token expires.
    pub(super) fn complete(&self, lookup: &Lookup, subject: Arc<Subject>) -> Arc<Subject> {
        let given = self.of_user.get(&subject.name).map_or(&[][..], Vec::as_slice);
        let drops =
            |group: &GroupName| *lookup == Lookup::Remote && self.named.contains(group) && !given.contains(group);
        if given.iter().all(|group| subject.groups.contains(group)) && !subject.groups.iter().any(drops) {
            return subject;
        }
        let groups = subject.groups.iter().filter(|group| !drops(group)).chain(given).cloned().collect();
        let completed = Subject::new(subject.name.clone(), groups, Arc::clone(&subject.member));
        Arc::new(Subject { claims: subject.claims.clone(), ..completed })
    }
}
