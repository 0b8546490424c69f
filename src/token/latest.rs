//! The token that was accepted last over one connection: the next request there mostly brings the same one, and is spared its hash.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::Entry;
use super::cache::CacheId;

/// What one connection remembers. It keeps the text of the token, as the client on the other end does.
pub struct Latest<T>(Mutex<Option<Accepted<T>>>);

struct Accepted<T> {
    text: Box<str>,
    entry: Arc<Entry<T>>,
    /// Where the entry is from: what another state has verified counts no more.
    cache: CacheId,
}

impl<T> Latest<T> {
    /// The entry of this token, expired or not, if it is the one that was accepted last, with the help of the same cache.
    pub(super) fn get(&self, cache: CacheId, token: &str) -> Option<Arc<Entry<T>>> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |latest: &&Accepted<T>| latest.cache == cache && *latest.text == *token;
        latest.as_ref().filter(same).map(|latest| Arc::clone(&latest.entry))
    }

    pub(super) fn set(&self, cache: CacheId, token: &str, entry: &Arc<Entry<T>>) {
        let accepted = Accepted { text: token.into(), entry: Arc::clone(entry), cache };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
    }

    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Latest")
    }
}
