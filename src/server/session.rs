//! What was decided for a verified token.
//!
//! Decisions are kept by method and request target, the raw text of which everything else follows from. They are forgotten when the
//! subject's groups change, when the token leaves the cache, and with the state that a reload replaces.

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
    /// By target: few are asked for in several ways.
    passages: HashMap<Box<str>, Vec<Decided>>,
    /// How many passages there are.
    kept: usize,
}

impl Known {
    fn of(caller: &Caller) -> Self {
        Self { caller: caller.clone(), passages: HashMap::new(), kept: 0 }
    }
}

/// What a decision depends on, beside the token and the rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) method: &'a Method,
    pub(crate) target: &'a str,
    /// Only where a rule reads it; and a unix peer has none.
    pub(crate) client: Option<IpAddr>,
}

/// A decision about a target.
#[derive(Debug)]
struct Decided {
    method: Method,
    client: Option<IpAddr>,
    passage: Arc<Passage>,
}

impl Session {
    /// For a token that was just verified: nothing is decided yet.
    pub(crate) fn new(verified: &Verified) -> Self {
        Self(Mutex::new(Known::of(&verified.caller)))
    }

    /// What was decided, as long as the caller is who they were then.
    pub(crate) fn passage(&self, caller: &Caller, key: Key<'_>) -> Option<Arc<Passage>> {
        let known = self.lock();
        if !known.caller.is_same(caller) {
            return None;
        }
        let is_it = |decided: &&Decided| decided.method == key.method && decided.client == key.client;
        known.passages.get(key.target)?.iter().find(is_it).map(|decided| Arc::clone(&decided.passage))
    }

    /// Keeps a decision.
    pub(crate) fn keep(&self, caller: &Caller, key: Key<'_>, passage: &Arc<Passage>) {
        let mut known = self.lock_for(caller);
        if known.kept >= MOST {
            known.passages.clear();
            known.kept = 0;
        }
        known.kept += 1;
        let decided = Decided { method: key.method.clone(), client: key.client, passage: Arc::clone(passage) };
        known.passages.entry(key.target.into()).or_default().push(decided);
    }

    /// What is known of this caller: nothing, if it was another one's (other groups, say) until now.
    fn lock_for(&self, caller: &Caller) -> std::sync::MutexGuard<'_, Known> {
        let mut known = self.lock();
        if !known.caller.is_same(caller) {
            *known = Known::of(caller);
        }
        known
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
