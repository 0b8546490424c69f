//! The token endpoint (distribution, "token" and "oauth2" specifications; RFC 6749, sections 4.3 and 4.4).
//!
//! Here a parsed request becomes a token. How a form is read is in `form`, how clients say who they are in `client`, and what
//! can be asked for in `wants`.

mod client;
mod form;
mod wants;

use std::sync::Arc;

use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Method, Response, StatusCode, request};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use self::client::ClientCredentials;
use self::wants::Wants;
use super::connection::Inbound;
use super::exchange::Exchange;
use super::failure::{Failure, TokenRequestError};
use super::login::{self, Door};
use super::presented::certified;
use super::respond;
use super::response_body::ResponseBody;
use super::state::State;
use crate::authn::{self, Credentials};
use crate::metrics::{Grant as GrantKind, TokenResult};
use crate::registry::AccessSet;
use crate::registry::query::Query;
use crate::subject::{Caller, Subject};
use crate::token::{ApiScopes, Grant, IssueError, TokenKind};

/// A request for a token, parsed.
struct TokenRequest<'a> {
    who: Who<'a>,
    service: Option<String>,
    wants: Wants,
    /// POST answers also say what was granted.
    tells_scope: bool,
}

/// Who asks, not yet believed.
enum Who<'a> {
    User(Credentials<'a>),
    Client(ClientCredentials),
}

/// What was granted, for the audit line.
pub(crate) struct Granted {
    pub(crate) service: String,
    pub(crate) token_id: String,
    pub(crate) what: What,
}

impl Granted {
    /// What it is counted as.
    pub(crate) fn result(&self) -> TokenResult {
        match &self.what {
            What::Registry { requested, access, .. } if requested.iter().all(|scope| access.covers(&scope)) => {
                TokenResult::Granted
            }
            What::Registry { access, .. } if access.is_empty() => TokenResult::Empty,
            What::Registry { .. } => TokenResult::Reduced,
            What::Api(_) => TokenResult::Granted,
        }
    }
}

/// What a token is good for.
pub(crate) enum What {
    Registry {
        requested: AccessSet,
        access: AccessSet,
        /// The rules that granted or denied, by file and line.
        rules: String,
    },
    /// Rules are asked at each use.
    Api(ApiScopes),
}

/// Answers a request to the token endpoint.
pub(crate) async fn answer(
    state: &State,
    head: &request::Parts,
    body: Inbound,
    exchange: &mut Exchange,
) -> Result<(Response<ResponseBody>, Granted), Failure> {
    exchange.is("token");
    let request = match head.method {
        Method::GET => {
            let query = Query::parse(head.uri.query())
                .map_err(|_| TokenRequestError::Invalid("the query cannot be decoded"))?;
            let credentials = authn::basic(&head.headers);
            exchange.grant = match credentials {
                Credentials::Anonymous => GrantKind::Anonymous,
                _ => GrantKind::Basic,
            };
            TokenRequest {
                who: Who::User(credentials),
                service: form::single(&query, "service")?.map(str::to_owned),
                wants: Wants::of_user(&query, state.max_scopes)?,
                tells_scope: false,
            }
        }
        Method::POST => form::read(state, head, body, exchange).await?,
        _ => return Err(TokenRequestError::Method.into()),
    };
    let Some(service) = state.names.requested_service(request.service.as_deref()) else {
        return Err(TokenRequestError::UnknownService { accepted: state.names.services().join(", ") }.into());
    };
    let caller = match &request.who {
        Who::User(Credentials::Anonymous) => {
            if let Some(caller) = certified(state, exchange) {
                exchange.grant = GrantKind::Certificate;
                caller
            } else {
                login::token_request(state, exchange.peer.client)?;
                Caller::Anonymous
            }
        }
        Who::User(Credentials::Password { user, password }) => {
            exchange.claimed = Some(user.clone());
            let verdict = login::user(state, Door::Token, user, password, exchange.peer.client).await;
            let wrong = || TokenRequestError::WrongCredentials.into();
            Caller::Known(verdict.map_err(|closed| closed.into_failure(wrong))?)
        }
        Who::User(Credentials::Bearer(_) | Credentials::Malformed) => {
            return Err(TokenRequestError::WrongCredentials.into());
        }
        Who::Client(client) => Caller::Known(authenticated(state, client, exchange).await?),
    };
    exchange.caller = caller.clone();
    let what = match request.wants {
        // What may be done without logging in needs no token.
        Wants::Api(_) if caller.subject().is_none() => return Err(TokenRequestError::WrongCredentials.into()),
        Wants::Api(scopes) => What::Api(scopes),
        Wants::Registry(requested) => {
            let (access, rules) = state.rules.grant_by(&caller, service, exchange.peer.client.ip(), &requested);
            What::Registry { requested, access, rules: state.name_rules(&rules) }
        }
    };
    issue(state, &caller, service, what, request.tells_scope)
}

async fn authenticated(
    state: &State,
    client: &ClientCredentials,
    exchange: &mut Exchange,
) -> Result<Arc<Subject>, Failure> {
    exchange.claimed = client.id().map(str::to_owned);
    let wrong = || TokenRequestError::InvalidClient.into();
    client.authenticate(state, exchange.peer.client).await.map_err(|closed| closed.into_failure(wrong))
}

fn issue(
    state: &State,
    caller: &Caller,
    service: &str,
    what: What,
    tells_scope: bool,
) -> Result<(Response<ResponseBody>, Granted), Failure> {
    let none = AccessSet::default();
    let (kind, access) = match &what {
        What::Registry { access, .. } => (TokenKind::Registry, access),
        What::Api(scopes) => (TokenKind::Api(*scopes), &none),
    };
    let issued =
        state.issuer.issue(&Grant { caller, audience: service, kind, access }).map_err(|error| match error {
            IssueError::TooLong(_) if !access.is_empty() => TokenRequestError::TooMuch.into(),
            _ => Failure::Signing,
        })?;
    let scope = tells_scope.then(|| match kind {
        TokenKind::Registry => access.iter().map(|scope| scope.to_string()).collect::<Vec<_>>().join(" "),
        TokenKind::Api(scopes) => scopes.to_string(),
    });
    let terms = Terms {
        expires_in: issued.expires_in,
        issued_at: &rfc3339(issued.issued_at),
        token_type: tells_scope.then_some("Bearer"),
        scope: scope.as_deref(),
    };
    let mut response = respond::json(StatusCode::OK, answer_body(issued.token.expose(), &terms)?);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((response, Granted { service: service.to_owned(), token_id: issued.jti, what }))
}

/// What a client is told with its token.
#[derive(Serialize)]
struct Terms<'a> {
    expires_in: u64,
    issued_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

/// What a client is answered: a token as `token` in the words of distribution, and as `access_token` in those of RFC 6749, section 5.1.
/// It is letters, digits, `-`, `_` and `.`, nothing that has to be looked for byte by byte to escape it.
fn answer_body(token: &str, terms: &Terms<'_>) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::with_capacity(2 * token.len() + 256);
    for part in [r#"{"token":""#, token, r#"","access_token":""#, token, "\""] {
        body.extend_from_slice(part.as_bytes());
    }
    let terms_begin = body.len();
    serde_json::to_writer(&mut body, terms).map_err(|_| Failure::Signing)?;
    // They are an object of their own, and not an empty one.
    body[terms_begin] = b',';
    Ok(body)
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
    use serde_json::{Value, json};

    use super::{Terms, answer_body, rfc3339};

    #[test]
    fn an_answer_is_one_object() {
        let terms = |token_type, scope| Terms { expires_in: 300, issued_at: "2015-03-05T17:02:02Z", token_type, scope };
        let read = |terms| serde_json::from_slice::<Value>(&answer_body("a.b-_.c", &terms).unwrap()).unwrap();
        let mut expected = json!({
            "token": "a.b-_.c", "access_token": "a.b-_.c", "expires_in": 300, "issued_at": "2015-03-05T17:02:02Z",
        });
        assert_eq!(read(terms(None, None)), expected);
        expected["token_type"] = json!("Bearer");
        expected["scope"] = json!("repository:a\"b:pull");
        assert_eq!(read(terms(Some("Bearer"), Some("repository:a\"b:pull"))), expected);
    }

    #[test]
    fn issued_at_is_what_go_parses() {
        assert_eq!(rfc3339(1_425_574_922), "2015-03-05T17:02:02Z");
        assert_eq!(rfc3339(u64::MAX), "1970-01-01T00:00:00Z");
    }
}
