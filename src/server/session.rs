//! What was decided for a verified token.
//!
//! Decisions and identity headers are kept by method and request target, the raw text of which everything else follows from. They are
//! forgotten when the subject's groups change, when the token leaves the cache, and with the state that a reload replaces.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;

use super::passage::Passage;
use crate::subject::Caller;
use crate::token::Verified;

/// Most decisions that are kept for one token; beyond it, all are forgotten and made again.
const MOST: usize = 128;

/// The decisions of one token, beside it in the cache of verified tokens.
#[derive(Debug)]
pub struct Session(Mutex<Known>);

#[derive(Debug)]
struct Known {
    caller: Caller,
    passages: HashMap<Key, Arc<Passage>>,
}

/// What a decision depends on, beside the token and the rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) method: Method,
    pub(crate) target: String,
    /// Only where a rule reads it.
    pub(crate) client: Option<IpAddr>,
}

impl Session {
    /// For a token that was just verified: nothing is decided yet.
    pub(crate) fn new(verified: &Verified) -> Self {
        Self(Mutex::new(Known { caller: verified.caller.clone(), passages: HashMap::new() }))
    }

    /// What was decided, as long as the caller is who they were then.
    pub(crate) fn passage(&self, caller: &Caller, key: &Key) -> Option<Arc<Passage>> {
        let known = self.lock();
        (known.caller == *caller).then(|| known.passages.get(key).cloned()).flatten()
    }

    /// Keeps a decision.
    pub(crate) fn keep(&self, caller: &Caller, key: Key, passage: Arc<Passage>) {
        let mut known = self.lock();
        if known.caller != *caller {
            known.caller = caller.clone();
            known.passages.clear();
        }
        if known.passages.len() >= MOST {
            known.passages.clear();
        }
        known.passages.insert(key, passage);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
