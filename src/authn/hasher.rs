//! Password hashing off the workers, behind a bound: so many at once, so many waiting, and beyond that *busy*.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::password::{Cost, PasswordHash};
use crate::secret::Secret;

/// Runs password hashes on the blocking pool of the current runtime. One for the whole process, whatever the number of
/// runtimes and however often the configuration is reloaded.
#[derive(Debug)]
pub struct Hasher {
    /// One permit for each computation that runs or waits.
    admitted: Arc<Semaphore>,
    /// One permit for each computation that runs.
    running: Arc<Semaphore>,
    done: Arc<AtomicU64>,
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
    /// At most `at_once` computations run (at least one), and at most `waiting` more wait for them.
    pub fn new(at_once: usize, waiting: usize) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS / 2);
        let admitted = at_once.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        Self {
            admitted: Arc::new(Semaphore::new(admitted)),
            running: Arc::new(Semaphore::new(at_once)),
            done: Arc::default(),
        }
    }

    /// Whether `password` is the one behind `hash`.
    pub async fn verify(&self, hash: &PasswordHash, password: &Secret) -> Result<bool, HashingError> {
        let (hash, password) = (hash.clone(), password.clone());
        self.run(move || hash.verify(&password)).await
    }

    /// Takes as long as a verification against a hash of this cost, and counts like one.
    pub async fn spend(&self, cost: Cost, password: &Secret) -> Result<(), HashingError> {
        let password = password.clone();
        self.run(move || cost.spend(&password)).await
    }

    /// How many computations, real and spent for nothing, have ended so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, HashingError> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| HashingError::Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| HashingError::Broken)?;
        let done = Arc::clone(&self.done);
        // The permits travel with the work: a client that goes away does not make room for more than the bound.
        let work = spawn_blocking(move || {
            let result = work();
            done.fetch_add(1, Ordering::Relaxed);
            drop((running, admitted));
            result
        });
        work.await.map_err(|_| HashingError::Broken)
    }

    /// Keeps every computation waiting until the result is dropped.
    #[cfg(test)]
    pub(super) fn hold(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(self.running.available_permits()).unwrap();
        Arc::clone(&self.running).try_acquire_many_owned(all).unwrap()
    }
}
