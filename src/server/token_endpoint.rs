//! The token endpoint (distribution, "token" and "oauth2" specifications; RFC 6749, section 4.3).

use std::net::IpAddr;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode, request};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::exchange::Exchange;
use super::failure::{Failure, TokenRequestError};
use super::respond;
use super::response_body::ResponseBody;
use super::state::State;
use crate::authn::{self, Credentials};
use crate::registry::query::{MAX_FORM, Query};
use crate::registry::{AccessSet, scope};
use crate::subject::Caller;
use crate::token::{Grant, IssueError, TokenKind};

/// A request for a token, parsed.
struct TokenRequest {
    credentials: Credentials,
    service: Option<String>,
    requested: AccessSet,
    /// POST answers also say what was granted.
    tells_scope: bool,
}

/// What was granted, for the audit line.
pub(crate) struct Granted {
    pub(crate) service: String,
    pub(crate) requested: AccessSet,
    pub(crate) access: AccessSet,
    pub(crate) token_id: String,
    /// The rules that granted or denied, by file and line.
    pub(crate) rules: String,
}

/// Answers a request to the token endpoint.
pub(crate) async fn answer(
    state: &State,
    head: &request::Parts,
    body: Incoming,
    client: IpAddr,
    exchange: &mut Exchange,
) -> Result<(Response<ResponseBody>, Granted), Failure> {
    exchange.operation = Some("token");
    let request = match head.method {
        Method::GET => {
            let query = Query::parse(head.uri.query())
                .map_err(|_| TokenRequestError::Invalid("the query cannot be decoded"))?;
            TokenRequest {
                credentials: authn::basic(&head.headers),
                service: single(&query, "service")?.map(str::to_owned),
                requested: requested(&query, state.max_scopes),
                tells_scope: false,
            }
        }
        Method::POST => form(state, &head.headers, body, exchange).await?,
        _ => return Err(TokenRequestError::Method.into()),
    };
    let Some(service) = state.names.requested_service(request.service.as_deref()) else {
        return Err(TokenRequestError::UnknownService { accepted: state.names.services().join(", ") }.into());
    };
    let caller = match &request.credentials {
        Credentials::Anonymous => Caller::Anonymous,
        Credentials::Password { user, password } => {
            exchange.claimed = Some(user.clone());
            let verdict = state.chain.authenticate(user, password).await;
            let wrong = || TokenRequestError::WrongCredentials.into();
            Caller::Known(verdict.map_err(|refused| Failure::of_login(refused, wrong))?)
        }
        Credentials::Bearer(_) | Credentials::Malformed => return Err(TokenRequestError::WrongCredentials.into()),
    };
    exchange.caller = caller.clone();
    let (access, rules) = state.rules.grant_by(&caller, service, Some(client), &request.requested);
    let grant = Grant { caller: &caller, audience: service, kind: TokenKind::Registry, access: &access };
    let issued = state.issuer.issue(&grant).map_err(|error| match error {
        IssueError::TooLong(_) if !access.is_empty() => TokenRequestError::TooMuch.into(),
        _ => Failure::Signing,
    })?;
    let mut answer = json!({
        "token": issued.token.expose(),
        "access_token": issued.token.expose(),
        "expires_in": issued.expires_in,
        "issued_at": rfc3339(issued.issued_at),
    });
    if request.tells_scope {
        let scopes: Vec<String> = access.iter().map(|scope| scope.to_string()).collect();
        answer["token_type"] = "Bearer".into();
        answer["scope"] = scopes.join(" ").into();
    }
    let mut response = respond::json(StatusCode::OK, answer.to_string());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let granted = Granted {
        service: service.to_owned(),
        requested: request.requested,
        access,
        token_id: issued.jti,
        rules: state.name_rules(&rules),
    };
    Ok((response, granted))
}

/// Reads a form with `grant_type=password`; no other grant is served.
async fn form(
    state: &State,
    headers: &HeaderMap,
    body: Incoming,
    exchange: &mut Exchange,
) -> Result<TokenRequest, Failure> {
    let is_form = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|text| {
        text.split(';').next().is_some_and(|mime| mime.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    });
    if !is_form {
        return Err(TokenRequestError::ContentType.into());
    }
    // A client that announces too much is told so, and not waited for.
    if body.size_hint().lower() > MAX_FORM as u64 {
        return Err(TokenRequestError::TooLarge.into());
    }
    let collected = tokio::time::timeout(state.form_timeout, Limited::new(body, MAX_FORM).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => {
            exchange.unread = false;
            collected.to_bytes()
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(TokenRequestError::TooLarge.into());
        }
        Ok(Err(_)) | Err(_) => return Err(TokenRequestError::NoBody.into()),
    };
    let text = zeroize::Zeroizing::new(
        String::from_utf8(bytes.to_vec()).map_err(|_| TokenRequestError::Invalid("the form is not UTF-8"))?,
    );
    let form = Query::parse_form(&text).map_err(|_| TokenRequestError::Invalid("the form cannot be decoded"))?;
    let credentials = match single(&form, "grant_type")? {
        Some("password") => {
            let user = single(&form, "username")?.ok_or(TokenRequestError::Invalid("username is missing"))?;
            let password = single(&form, "password")?.ok_or(TokenRequestError::Invalid("password is missing"))?;
            authn::from_parts(user, password)
        }
        None => return Err(TokenRequestError::Invalid("grant_type is missing").into()),
        Some(_) => return Err(TokenRequestError::UnsupportedGrantType.into()),
    };
    Ok(TokenRequest {
        credentials,
        service: single(&form, "service")?.map(str::to_owned),
        requested: requested(&form, state.max_scopes),
        tells_scope: true,
    })
}

/// A parameter that must not be repeated (RFC 6749, section 3.2).
fn single<'a>(query: &'a Query, name: &'static str) -> Result<Option<&'a str>, TokenRequestError> {
    if query.count(name) > 1 {
        return Err(TokenRequestError::Invalid("a parameter is repeated that may stand only once"));
    }
    Ok(query.get(name))
}

fn requested(query: &Query, max: usize) -> AccessSet {
    scope::parse_requested(query.get_all("scope"), max).access
}

/// Exact RFC 3339 in UTC: Go clients refuse anything else.
fn rfc3339(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn issued_at_is_what_go_parses() {
        assert_eq!(rfc3339(1_425_574_922), "2015-03-05T17:02:02Z");
        assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00Z");
    }
}
