//! Password hashing off the workers, behind a bound: so many at once, so many waiting, and beyond that *busy*.
//!
//! A hash takes as long as a thousand other requests. So that those do not wait for it where there is one processor, it is computed in a
//! thread of its own that has what others leave over.

mod computation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::{hmac, rand};
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use self::computation::{Computation, PATIENCE};
use super::password::{Cost, PasswordHash};
use crate::secret::Secret;

/// Passwords of which is remembered that they were right.
const KNOWN: usize = 20_000;

/// How much nicer than others threads are that compute hashes of passwords which were right before: where nothing is left over, a fourth of a processor is
/// theirs.
const NICENESS_OF_KNOWN: i32 = 5;
/// The same of all others: a tenth.
const NICENESS_OF_STRANGERS: i32 = 10;

/// Runs password hashes in threads. One for the whole process, whatever the number of
/// runtimes and however often the configuration is reloaded.
///
/// A password that was right before does not wait behind those that never were: a flood of wrong ones keeps nobody out who was in.
#[derive(Debug)]
pub struct Hasher {
    strangers: Lane,
    known: Lane,
    /// One permit for each thread that lives on what others leave over. One that was overtaken keeps its own until it has ended: those that come
    /// meanwhile begin with a share, so that the slow ones do not become more and more.
    leftovers: Arc<Semaphore>,
    right: Right,
    done: Arc<AtomicU64>,
}

/// So many run, so many wait.
#[derive(Debug)]
struct Lane {
    /// One permit for each computation that runs or waits.
    admitted: Arc<Semaphore>,
    /// One permit for each computation that runs.
    running: Arc<Semaphore>,
    niceness: i32,
}

impl Lane {
    fn new(at_once: usize, waiting: usize, niceness: i32) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS / 2);
        let admitted = at_once.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        Self { admitted: Arc::new(Semaphore::new(admitted)), running: Arc::new(Semaphore::new(at_once)), niceness }
    }
}

/// Which passwords were right for which hashes, under a keyed hash. That is no verdict: each is computed again.
struct Right {
    key: Option<hmac::Key>,
    pairs: Cache<[u8; 32], ()>,
}

impl Right {
    fn new() -> Self {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        // Without randomness nothing is remembered, and everybody waits in one line.
        let key = rand::fill(&mut *key).ok().map(|()| hmac::Key::new(hmac::HMAC_SHA256, &*key));
        Self { key, pairs: Cache::new(KNOWN) }
    }

    fn pair(&self, hash: &PasswordHash, password: &Secret) -> Option<[u8; 32]> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        hash.identify(|part| {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        });
        context.update(password.expose().as_bytes());
        let tag = context.sign();
        tag.as_ref().try_into().ok()
    }
}

impl std::fmt::Debug for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Right").field("pairs", &self.pairs.len()).finish_non_exhaustive()
    }
}

/// Why a password was not hashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashingError {
    /// The bound is reached.
    #[error("too many passwords are being checked at once")]
    Busy,
    /// The computation broke off.
    #[error("the password check broke off")]
    Broken,
}

impl Hasher {
    /// At most `at_once` computations run (at least one), and at most `waiting` more wait for them; of passwords that were right before as
    /// many again.
    pub fn new(at_once: usize, waiting: usize) -> Self {
        let lane = |niceness| Lane::new(at_once, waiting, niceness);
        let (strangers, known) = (lane(NICENESS_OF_STRANGERS), lane(NICENESS_OF_KNOWN));
        let places = strangers.running.available_permits() + known.running.available_permits();
        let leftovers = Arc::new(Semaphore::new(places));
        Self { strangers, known, leftovers, right: Right::new(), done: Arc::default() }
    }

    /// Whether `password` is the one behind `hash`.
    pub async fn verify(&self, hash: &PasswordHash, password: &Secret) -> Result<bool, HashingError> {
        let pair = self.right.pair(hash, password);
        let was_right = pair.is_some_and(|pair| self.right.pairs.get(&pair).is_some());
        let lane = if was_right { &self.known } else { &self.strangers };
        let (hash, password) = (hash.clone(), password.clone());
        let is_right = self.run(lane, move || hash.verify(&password)).await?;
        if let Some(pair) = pair.filter(|_| is_right && !was_right) {
            self.right.pairs.insert(pair, ());
        }
        Ok(is_right)
    }

    /// Takes as long as a verification against a hash of this cost, and counts like one.
    pub async fn spend(&self, cost: Cost, password: &Secret) -> Result<(), HashingError> {
        let password = password.clone();
        self.run(&self.strangers, move || cost.spend(&password)).await
    }

    /// How many computations, real and spent for nothing, have ended so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(
        &self,
        lane: &Lane,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<T, HashingError> {
        let admitted = Arc::clone(&lane.admitted).try_acquire_owned().map_err(|_| HashingError::Busy)?;
        let running = Arc::clone(&lane.running).acquire_owned().await.map_err(|_| HashingError::Broken)?;
        let (computation, result) = Computation::new(work, lane.niceness, [running, admitted], &self.done);
        let place = Arc::clone(&self.leftovers).try_acquire_owned().ok();
        computation.begin(place, PATIENCE).map_err(|_| HashingError::Broken)?;
        result.await.map_err(|_| HashingError::Broken)
    }

    /// Keeps every computation waiting, of passwords that were not right before, until the result is dropped.
    #[cfg(test)]
    pub(super) fn hold(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(self.strangers.running.available_permits()).unwrap();
        Arc::clone(&self.strangers.running).try_acquire_many_owned(all).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Hasher, HashingError};
    use crate::authn::password::PasswordHash;
    use crate::secret::Secret;

    #[tokio::test]
    async fn where_nothing_is_left_over_known_passwords_have_a_greater_share() {
        let hasher = Hasher::new(1, 1);
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let _leftovers = hasher.leftovers.try_acquire_many(2).unwrap();
        for (lane, nicer) in [(&hasher.known, 5), (&hasher.strangers, 10)] {
            // There is no more than 19.
            assert_eq!(hasher.run(lane, niceness).await, Ok((before + nicer).min(19)));
        }
        assert_eq!(niceness(), before);
    }

    #[tokio::test]
    async fn a_flood_of_strangers_does_not_hold_up_who_was_in_before() {
        let [right, wrong] = ["right", "wrong"].map(Secret::new);
        let hash = PasswordHash::parse(&bcrypt::hash(right.expose(), 4).unwrap()).unwrap();
        let hasher = Arc::new(Hasher::new(1, 1));
        assert_eq!(hasher.verify(&hash, &right).await, Ok(true));
        let flood = hasher.hold();
        let come = || {
            let (hasher, hash, wrong) = (Arc::clone(&hasher), hash.clone(), wrong.clone());
            tokio::spawn(async move { hasher.verify(&hash, &wrong).await })
        };
        let waiting = [come(), come()];
        // One turn, in which both get in line.
        tokio::task::yield_now().await;
        assert_eq!(hasher.verify(&hash, &wrong).await, Err(HashingError::Busy));
        assert_eq!(hasher.verify(&hash, &right).await, Ok(true), "whoever else waits");
        let other = PasswordHash::parse(&bcrypt::hash(right.expose(), 4).unwrap()).unwrap();
        assert_eq!(hasher.verify(&other, &right).await, Err(HashingError::Busy), "right for another account only");
        drop(flood);
        for one in waiting {
            assert_eq!(one.await.unwrap(), Ok(false));
        }
    }
}
