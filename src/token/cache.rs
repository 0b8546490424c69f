//! Verified tokens, remembered by hash.
//!
//! The text of a token is not kept. A cache belongs to one state of keys, settings and rules: a reload starts a new one.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::Verified;

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

/// A bounded cache of accepted tokens. Refused ones are not kept: they could push out the others.
pub struct Cache<T>(quick_cache::sync::Cache<TokenHash, Arc<Entry<T>>>);

impl<T> Cache<T> {
    /// A cache of at most so many tokens.
    pub fn new(capacity: usize) -> Self {
        Self(quick_cache::sync::Cache::new(capacity))
    }

    /// The entry of a token, expired or not.
    pub fn get(&self, hash: &TokenHash) -> Option<Arc<Entry<T>>> {
        self.0.get(hash)
    }

    /// Remembers a token.
    pub fn insert(&self, hash: TokenHash, entry: Entry<T>) -> Arc<Entry<T>> {
        let entry = Arc::new(entry);
        self.0.insert(hash, Arc::clone(&entry));
        entry
    }

    /// Forgets a token.
    pub fn remove(&self, hash: &TokenHash) {
        self.0.remove(hash);
    }

    /// How many tokens are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("len", &self.len()).finish_non_exhaustive()
    }
}
