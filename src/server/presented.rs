//! Who is it? What a request presents, verified.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

use super::challenge::TokenTrouble;
use super::exchange::Exchange;
use super::failure::Failure;
use super::login::{self, Door};
use super::routes::RouteAuth;
use super::session::Session;
use super::state::State;
use super::trail::Judged;
use crate::audit;
use crate::authn::{self, Credentials, KeyRefused};
use crate::registry::Scope;
use crate::secret::Secret;
use crate::subject::{Caller, Subject};
use crate::token::{ApiScopes, Entry, Latest, TokenKind};

/// What a caller brought, verified.
pub(crate) enum Presented {
    /// Nothing.
    Nothing,
    /// Name and password.
    Password(Caller),
    /// An API key, in its header or as a password.
    Key(Caller),
    /// A client certificate, and nothing else.
    Certificate(Caller),
    /// A token, and who its subject is now.
    Token { entry: Arc<Entry<Session>>, caller: Caller },
}

impl Presented {
    pub(crate) fn caller(&self) -> &Caller {
        match self {
            Self::Nothing => &Caller::Anonymous,
            Self::Password(caller) | Self::Key(caller) | Self::Certificate(caller) | Self::Token { caller, .. } => {
                caller
            }
        }
    }

    pub(crate) fn token(&self) -> Option<&Entry<Session>> {
        match self {
            Self::Token { entry, .. } => Some(entry),
            _ => None,
        }
    }

    /// What the token is for on an API route; none for callers who came without one.
    pub(crate) fn api_scopes(&self) -> Option<ApiScopes> {
        match self.token()?.verified.kind {
            TokenKind::Api(scopes) => Some(scopes),
            TokenKind::Registry => Some(ApiScopes::NONE),
        }
    }

    pub(crate) fn service<'a>(&'a self, state: &'a State) -> &'a str {
        self.token().map_or_else(|| state.names.default_service(), |entry| &entry.verified.audience)
    }

    /// The start of an audit line.
    pub(crate) fn judged<'a>(
        &'a self,
        state: &'a State,
        requested: Option<&'a str>,
        result: audit::Result,
        why: &'a str,
    ) -> Judged<'a> {
        let token_id = self.token().map(|entry| &*entry.verified.jti);
        Judged { service: self.service(state), requested, token_id, result, why }
    }

    /// When the token that it came with was issued.
    pub(crate) fn issued_at(&self) -> Option<u64> {
        self.token().map(|entry| entry.verified.issued_at)
    }
}

/// Who is it?
pub(crate) async fn present(
    state: &State,
    headers: &HeaderMap,
    auth: RouteAuth,
    asks: &[Scope],
    latest: &Latest<Session>,
    exchange: &mut Exchange,
) -> Result<Presented, Failure> {
    let began = exchange.trace.is_some().then(Instant::now);
    let presented = identify(state, headers, auth, asks, latest, exchange).await;
    if let (Some(trace), Some(began)) = (&mut exchange.trace, began) {
        trace.authenticated(began, presented.is_ok());
    }
    presented
}

async fn identify(
    state: &State,
    headers: &HeaderMap,
    auth: RouteAuth,
    asks: &[Scope],
    latest: &Latest<Session>,
    exchange: &mut Exchange,
) -> Result<Presented, Failure> {
    let wrong = || Failure::WrongCredentials { asks: asks.to_vec() };
    let key = if auth == RouteAuth::Api { api_key(state, headers)? } else { None };
    let presented = match authn::basic(headers) {
        Credentials::Anonymous if let Some(key) = key => of_key(state, state.chain.authenticate_key(&key), exchange)?,
        _ if key.is_some() => return Err(Failure::SeveralCredentials),
        Credentials::Anonymous => certified(state, exchange).map_or(Presented::Nothing, Presented::Certificate),
        Credentials::Malformed => return Err(wrong()),
        Credentials::Password { user, password } => {
            if let Some(verdict) = named_key(state, auth, &user, &password) {
                of_key(state, verdict, exchange)?
            } else {
                let verdict = login::user(state, Door::Request, &user, &password, exchange.peer.client).await;
                exchange.claimed = Some(user);
                let subject = verdict.map_err(|closed| closed.into_failure(wrong))?;
                Presented::Password(Caller::Known(subject))
            }
        }
        Credentials::Bearer(token) => verify(state, token.expose(), auth, latest)
            .map_err(|why| Failure::Challenged { asks: asks.to_vec(), trouble: TokenTrouble::Invalid(why) })?,
    };
    exchange.caller = presented.caller().clone();
    Ok(presented)
}

/// Whose certificate came with the connection, if anybody's. What a request says itself goes before it: it can be left out there, and
/// the certificate cannot. A certificate that is nobody's here counts for as little as none.
pub(crate) fn certified(state: &State, exchange: &mut Exchange) -> Option<Caller> {
    let certificate = exchange.certificate.as_ref()?;
    match state.chain.authenticate_certificate(certificate) {
        Ok(subject) => Some(Caller::Known(subject)),
        Err(refused) => {
            exchange.unusable = Some(refused);
            None
        }
    }
}

/// The API key of a request, if it has one: it counts on API routes only, and everywhere it ends here.
fn api_key(state: &State, headers: &HeaderMap) -> Result<Option<Secret>, Failure> {
    let mut values = headers.get_all(&state.key_header).iter().filter(|value| !value.is_empty());
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Failure::SeveralCredentials);
    }
    let text = value.to_str().map_err(|_| Failure::WrongApiKey("the API key holds what no key does"))?;
    Ok(Some(Secret::new(text)))
}

type KeyVerdict = Result<Arc<Subject>, KeyRefused>;

/// What a name and a password are worth as an API key and its name, for clients that can send a key in no other way; none where
/// they are no such pair.
fn named_key(state: &State, auth: RouteAuth, name: &str, password: &Secret) -> Option<KeyVerdict> {
    if auth == RouteAuth::Api { state.chain.authenticate_named_key(name, password) } else { None }
}

/// Whose key is it?
fn of_key(state: &State, verdict: KeyVerdict, exchange: &mut Exchange) -> Result<Presented, Failure> {
    match verdict {
        Ok(subject) => Ok(Presented::Key(Caller::Known(subject))),
        Err(KeyRefused::Unknown) => {
            login::wrong_key(state, exchange.peer.client)?;
            Err(Failure::WrongApiKey("the API key is not known here"))
        }
        Err(KeyRefused::Expired(name)) => {
            exchange.claimed = Some(name.as_str().to_owned());
            Err(Failure::WrongApiKey("the API key has expired"))
        }
    }
}

/// Is the token ours, is it still good, and does its subject still exist?
fn verify(state: &State, token: &str, auth: RouteAuth, latest: &Latest<Session>) -> Result<Presented, String> {
    let entry = state
        .verifier
        .verify_cached(&state.sessions, latest, token, Session::new)
        .map_err(|error| error.to_string())?;
    let of_api = matches!(entry.verified.kind, TokenKind::Api(_));
    if of_api != (auth == RouteAuth::Api) {
        return Err("the token is not for this kind of request".to_owned());
    }
    match current(state, &entry) {
        Some(caller) => Ok(Presented::Token { entry, caller }),
        None => Err("the user of the token does not exist any more".to_owned()),
    }
}

/// The token of a request, where it was accepted before and its subject still exists. Nothing is verified here, and nothing refused.
pub(crate) fn recall(state: &State, headers: &HeaderMap, latest: &Latest<Session>) -> Option<Presented> {
    let entry = state.verifier.recall(&state.sessions, latest, authn::bearer(headers)?)?;
    let caller = current(state, &entry)?;
    Some(Presented::Token { entry, caller })
}

/// Who the subject of a token is now; none if there is no such user any more.
fn current(state: &State, entry: &Entry<Session>) -> Option<Caller> {
    match &entry.verified.caller {
        Caller::Anonymous => Some(Caller::Anonymous),
        Caller::Known(subject) => state.chain.current(subject).map(Caller::Known),
    }
}
