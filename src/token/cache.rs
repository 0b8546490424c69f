//! Verified tokens, remembered by hash.
//!
//! The text of a token is not kept here. A cache belongs to one state of keys, settings and rules: a reload starts a new one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};

use super::Verified;
use crate::metrics::{CacheKind, Metrics};

/// The SHA-256 of a token's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token.
    pub fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        // Both have 32 bytes; `zip` says so without a panic to rule out.
        for (to, from) in hash.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()) {
            *to = *from;
        }
        Self(hash)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// An accepted token and the state that its user keeps with it.
#[derive(Debug)]
pub struct Entry<T> {
    /// What the token says. Its time must be checked at every use ([`Verified::check_time`]).
    pub verified: Verified,
    /// The user's own: answers of rules, identity headers.
    pub state: T,
}

/// Which cache it is: no two of one process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CacheId(u64);

impl CacheId {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A bounded cache of accepted tokens. Refused ones are not kept: they could push out the others.
pub struct Cache<T> {
    id: CacheId,
    entries: quick_cache::sync::Cache<TokenHash, Arc<Entry<T>>>,
    metrics: Option<Metrics>,
}

impl<T> Cache<T> {
    /// A cache of at most so many tokens.
    pub fn new(capacity: usize) -> Self {
        Self { id: CacheId::new(), entries: quick_cache::sync::Cache::new(capacity), metrics: None }
    }

    /// Counts look-ups there.
    #[must_use]
    pub fn counted(self, metrics: Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// The entry of a token, expired or not.
    pub fn get(&self, hash: &TokenHash) -> Option<Arc<Entry<T>>> {
        self.entries.get(hash)
    }

    /// Counts that a token was looked for, here or in what a connection remembers of it.
    pub fn count(&self, found: bool) {
        if let Some(metrics) = &self.metrics {
            metrics.lookup(CacheKind::Token, found);
        }
    }

    /// Which one it is.
    pub(super) fn id(&self) -> CacheId {
        self.id
    }

    /// Remembers a token.
    pub fn insert(&self, hash: TokenHash, entry: Entry<T>) -> Arc<Entry<T>> {
        let entry = Arc::new(entry);
        self.entries.insert(hash, Arc::clone(&entry));
        entry
    }

    /// Forgets a token.
    pub fn remove(&self, hash: &TokenHash) {
        self.entries.remove(hash);
    }

    /// How many tokens are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("len", &self.len()).finish_non_exhaustive()
    }
}
