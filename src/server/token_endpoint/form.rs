//! A token request by POST: the form, read within its bounds and by its grant type.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderMap};
use http::request;
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use zeroize::Zeroizing;

use super::client::ClientCredentials;
use super::wants::Wants;
use super::{TokenRequest, Who};
use crate::authn;
use crate::metrics::Grant;
use crate::registry::query::{MAX_FORM, Query};
use crate::server::body::ClientBody;
use crate::server::connection::Inbound;
use crate::server::exchange::Exchange;
use crate::server::failure::{Failure, TokenRequestError};
use crate::server::progress::Progress;
use crate::server::state::State;

/// Reads a form with `grant_type=password` or, where there are clients, `client_credentials`; no other grant is served.
pub(super) async fn read(
    state: &State,
    head: &request::Parts,
    body: Inbound,
    exchange: &mut Exchange,
) -> Result<TokenRequest<'static>, Failure> {
    let headers = &head.headers;
    let body = ClientBody::new(body, head.version, Arc::new(Progress::new()));
    let text = text(state, headers, body, exchange).await?;
    let form = Query::parse_form(&text).map_err(|_| TokenRequestError::Invalid("the form cannot be decoded"))?;
    let (who, wants) = match single(&form, "grant_type")? {
        Some("password") => {
            exchange.grant = Grant::Password;
            let user = single(&form, "username")?.ok_or(TokenRequestError::Invalid("username is missing"))?;
            let password = single(&form, "password")?.ok_or(TokenRequestError::Invalid("password is missing"))?;
            (Who::User(authn::from_parts(user, password)), Wants::of_user(&form, state.max_scopes)?)
        }
        Some("client_credentials") if state.chain.has_clients() => {
            exchange.grant = Grant::ClientCredentials;
            let client = ClientCredentials::read(headers, &form)?;
            (Who::Client(client), Wants::of_client(&form, state.max_scopes)?)
        }
        None => return Err(TokenRequestError::Invalid("grant_type is missing").into()),
        Some(_) => return Err(TokenRequestError::UnsupportedGrantType.into()),
    };
    Ok(TokenRequest { who, service: single(&form, "service")?.map(str::to_owned), wants, tells_scope: true })
}

async fn text(
    state: &State,
    headers: &HeaderMap,
    body: ClientBody,
    exchange: &mut Exchange,
) -> Result<Zeroizing<String>, TokenRequestError> {
    let is_form = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|text| {
        text.split(';').next().is_some_and(|mime| mime.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    });
    if !is_form {
        return Err(TokenRequestError::ContentType);
    }
    // A client that announces too much is told so, and not waited for.
    if body.size_hint().lower() > MAX_FORM as u64 {
        return Err(TokenRequestError::TooLarge);
    }
    let collected = tokio::time::timeout(state.form_timeout, Limited::new(body, MAX_FORM).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => {
            exchange.unread = false;
            collected.to_bytes()
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(TokenRequestError::TooLarge),
        Ok(Err(_)) | Err(_) => return Err(TokenRequestError::NoBody),
    };
    String::from_utf8(bytes.to_vec())
        .map(Zeroizing::new)
        .map_err(|_| TokenRequestError::Invalid("the form is not UTF-8"))
}

/// A parameter that must not be repeated (RFC 6749, section 3.2).
pub(super) fn single<'a>(query: &'a Query, name: &'static str) -> Result<Option<&'a str>, TokenRequestError> {
    if query.count(name) > 1 {
        return Err(TokenRequestError::Invalid("a parameter is repeated that may stand only once"));
    }
    Ok(query.get(name))
}
