//! Who is it? What a request presents, verified.

use std::sync::Arc;

use http::HeaderMap;

use super::challenge::TokenTrouble;
use super::exchange::Exchange;
use super::failure::Failure;
use super::session::Session;
use super::state::State;
use super::trail::Judged;
use crate::audit;
use crate::authn::{self, Credentials};
use crate::registry::Scope;
use crate::secret::Secret;
use crate::subject::Caller;
use crate::token::{Entry, TokenKind};

/// What a caller brought, verified.
pub(crate) enum Presented {
    /// Nothing.
    Nothing,
    /// Name and password.
    Password(Caller),
    /// A token, as it came, and who its subject is now.
    Token { entry: Arc<Entry<Session>>, caller: Caller, text: Secret },
}

impl Presented {
    pub(crate) fn caller(&self) -> &Caller {
        match self {
            Self::Nothing => &Caller::Anonymous,
            Self::Password(caller) | Self::Token { caller, .. } => caller,
        }
    }

    pub(crate) fn token(&self) -> Option<&Entry<Session>> {
        match self {
            Self::Token { entry, .. } => Some(entry),
            _ => None,
        }
    }

    pub(crate) fn service<'a>(&'a self, state: &'a State) -> &'a str {
        self.token().map_or_else(|| state.names.default_service(), |entry| &entry.verified.audience)
    }

    /// The start of an audit line.
    pub(crate) fn judged<'a>(
        &'a self,
        state: &'a State,
        needs: &'a [Scope],
        result: audit::Result,
        why: &'a str,
    ) -> Judged<'a> {
        let token_id = self.token().map(|entry| &*entry.verified.jti);
        Judged { service: self.service(state), needs, token_id, result, why }
    }

    pub(crate) fn into_token(self) -> Option<(Secret, u64)> {
        match self {
            Self::Token { entry, text, .. } => Some((text, entry.verified.issued_at)),
            _ => None,
        }
    }
}

/// Who is it?
pub(crate) async fn present(
    state: &State,
    headers: &HeaderMap,
    kind: TokenKind,
    asks: &[Scope],
    exchange: &mut Exchange,
) -> Result<Presented, Failure> {
    let wrong = || Failure::WrongCredentials { asks: asks.to_vec() };
    let presented = match authn::basic(headers) {
        Credentials::Anonymous => Presented::Nothing,
        Credentials::Malformed => return Err(wrong()),
        Credentials::Password { user, password } => {
            let verdict = state.chain.authenticate(&user, &password).await;
            exchange.claimed = Some(user);
            let subject = verdict.map_err(|refused| Failure::of_login(refused, wrong))?;
            Presented::Password(Caller::Known(subject))
        }
        Credentials::Bearer(text) => verify(state, text, kind)
            .map_err(|why| Failure::Challenged { asks: asks.to_vec(), trouble: TokenTrouble::Invalid(why) })?,
    };
    exchange.caller = presented.caller().clone();
    Ok(presented)
}

/// Is the token ours, is it still good, and does its subject still exist?
fn verify(state: &State, text: Secret, kind: TokenKind) -> Result<Presented, String> {
    let entry = state
        .verifier
        .verify_cached(&state.sessions, text.expose(), Session::new)
        .map_err(|error| error.to_string())?;
    if entry.verified.kind != kind {
        return Err("the token is not for this kind of request".to_owned());
    }
    let caller = match &entry.verified.caller {
        Caller::Anonymous => Caller::Anonymous,
        Caller::Known(subject) => match state.chain.current(subject) {
            Some(subject) => Caller::Known(subject),
            None => return Err("the user of the token does not exist any more".to_owned()),
        },
    };
    Ok(Presented::Token { entry, caller, text })
}
