//! The one door for names with secrets: what is remembered passes at once, everything else is throttled and then judged.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::failure::Failure;
use super::state::State;
use super::throttle::{From, Kind, Refusal};
use crate::authn::Refused;
use crate::metrics::Throttle;
use crate::secret::Secret;
use crate::subject::{Origin, Subject};

/// Why nobody was let in.
pub(crate) enum Closed {
    /// The chain says so.
    Refused(Refused),
    /// Too much was tried.
    Throttled(Failure),
}

impl Closed {
    /// What it becomes; `wrong` says what wrong credentials are at this place.
    pub(crate) fn into_failure(self, wrong: impl FnOnce() -> Failure) -> Failure {
        match self {
            Self::Refused(refused) => Failure::of_login(refused, wrong),
            Self::Throttled(failure) => failure,
        }
    }
}

/// Where a name and a secret are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// At the token endpoint, where requests are counted too.
    Token,
    /// With a request of another kind.
    Request,
}

/// Who is the user of this name and password?
pub(crate) async fn user(
    state: &State,
    door: Door,
    user: &str,
    password: &Secret,
    client: Origin,
) -> Result<Arc<Subject>, Closed> {
    if let Some(subject) = state.chain.recall(user, password) {
        return Ok(subject);
    }
    let verdict = state.chain.authenticate(user, password);
    // Seldom gone through, and large: apart, so that not everything that may lead here is as large.
    Box::pin(judged(state, door, (Kind::User, user), password, client, verdict)).await
}

/// Who is the OAuth2 client of this name and secret? They are shown at the token endpoint alone.
pub(crate) async fn client(state: &State, id: &str, secret: &Secret, client: Origin) -> Result<Arc<Subject>, Closed> {
    if let Some(subject) = state.chain.recall_client(id, secret) {
        return Ok(subject);
    }
    let verdict = state.chain.authenticate_client(id, secret);
    Box::pin(judged(state, Door::Token, (Kind::Client, id), secret, client, verdict)).await
}

/// An API key is not known. A right one is never refused: looking it up costs nothing, and nobody guesses one.
pub(crate) fn wrong_key(state: &State, client: Origin) -> Result<(), Failure> {
    state.throttle.failed(&state.throttling, from(state, client)).map_err(throttled)
}

/// A token is asked for by somebody whom nothing shows to be known.
pub(crate) fn token_request(state: &State, client: Origin) -> Result<(), Failure> {
    state.throttle.request(&state.throttling, from(state, client)).map_err(throttled)
}

async fn judged(
    state: &State,
    door: Door,
    who: (Kind, &str),
    secret: &Secret,
    client: Origin,
    verdict: impl Future<Output = Result<Arc<Subject>, Refused>>,
) -> Result<Arc<Subject>, Closed> {
    if door == Door::Token && !state.throttle.knows(who, secret) {
        token_request(state, client).map_err(Closed::Throttled)?;
    }
    let attempt = match state.throttle.attempt(&state.throttling, from(state, client), who, secret) {
        Ok(attempt) => attempt,
        Err(Refusal::Wrong) => return Err(Closed::Refused(Refused::Wrong)),
        Err(refusal) => return Err(Closed::Throttled(throttled(refusal))),
    };
    let verdict = verdict.await;
    match &verdict {
        Ok(_) => attempt.right(),
        Err(Refused::Wrong) => attempt.wrong(),
        // Nobody knows whether it is.
        Err(Refused::Busy | Refused::Unavailable) => drop(attempt),
    }
    verdict.map_err(Closed::Refused)
}

/// Behind a proxy that does not tell who is there, many people share one address: it is not counted.
fn from(state: &State, origin: Origin) -> From {
    let is_own = |address: &IpAddr| !state.trusted_proxies.contains(*address);
    From { origin, address: origin.ip().filter(is_own) }
}

fn throttled(refusal: Refusal) -> Failure {
    let (wait, by, message) = match refusal {
        Refusal::Address(wait) => {
            (wait, Throttle::Address, "too many requests or failed log-ins from your address; try again later")
        }
        Refusal::Account(wait) => {
            (wait, Throttle::Account, "too many failed log-ins to this account from your address; try again later")
        }
        // Whoever asks makes an answer of its own of this one.
        Refusal::Wrong => (Duration::ZERO, Throttle::Account, "the same was wrong just now"),
    };
    Failure::Throttled { by, message, wait: (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1) }
}
