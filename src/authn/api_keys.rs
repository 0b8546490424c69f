//! API keys (`[api_keys]`): callers who come with one long secret, in a header of its own or as a password.

use std::collections::HashMap;
use std::sync::Arc;

use super::key_hash::KeyHash;
use crate::clock::Clock;
use crate::secret::Secret;
use crate::subject::{GroupName, Subject, UserName};

/// The member that their subjects name.
pub const API_KEYS: &str = "api-keys";

/// One key.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Who comes with it.
    pub name: UserName,
    /// The hash of the key.
    pub hash: KeyHash,
    /// The groups of that name.
    pub groups: Vec<GroupName>,
    /// From this time on (seconds since the epoch) it is refused.
    pub expires: Option<u64>,
}

/// Why a key was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// No such key, or its name is reserved.
    #[error("the API key is not known here")]
    Unknown,
    /// It is known, and its time is over. Only who has the key hears of this.
    #[error("the API key has expired")]
    Expired(UserName),
}

/// All keys, by their hashes.
///
/// A key is looked up by its SHA-256. How long that takes may depend on the digest, which nobody can steer towards that of a
/// key that they do not have.
#[derive(Debug, Default)]
pub struct ApiKeys {
    by_hash: HashMap<KeyHash, Entry>,
    clock: Clock,
}

#[derive(Debug)]
struct Entry {
    subject: Arc<Subject>,
    expires: Option<u64>,
}

impl ApiKeys {
    /// A table of keys. Of two with one hash the later counts.
    pub fn new(keys: impl IntoIterator<Item = NewApiKey>, clock: Clock) -> Self {
        let member = Arc::from(API_KEYS);
        let entry = |NewApiKey { name, hash, groups, expires }| {
            (hash, Entry { subject: Arc::new(Subject::new(name, groups, Arc::clone(&member))), expires })
        };
        Self { by_hash: keys.into_iter().map(entry).collect(), clock }
    }

    /// Whether there is no key.
    pub(super) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Whose key this is. The time is asked at each call.
    pub(super) fn find(&self, key: &Secret) -> Result<&Arc<Subject>, KeyRefused> {
        let entry = self.by_hash.get(&KeyHash::of(key)).ok_or(KeyRefused::Unknown)?;
        if self.is_over(entry) { Err(KeyRefused::Expired(entry.subject.name.clone())) } else { Ok(&entry.subject) }
    }

    /// Whether `key` is the one of `name`, good or not: what is presented as name and password may be a user's.
    pub(super) fn is_of(&self, name: &str, key: &Secret) -> bool {
        !self.by_hash.is_empty()
            && self.by_hash.get(&KeyHash::of(key)).is_some_and(|entry| entry.subject.name.as_str() == name)
    }

    /// The name's subject, while its key is good.
    pub(super) fn lookup(&self, name: &UserName) -> Option<&Arc<Subject>> {
        let mut good = self.by_hash.values().filter(|entry| entry.subject.name == *name && !self.is_over(entry));
        good.next().map(|entry| &entry.subject)
    }

    fn is_over(&self, entry: &Entry) -> bool {
        entry.expires.is_some_and(|expires| self.clock.now() >= expires)
    }
}

#[cfg(test)]
mod tests {
    use super::{ApiKeys, KeyRefused, NewApiKey};
    use crate::authn::key_hash::KeyHash;
    use crate::authn::testing::name;
    use crate::clock::Clock;
    use crate::secret::Secret;

    #[test]
    fn a_key_is_good_until_its_time_has_come() {
        let clock = Clock::manual(1000);
        let key =
            |user: &str, text: &str, expires| NewApiKey { name: name(user), hash: hash(text), groups: vec![], expires };
        let keys = ApiKeys::new([key("ci", "tgk_a", Some(1001)), key("cd", "tgk_b", None)], clock.clone());
        let find = |text: &str| keys.find(&Secret::new(text)).map(|subject| subject.name.as_str().to_owned());
        assert_eq!(find("tgk_a"), Ok("ci".into()));
        assert_eq!(find("tgk_b"), Ok("cd".into()));
        for text in ["", "tgk_", "tgk_A", "tgk_a ", "ci", &hash("tgk_a").to_text()] {
            assert_eq!(find(text), Err(KeyRefused::Unknown), "{text}");
        }
        assert!(keys.lookup(&name("ci")).is_some() && keys.lookup(&name("CI")).is_none());
        clock.set(1001);
        assert_eq!(find("tgk_a"), Err(KeyRefused::Expired(name("ci"))));
        for (user, text, is) in
            [("ci", "tgk_a", true), ("cd", "tgk_b", true), ("ci", "tgk_b", false), ("CI", "tgk_a", false)]
        {
            assert_eq!(keys.is_of(user, &Secret::new(text)), is, "{user} {text}");
        }
        assert!(keys.lookup(&name("ci")).is_none());
        clock.set(u64::MAX);
        assert_eq!(find("tgk_b"), Ok("cd".into()));
    }

    fn hash(text: &str) -> KeyHash {
        KeyHash::of(&Secret::new(text))
    }
}
