//! The `[[authn]]` chain: members are asked in order, and one that knows the user decides.
//!
//! API keys, client certificates and OAuth2 clients stand beside it: they are asked for what they are good for and for who is still
//! there. No member is asked for them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::api_keys::{API_KEYS, ApiKeys, KeyRefused};
use super::cache::{Key, Keyed, NoRandomness, Verified};
use super::certificates::{CLIENT_CERTIFICATE, CertificateRefused, Certificates};
use super::clients::{CLIENTS, Clients};
use super::flight::Flights;
use super::groups::Groups;
use super::hasher::{Hasher, HashingError};
use super::member::{Lookup, Member, Outcome, Trouble};
use super::password::Cost;
use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::metrics::{Answer, CacheKind, MemberMetrics, Metrics};
use crate::secret::Secret;
use crate::subject::{Subject, UserName};

/// The name that is reserved whatever the configuration says.
const ALWAYS_RESERVED: &str = "admin";

/// What a chain needs besides its members.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where unknown users are made to cost as much as known ones; the same one that the members use.
    pub hasher: Arc<Hasher>,
    /// The time, for the memory of verified passwords.
    pub clock: Clock,
    /// How long a verified password is remembered, in whole seconds; zero turns it off.
    pub remember: Duration,
    /// How many verified passwords are remembered.
    pub remembered: usize,
}

/// Why credentials were not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Unknown user, wrong password, reserved or malformed name: the caller is not told which.
    #[error("wrong user name or password")]
    Wrong,
    /// A member could not say; the log has the reason.
    #[error("the user directory is unavailable")]
    Unavailable,
    /// The bound on password hashing is reached.
    #[error("too many log-ins at once")]
    Busy,
}

impl From<HashingError> for Refused {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Busy => Self::Busy,
            HashingError::Broken => Self::Unavailable,
        }
    }
}

type Verdict = Result<Arc<Subject>, Refused>;

/// The chain, with the memory of verified passwords in front. A new configuration means a new chain and a new memory.
pub struct Chain {
    members: Vec<Box<dyn Member>>,
    clients: Clients,
    api_keys: ApiKeys,
    certificates: Option<Certificates>,
    groups: Groups,
    reserved: Vec<String>,
    hasher: Arc<Hasher>,
    keyed: Keyed,
    verified: Verified,
    flights: Flights<Key, Verdict>,
    metrics: Option<Metrics>,
    /// Of each member, in their order.
    of_members: Vec<MemberMetrics>,
    of_clients: MemberMetrics,
    of_keys: MemberMetrics,
}

impl Chain {
    /// Puts a chain together. `reserved` are names that nobody may log in as, in any case; `admin` always is.
    pub fn new<'a>(
        members: Vec<Box<dyn Member>>,
        groups: Groups,
        reserved: impl IntoIterator<Item = &'a UserName>,
        settings: Settings,
    ) -> Result<Self, NoRandomness> {
        let Settings { hasher, clock, remember, remembered } = settings;
        let reserved = reserved.into_iter().map(UserName::as_str).chain([ALWAYS_RESERVED]).map(folded).collect();
        Ok(Self {
            members,
            clients: Clients::default(),
            api_keys: ApiKeys::default(),
            certificates: None,
            groups,
            reserved,
            hasher,
            keyed: Keyed::new()?,
            verified: Verified::new(remembered, remember, clock),
            flights: Flights::new(),
            metrics: None,
            of_members: Vec::new(),
            of_clients: MemberMetrics::default(),
            of_keys: MemberMetrics::default(),
        })
    }

    /// Counts and times answers there.
    #[must_use]
    pub fn measured(mut self, metrics: Metrics) -> Self {
        self.of_members = self.members.iter().map(|member| metrics.member(member.name())).collect();
        if !self.clients.is_empty() {
            self.of_clients = metrics.member(CLIENTS);
        }
        if !self.api_keys.is_empty() {
            self.of_keys = metrics.member(API_KEYS);
        }
        self.metrics = Some(metrics);
        self
    }

    /// With these OAuth2 clients and API keys.
    #[must_use]
    pub fn with(mut self, clients: Clients, api_keys: ApiKeys) -> Self {
        (self.clients, self.api_keys) = (clients, api_keys);
        self
    }

    /// With client certificates that mean somebody.
    #[must_use]
    pub fn with_certificates(mut self, certificates: Option<Certificates>) -> Self {
        self.certificates = certificates;
        self
    }

    /// Says who `user` with `password` is.
    ///
    /// What is not remembered costs one password hash, whether the user is known or not. Identical checks that arrive
    /// while one is under way share its answer.
    pub async fn authenticate(&self, user: &str, password: &Secret) -> Result<Arc<Subject>, Refused> {
        let generations = self.members.iter().map(|member| member.generation());
        let key = self.keyed.pair(generations, user, password);
        self.remembered(key, self.decide(user, password)).await
    }

    /// Who `user` with `password` is, if that is remembered.
    pub fn recall(&self, user: &str, password: &Secret) -> Option<Arc<Subject>> {
        let generations = self.members.iter().map(|member| member.generation());
        self.recalled(&self.keyed.pair(generations, user, password))
    }

    /// Who the OAuth2 client `id` with `secret` is, if that is remembered.
    pub fn recall_client(&self, id: &str, secret: &Secret) -> Option<Arc<Subject>> {
        self.recalled(&self.keyed.client(id, secret))
    }

    /// Counted only where it is: who hears of nothing goes on to where that is counted.
    fn recalled(&self, key: &Key) -> Option<Arc<Subject>> {
        let subject = self.verified.recall(key)?;
        if let Some(metrics) = &self.metrics {
            metrics.lookup(CacheKind::Password, true);
        }
        Some(subject)
    }

    /// Whether there is any OAuth2 client.
    pub fn has_clients(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Says who the OAuth2 client `id` with `secret` is, as [`Chain::authenticate`] does for users.
    pub async fn authenticate_client(&self, id: &str, secret: &Secret) -> Result<Arc<Subject>, Refused> {
        let key = self.keyed.client(id, secret);
        let work = async {
            let name = UserName::parse(id).ok().filter(|name| !self.is_reserved(name));
            let choice = |len| self.keyed.choice(id, len);
            let began = Instant::now();
            let found = self.clients.verify(&self.hasher, name.as_ref(), secret, choice).await;
            let answer = match &found {
                Ok(Some(_)) => Answer::Accepted,
                Ok(None) => Answer::Wrong,
                Err(HashingError::Busy) => Answer::Busy,
                Err(HashingError::Broken) => Answer::Unavailable,
            };
            self.of_clients.answered(answer, began.elapsed());
            found?.map(|subject| self.complete(subject)).ok_or(Refused::Wrong)
        };
        self.remembered(key, work).await
    }

    /// Says whose API key this is. Its time is asked at each call.
    pub fn authenticate_key(&self, key: &Secret) -> Result<Arc<Subject>, KeyRefused> {
        let began = Instant::now();
        let found = self.api_keys.find(key);
        let answer = match &found {
            Ok(_) => Answer::Accepted,
            Err(KeyRefused::Unknown) => Answer::Unknown,
            Err(KeyRefused::Expired(_)) => Answer::Wrong,
        };
        self.of_keys.answered(answer, began.elapsed());
        let subject = found?;
        if self.is_reserved(&subject.name) { Err(KeyRefused::Unknown) } else { Ok(self.complete(subject)) }
    }

    /// The same for a name and a password, if these are the name of an API key and that key. None says nothing about either:
    /// they may be a user's, and who has no key pays for that as everybody does.
    pub fn authenticate_named_key(&self, name: &str, password: &Secret) -> Option<Result<Arc<Subject>, KeyRefused>> {
        self.api_keys.is_of(name, password).then(|| self.authenticate_key(password))
    }

    /// Says whose client certificate this is. Its time is asked at each call.
    pub fn authenticate_certificate(&self, certificate: &Certificate) -> Result<Arc<Subject>, CertificateRefused> {
        let subject = self.certificates.as_ref().ok_or(CertificateRefused::NotTaken)?.find(certificate)?;
        if self.is_reserved(&subject.name) {
            return Err(CertificateRefused::Reserved);
        }
        Ok(self.complete(&subject))
    }

    /// The answer that is remembered for `key`, or else that of `work`, done once for all who ask meanwhile.
    async fn remembered(&self, key: Key, work: impl Future<Output = Verdict>) -> Verdict {
        let remembered = self.verified.recall(&key);
        if let Some(metrics) = &self.metrics {
            metrics.lookup(CacheKind::Password, remembered.is_some());
        }
        if let Some(subject) = remembered {
            return Ok(subject);
        }
        let work = async {
            // The flight before this one may have landed between the look above and this one's start.
            if let Some(subject) = self.verified.recall(&key) {
                return Ok(subject);
            }
            let verdict = work.await;
            if let Ok(subject) = &verdict {
                self.verified.remember(key, subject);
            }
            verdict
        };
        self.flights.share(key, work).await
    }

    /// The subject of a token as it is now: with today's groups, or `None` when the user, or the member that vouched for
    /// them, is gone, or the name has become reserved.
    ///
    /// Members without a table here (remote ones) are not asked: what they said holds until the token expires, but for
    /// groups that `[groups]` names.
    pub fn current(&self, subject: &Subject) -> Option<Arc<Subject>> {
        if self.is_reserved(&subject.name) {
            return None;
        }
        match &*subject.member {
            CLIENTS => return self.clients.lookup(&subject.name).map(|known| self.complete(known)),
            API_KEYS => return self.api_keys.lookup(&subject.name).map(|known| self.complete(known)),
            CLIENT_CERTIFICATE => {
                return self.certificates.as_ref().map(|member| self.complete(&member.lookup(&subject.name)));
            }
            _ => {}
        }
        let members = self.members.iter().filter(|member| **member.name() == *subject.member);
        members.map(|member| member.lookup(&subject.name)).find_map(|lookup| match &lookup {
            Lookup::Known(known) => Some(self.groups.complete(&lookup, Arc::clone(known))),
            Lookup::Remote => Some(self.groups.complete(&lookup, Arc::new(subject.clone()))),
            Lookup::Gone => None,
        })
    }

    /// Whether nobody may be called this.
    pub fn is_reserved(&self, name: &UserName) -> bool {
        let name = name.as_str();
        if name.is_ascii() {
            return self.reserved.iter().any(|reserved| reserved.eq_ignore_ascii_case(name));
        }
        let name = folded(name);
        self.reserved.contains(&name)
    }

    /// Somebody of a table of our own, with the groups that `[groups]` gives.
    fn complete(&self, subject: &Arc<Subject>) -> Arc<Subject> {
        self.groups.complete(&Lookup::Known(Arc::clone(subject)), Arc::clone(subject))
    }

    async fn decide(&self, user: &str, password: &Secret) -> Verdict {
        let Ok(name) = UserName::parse(user) else { return self.unknown(user, password).await };
        if self.is_reserved(&name) {
            return self.unknown(user, password).await;
        }
        for (index, member) in self.members.iter().enumerate() {
            let began = Instant::now();
            let outcome = ask(&**member, &name, password).await;
            if let Some(metrics) = self.of_members.get(index) {
                metrics.answered(outcome.answer(), began.elapsed());
            }
            match outcome {
                Outcome::UnknownHere => {}
                Outcome::Wrong => return Err(Refused::Wrong),
                Outcome::Accepted(subject) if self.is_reserved(&subject.name) => return Err(Refused::Wrong),
                Outcome::Accepted(subject) => {
                    let lookup = member.lookup(&subject.name);
                    return Ok(self.groups.complete(&lookup, subject));
                }
                Outcome::Unavailable(Trouble::Busy) => return Err(Refused::Busy),
                Outcome::Unavailable(Trouble::Failed(why)) => {
                    tracing::error!(
                        member = &**member.name(),
                        why,
                        "nobody can log in past an authn member that is unavailable"
                    );
                    return Err(Refused::Unavailable);
                }
            }
        }
        self.unknown(user, password).await
    }

    /// Refuses somebody whom no member knows, at the price of somebody whom one does.
    async fn unknown(&self, user: &str, password: &Secret) -> Verdict {
        Err(match self.hasher.spend(self.cost_of_unknown(user), password).await {
            Ok(()) => Refused::Wrong,
            Err(error) => error.into(),
        })
    }

    /// One of the costs that known users have, and the same one each time for the same name: one that varied would tell
    /// unknown users from known ones.
    fn cost_of_unknown(&self, user: &str) -> Cost {
        let mut costs: Vec<Cost> = self.members.iter().flat_map(|member| member.costs().to_vec()).collect();
        costs.sort_unstable();
        costs.dedup();
        costs.get(self.keyed.choice(user, costs.len())).copied().unwrap_or_default()
    }
}

/// A name without its case. By way of the upper case, so that `ı` and `ſ` are the `i` and `s` that an upstream which
/// compares without case may take them for.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

async fn ask(member: &dyn Member, user: &UserName, password: &Secret) -> Outcome {
    let answer = member.authenticate(user, password);
    let Some(deadline) = member.deadline() else { return answer.await };
    let late = |_| Outcome::Unavailable(Trouble::Failed(format!("no answer within {deadline:?}")));
    tokio::time::timeout(deadline, answer).await.unwrap_or_else(late)
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.members.iter().map(|member| member.name()).collect();
        f.debug_struct("Chain").field("members", &names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
