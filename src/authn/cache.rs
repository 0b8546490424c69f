//! Verified passwords, remembered for a while under a keyed hash. Only right ones, never in the clear.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use quick_cache::sync::Cache;

use crate::clock::Clock;
use crate::secret::Secret;
use crate::subject::Subject;

/// A keyed hash of the state of the chain, a user name and a password.
pub(super) type Key = [u8; 32];

/// The system has no random bytes for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random generator does not work")]
pub struct NoRandomness;

/// A key that this process made and nobody else knows.
pub(super) struct Keyed(hmac::Key);

impl Keyed {
    pub(super) fn new() -> Result<Self, NoRandomness> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        rand::fill(&mut *key).map_err(|_| NoRandomness)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &*key)))
    }

    /// The hash of a user name and a password as they were checked by members in these generations.
    pub(super) fn pair(&self, generations: impl Iterator<Item = u64>, user: &str, password: &Secret) -> Key {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"pair");
        // Fixed in number for one chain, and fixed in width: no other pair yields the same text.
        generations.for_each(|generation| context.update(&generation.to_be_bytes()));
        finish(context, [user, password.expose()])
    }

    /// The hash of an OAuth2 client and its secret. A user's name and password never have the same one.
    pub(super) fn client(&self, id: &str, secret: &Secret) -> Key {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"client");
        finish(context, [id, secret.expose()])
    }

    /// A number below `len` that is always the same for a name and that nobody outside can foretell.
    pub(super) fn choice(&self, name: &str, len: usize) -> usize {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"choice");
        context.update(name.as_bytes());
        let key = key_of(&context.sign());
        key.iter().fold(0, |rest, byte| (rest * 256 + usize::from(*byte)) % len.max(1))
    }
}

fn finish(mut context: hmac::Context, parts: [&str; 2]) -> Key {
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    key_of(&context.sign())
}

fn key_of(tag: &hmac::Tag) -> Key {
    let mut key = [0; 32];
    key.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    key
}

/// Bounded in number and in time.
pub(super) struct Verified {
    entries: Option<Cache<Key, Entry>>,
    ttl: u64,
    clock: Clock,
}

#[derive(Clone)]
struct Entry {
    subject: Arc<Subject>,
    since: u64,
}

impl Verified {
    /// A `ttl` under one second, or no room for an entry, turns the memory off.
    pub(super) fn new(entries: usize, ttl: Duration, clock: Clock) -> Self {
        let ttl = ttl.as_secs();
        Self { entries: (ttl > 0 && entries > 0).then(|| Cache::new(entries)), ttl, clock }
    }

    pub(super) fn recall(&self, key: &Key) -> Option<Arc<Subject>> {
        let entries = self.entries.as_ref()?;
        let entry = entries.get(key)?;
        // A clock that was set back makes the difference huge: the entry is forgotten, not prolonged.
        if self.clock.now().wrapping_sub(entry.since) < self.ttl {
            return Some(entry.subject);
        }
        entries.remove(key);
        None
    }

    pub(super) fn remember(&self, key: Key, subject: &Arc<Subject>) {
        if let Some(entries) = &self.entries {
            entries.insert(key, Entry { subject: Arc::clone(subject), since: self.clock.now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Keyed;
    use crate::secret::Secret;

    #[test]
    fn the_parts_of_a_key_do_not_run_into_each_other() {
        let keyed = Keyed::new().unwrap();
        let key = |generation, user, password| keyed.pair([generation].into_iter(), user, &Secret::new(password));
        let keys = [
            key(1, "ab", "c"),
            key(1, "a", "bc"),
            key(1, "abc", ""),
            key(1, "", "abc"),
            key(2, "ab", "c"),
            Keyed::new().unwrap().pair([1].into_iter(), "ab", &Secret::new("c")),
            keyed.client("ab", &Secret::new("c")),
            keyed.client("a", &Secret::new("bc")),
            keyed.pair([].into_iter(), "ab", &Secret::new("c")),
        ];
        assert_eq!(HashSet::from(keys).len(), 9);
        assert_eq!(key(1, "ab", "c"), keys[0]);
    }

    #[test]
    fn a_choice_is_stable_within_bounds_and_reaches_everything() {
        let keyed = Keyed::new().unwrap();
        let choices: Vec<_> = (0..200).map(|n| keyed.choice(&n.to_string(), 3)).collect();
        assert_eq!(choices.iter().copied().collect::<HashSet<_>>(), HashSet::from([0, 1, 2]));
        assert_eq!(choices[7], keyed.choice("7", 3));
        assert_eq!(keyed.choice("7", 0), 0);
    }
}
