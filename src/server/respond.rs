//! The one place that turns failures into responses, and makes the gateway's own answers.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde_json::json;

use super::challenge::{self, Scheme, TokenTrouble};
use super::failure::{Failure, TokenRequestError};
use super::newcomers::NewcomerError;
use super::response_body::ResponseBody;
use super::spool::SpoolError;
use super::upload::UploadError;
use super::upstream::UpstreamError;
use crate::registry::{ErrorCode, OciError, Scope};

/// `Docker-Distribution-Api-Version`, which older clients look for on `/v2/`.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What an answer to a failure needs to know of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The realm that challenges name.
    pub(crate) realm: &'a str,
    /// The service that challenges name.
    pub(crate) service: &'a str,
    /// How callers of this route are challenged.
    pub(crate) scheme: Scheme,
    /// The header of API keys.
    pub(crate) key_header: &'a HeaderName,
    /// When to try again where the upstream is to blame, if it is known.
    pub(crate) retry_after: Option<&'a HeaderValue>,
}

/// Whether an answer asks for another try later. A 500 says nothing of what will be later, and other 5xx that it will be no better.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// An answer of our own with a JSON body.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::own(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

/// The answer to a failure.
pub(crate) fn failure(failure: &Failure, asked: Asked<'_>) -> Response<ResponseBody> {
    let (status, error) = describe(failure);
    let body = match failure {
        Failure::TokenRequest(trouble) => token_body(trouble, &error),
        _ => error.to_body(),
    };
    let mut response = json(status, body);
    let headers = response.headers_mut();
    match failure {
        Failure::Challenged { asks, trouble } => add(headers, WWW_AUTHENTICATE, challenge(asked, asks, trouble)),
        Failure::WrongCredentials { asks } => {
            add(headers, WWW_AUTHENTICATE, challenge(asked, asks, &TokenTrouble::None));
        }
        Failure::WrongApiKey(_) => add(headers, WWW_AUTHENTICATE, challenge(asked, &[], &TokenTrouble::None)),
        Failure::InsufficientApiScope { needs, message } => {
            let trouble = TokenTrouble::InsufficientScope(message.clone());
            add(headers, WWW_AUTHENTICATE, challenge::bearer(asked.realm, asked.service, &[needs], &trouble));
        }
        Failure::TokenRequest(TokenRequestError::WrongCredentials | TokenRequestError::InvalidClient) => {
            add(headers, WWW_AUTHENTICATE, challenge::basic(asked.service));
        }
        Failure::TokenRequest(TokenRequestError::Method) => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        Failure::Grammar(error) => {
            add(headers, ALLOW, error.allow().map(HeaderValue::from_static));
        }
        Failure::Method => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        Failure::Busy => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Failure::Throttled { wait, .. } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(*wait));
        }
        Failure::AuthenticationUnavailable | Failure::Newcomer(NewcomerError::Unanswered { .. }) => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        Failure::Framing(_) | Failure::Upstream(UpstreamError::ClientStalled { .. } | UpstreamError::ClientBroke) => {
            // Nobody knows where the next request would begin.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Failure::Upstream(UpstreamError::QueueFull { .. } | UpstreamError::QueueTimeout { .. }) => {
            let soon = || HeaderValue::from_static("1");
            headers.insert(RETRY_AFTER, asked.retry_after.cloned().unwrap_or_else(soon));
        }
        Failure::Upstream(_) if is_passing(status) => add(headers, RETRY_AFTER, asked.retry_after.cloned()),
        _ => {}
    }
    if let Failure::TokenRequest(_) = failure {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn add(headers: &mut http::HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

fn challenge(asked: Asked<'_>, asks: &[Scope], trouble: &TokenTrouble) -> Option<HeaderValue> {
    match asked.scheme {
        Scheme::Bearer => challenge::bearer(asked.realm, asked.service, asks, trouble),
        Scheme::Basic => challenge::basic(asked.service),
        Scheme::ApiKey => challenge::api_key(asked.service, asked.key_header),
    }
}

/// Status, code and message of each failure. What only the operator can mend is in the log, not here.
fn describe(failure: &Failure) -> (StatusCode, OciError) {
    let own = |status, code| (status, OciError::with_message(code, failure.to_string()));
    let plain = |status, code, message: &'static str| (status, OciError::with_message(code, message));
    match failure {
        Failure::Framing(_) | Failure::SeveralCredentials => own(StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
        Failure::Method => own(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported),
        Failure::TargetTooLong { .. } => own(StatusCode::URI_TOO_LONG, ErrorCode::Unsupported),
        Failure::NoRoute => own(StatusCode::NOT_FOUND, ErrorCode::Unsupported),
        Failure::Grammar(error) => (error.status(), error.to_oci()),
        Failure::Challenged { trouble: TokenTrouble::InsufficientScope(_), .. } => {
            own(StatusCode::UNAUTHORIZED, ErrorCode::Denied)
        }
        Failure::Challenged { .. } | Failure::WrongCredentials { .. } | Failure::WrongApiKey(_) => {
            own(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
        }
        Failure::InsufficientApiScope { .. } | Failure::Denied { .. } => own(StatusCode::FORBIDDEN, ErrorCode::Denied),
        Failure::Busy | Failure::Throttled { .. } => own(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests),
        Failure::AuthenticationUnavailable => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Unavailable,
            "who you are cannot be verified at the moment; try again",
        ),
        Failure::Identity(_) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Unknown,
            "the gateway could not make the identity header",
        ),
        Failure::Newcomer(NewcomerError::Unanswered { .. }) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Unavailable,
            "the registry behind the gateway could not be told of a new user; try again",
        ),
        Failure::Newcomer(_) => plain(
            StatusCode::BAD_GATEWAY,
            ErrorCode::Unavailable,
            "the registry behind the gateway does not take the user",
        ),
        Failure::Signing => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, "the gateway could not sign a token")
        }
        Failure::Upstream(error) => describe_upstream(error),
        Failure::UpstreamChallenged { .. } => plain(
            StatusCode::BAD_GATEWAY,
            ErrorCode::Unavailable,
            "the registry behind the gateway does not accept the gateway's credentials",
        ),
        Failure::UpstreamUnframed { .. } => plain(
            StatusCode::BAD_GATEWAY,
            ErrorCode::Unavailable,
            "the registry behind the gateway sent an unusable response",
        ),
        Failure::Spool(error) => describe_spool(error),
        Failure::Upload(UploadError::Empty) => own(StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid),
        Failure::Upload(_) => own(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
        Failure::TokenRequest(trouble) => describe_token(trouble),
    }
}

fn describe_upstream(error: &UpstreamError) -> (StatusCode, OciError) {
    let (status, message) = match error {
        UpstreamError::Connect { .. } | UpstreamError::Handshake { .. } => {
            (StatusCode::BAD_GATEWAY, "the registry behind the gateway cannot be reached")
        }
        UpstreamError::Broken { .. } => {
            (StatusCode::BAD_GATEWAY, "the registry behind the gateway closed the connection without an answer")
        }
        UpstreamError::ConnectTimeout { .. }
        | UpstreamError::HandshakeTimeout { .. }
        | UpstreamError::ResponseTimeout { .. }
        | UpstreamError::Stalled { .. } => {
            (StatusCode::GATEWAY_TIMEOUT, "the registry behind the gateway did not answer in time")
        }
        UpstreamError::ClientStalled { .. } => (StatusCode::REQUEST_TIMEOUT, "the request body did not come in time"),
        UpstreamError::ClientBroke => (StatusCode::BAD_REQUEST, "the request body broke off"),
        UpstreamError::QueueFull { .. } | UpstreamError::QueueTimeout { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "the registry behind the gateway is busy; try again")
        }
    };
    let code = if status.is_server_error() { ErrorCode::Unavailable } else { ErrorCode::SizeInvalid };
    (status, OciError::with_message(code, message))
}

fn describe_spool(error: &SpoolError) -> (StatusCode, OciError) {
    let (status, code, message) = match error {
        SpoolError::Full { .. } => (
            StatusCode::INSUFFICIENT_STORAGE,
            ErrorCode::Unavailable,
            "the gateway has no room to keep the request body".into(),
        ),
        SpoolError::TooLong { .. } => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid, error.to_string()),
        SpoolError::Storage { .. } | SpoolError::Body(_) | SpoolError::Idle { .. } => (
            StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Unknown,
            "the gateway could not keep the request body".into(),
        ),
    };
    (status, OciError::with_message(code, message))
}

fn describe_token(trouble: &TokenRequestError) -> (StatusCode, OciError) {
    let (status, code) = match trouble {
        TokenRequestError::Method => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported),
        TokenRequestError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid),
        TokenRequestError::NoBody => (StatusCode::REQUEST_TIMEOUT, ErrorCode::SizeInvalid),
        TokenRequestError::ContentType
        | TokenRequestError::Invalid(_)
        | TokenRequestError::UnsupportedGrantType
        | TokenRequestError::UnknownService { .. }
        | TokenRequestError::InvalidScope(_)
        | TokenRequestError::TooMuch => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
        TokenRequestError::WrongCredentials | TokenRequestError::InvalidClient => {
            (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
        }
    };
    (status, OciError::with_message(code, trouble.to_string()))
}

/// Both shapes in one body: docker prints `errors[].message`, OAuth2 clients read `error` (RFC 6749, section 5.2).
fn token_body(trouble: &TokenRequestError, error: &OciError) -> String {
    let code = match trouble {
        TokenRequestError::UnsupportedGrantType => "unsupported_grant_type",
        TokenRequestError::WrongCredentials => "invalid_grant",
        TokenRequestError::UnknownService { .. } => "invalid_target",
        TokenRequestError::InvalidClient => "invalid_client",
        TokenRequestError::TooMuch | TokenRequestError::InvalidScope(_) => "invalid_scope",
        _ => "invalid_request",
    };
    json!({"error": code, "error_description": error.message, "errors": [error]}).to_string()
}
