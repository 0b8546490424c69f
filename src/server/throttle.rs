//! Throttling of log-ins and of the token endpoint: by address, and by account and address together.
//!
//! What is counted, and who has to wait, is decided here; `login` asks. Never is an account alone counted, or anybody could lock
//! somebody else out. Whose name and secret were right before does not wait at all. The tables are bounded: what is forgotten first is
//! what has not been used for long.

mod account;
mod rate;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{hmac, rand};
use quick_cache::sync::Cache;

use self::account::{Account, Verdict};
use self::rate::{Quota, Rate};
use super::stream::network_of;
use crate::authn::NoRandomness;
use crate::secret::Secret;
use crate::subject::Origin;

/// Accounts as seen from an address, and addresses, of which something is remembered.
const REMEMBERED: usize = 50_000;
/// Names and secrets that are known to be right.
const KNOWN: usize = 20_000;
/// How long they stay known.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);
/// How many seconds' worth of token requests may come at once.
const BURST: u32 = 10;
/// The time for which `failures_per_address` counts.
const FAILURES_IN: Duration = Duration::from_secs(600);

/// What is allowed. `None` where there is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleSettings {
    /// Token requests a second from one address.
    pub token_rate: Option<NonZeroU32>,
    /// Failures of one account from one address before there are delays.
    pub failures: Option<NonZeroU32>,
    /// The longest delay.
    pub longest_delay: Duration,
    /// Failures from one address, of whichever accounts, in ten minutes.
    pub failures_per_address: Option<NonZeroU32>,
    /// Secrets from one address that are judged at the same time.
    pub at_once: u32,
}

/// What somebody says they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A user.
    User,
    /// An OAuth2 client.
    Client,
}

/// Where a request comes from, as far as that is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From {
    /// What tells those from one another who try the same account.
    pub(crate) origin: Origin,
    /// Whose the counts of addresses are; none where many people share what is known of them.
    pub(crate) address: Option<IpAddr>,
}

/// Who has to wait, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The address has done too much.
    Address(Duration),
    /// The account was tried too often from there.
    Account(Duration),
    /// The same was just wrong.
    Wrong,
}

/// The name of an account, seen from an address; or a name with a secret. Keyed, so that nobody can choose two that collide, and no
/// secret can be read from it.
type Id = [u8; 16];

/// One for the life of the process, whatever becomes of the configuration.
pub struct Throttle {
    key: hmac::Key,
    began: Instant,
    addresses: Cache<IpAddr, Arc<Mutex<Address>>>,
    accounts: Cache<Id, Arc<Mutex<Account>>>,
    /// Since when each is known.
    right: Cache<Id, Duration>,
}

/// What one address has done.
#[derive(Debug, Default)]
struct Address {
    requests: Rate,
    failures: Rate,
    judged: u32,
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle")
            .field("addresses", &self.addresses.len())
            .field("accounts", &self.accounts.len())
            .finish_non_exhaustive()
    }
}

impl Throttle {
    /// Nobody has done anything yet.
    pub fn new() -> Result<Self, NoRandomness> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        rand::fill(&mut *key).map_err(|_| NoRandomness)?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &*key),
            began: Instant::now(),
            addresses: Cache::new(REMEMBERED),
            accounts: Cache::new(REMEMBERED),
            right: Cache::new(KNOWN),
        })
    }

    /// A token is asked for by somebody of whom nothing is known.
    pub(crate) fn request(&self, settings: &ThrottleSettings, from: From) -> Result<(), Refusal> {
        self.request_at(settings, from, self.began.elapsed())
    }

    /// Somebody comes with a secret that has to be judged.
    pub(crate) fn attempt(
        self: &Arc<Self>,
        settings: &ThrottleSettings,
        from: From,
        who: (Kind, &str),
        secret: &Secret,
    ) -> Result<Attempt, Refusal> {
        self.attempt_at(settings, from, who, secret, self.began.elapsed())
    }

    /// Whether this was right before.
    pub(crate) fn knows(&self, who: (Kind, &str), secret: &Secret) -> bool {
        self.is_known(&self.pair(who, secret), self.began.elapsed())
    }

    /// A secret without a name was wrong, such as an API key: how long its sender has to wait, if they do.
    pub(crate) fn failed(&self, settings: &ThrottleSettings, from: From) -> Result<(), Refusal> {
        self.failed_at(settings, from, self.began.elapsed())
    }

    fn request_at(&self, settings: &ThrottleSettings, from: From, now: Duration) -> Result<(), Refusal> {
        let (Some(rate), Some(address)) = (settings.token_rate, from.address) else { return Ok(()) };
        let quota = Quota::new(rate.get().saturating_mul(BURST), Duration::from_secs(BURST.into()));
        let entry = self.address(address);
        let mut address = locked(&entry);
        let wait = address.requests.wait(quota, now);
        if !wait.is_zero() {
            return Err(Refusal::Address(wait));
        }
        address.requests.take(quota, now);
        Ok(())
    }

    fn failed_at(&self, settings: &ThrottleSettings, from: From, now: Duration) -> Result<(), Refusal> {
        let (Some(quota), Some(address)) = (failures_of(settings), from.address) else { return Ok(()) };
        let entry = self.address(address);
        let mut address = locked(&entry);
        let wait = address.failures.wait(quota, now);
        if !wait.is_zero() {
            return Err(Refusal::Address(wait));
        }
        address.failures.take(quota, now);
        Ok(())
    }

    fn attempt_at(
        self: &Arc<Self>,
        settings: &ThrottleSettings,
        from: From,
        who: (Kind, &str),
        secret: &Secret,
        now: Duration,
    ) -> Result<Attempt, Refusal> {
        let pair = self.pair(who, secret);
        let mut attempt = Attempt {
            throttle: Arc::clone(self),
            failures: failures_of(settings),
            account: self.account(from.origin, who),
            address: from.address.map(|address| self.address(address)),
            pair,
            tracked: false,
            counted: false,
        };
        if self.is_known(&pair, now) {
            return Ok(attempt);
        }
        if let (Some(entry), Some(quota)) = (&attempt.address, attempt.failures) {
            let wait = locked(entry).failures.wait(quota, now);
            if !wait.is_zero() {
                return Err(Refusal::Address(wait));
            }
        }
        let free = settings.failures.map_or(u32::MAX, NonZeroU32::get);
        let verdict = locked(&attempt.account).come(pair, free, settings.longest_delay, now);
        match verdict {
            Verdict::Judge | Verdict::Join => attempt.tracked = true,
            Verdict::Wrong => return Err(Refusal::Wrong),
            Verdict::Wait(wait) => return Err(Refusal::Account(wait)),
        }
        if verdict == Verdict::Judge
            && let Some(entry) = &attempt.address
        {
            let mut address = locked(entry);
            if address.judged >= settings.at_once.max(1) {
                return Err(Refusal::Address(Duration::from_secs(1)));
            }
            address.judged += 1;
            attempt.counted = true;
        }
        Ok(attempt)
    }

    fn is_known(&self, pair: &Id, now: Duration) -> bool {
        self.right.get(pair).is_some_and(|since| now.saturating_sub(since) < KNOWN_FOR)
    }

    fn address(&self, address: IpAddr) -> Arc<Mutex<Address>> {
        let Ok(entry) = self
            .addresses
            .get_or_insert_with(&network_of(address), || Ok::<_, std::convert::Infallible>(Arc::default()));
        entry
    }

    fn account(&self, origin: Origin, (kind, name): (Kind, &str)) -> Arc<Mutex<Account>> {
        let origin = origin.ip().map_or_else(|| origin.to_string(), |address| network_of(address).to_string());
        let id = self.id(b"account", kind, &[origin.as_bytes(), name.as_bytes()]);
        let Ok(entry) = self.accounts.get_or_insert_with(&id, || Ok::<_, std::convert::Infallible>(Arc::default()));
        entry
    }

    fn pair(&self, (kind, name): (Kind, &str), secret: &Secret) -> Id {
        self.id(b"pair", kind, &[name.as_bytes(), secret.expose().as_bytes()])
    }

    fn id(&self, what: &[u8], kind: Kind, parts: &[&[u8]]) -> Id {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(what);
        context.update(&[kind as u8]);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        let mut id = Id::default();
        id.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        id
    }
}

fn failures_of(settings: &ThrottleSettings) -> Option<Quota> {
    settings.failures_per_address.map(|failures| Quota::new(failures.get(), FAILURES_IN))
}

fn locked<T>(entry: &Mutex<T>) -> MutexGuard<'_, T> {
    entry.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A secret that is being judged. Dropped without a verdict it has failed nobody.
pub(crate) struct Attempt {
    throttle: Arc<Throttle>,
    failures: Option<Quota>,
    account: Arc<Mutex<Account>>,
    address: Option<Arc<Mutex<Address>>>,
    pair: Id,
    /// Whether the account knows of it.
    tracked: bool,
    /// Whether it takes one of the places of its address.
    counted: bool,
}

impl Attempt {
    /// The secret is right.
    pub(crate) fn right(mut self) {
        let now = self.throttle.began.elapsed();
        self.end(Some(true), now);
    }

    /// The secret is wrong.
    pub(crate) fn wrong(mut self) {
        let now = self.throttle.began.elapsed();
        self.end(Some(false), now);
    }

    fn end(&mut self, right: Option<bool>, now: Duration) {
        match right {
            Some(true) => self.throttle.right.insert(self.pair, now),
            Some(false) => {
                self.throttle.right.remove(&self.pair);
            }
            None => {}
        }
        let failed = match (std::mem::take(&mut self.tracked), right) {
            (true, _) => locked(&self.account).leave(self.pair, right, now),
            // It was known as right until now.
            (false, Some(false)) => locked(&self.account).fail(self.pair, now),
            (false, _) => false,
        };
        let counted = std::mem::take(&mut self.counted);
        if let Some(entry) = &self.address {
            let mut address = locked(entry);
            address.judged -= u32::from(counted);
            if let Some(quota) = self.failures.filter(|_| failed) {
                address.failures.take(quota, now);
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.tracked || self.counted {
            self.end(None, self.throttle.began.elapsed());
        }
    }
}
