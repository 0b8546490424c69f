//! Everything that can keep a request from being answered by the upstream. What each becomes on the wire is decided in `respond`.

use std::sync::Arc;

use super::challenge::TokenTrouble;
use super::headers::{FramingError, ResponseFramingError};
use super::newcomers::NewcomerError;
use super::spool::SpoolError;
use super::upload::UploadError;
use super::upstream::UpstreamError;
use crate::authn::Refused;
use crate::identity::IdentityError;
use crate::metrics::Throttle;
use crate::registry::{RouteError, Scope};
use crate::token::ApiScope;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request is framed or addressed in a way that could be read in two ways.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// CONNECT and TRACE are not for this gateway.
    #[error("the method is not supported")]
    Method,
    /// The path and the query of the request are longer than the bound.
    #[error("the path and the query are longer than {limit} bytes")]
    TargetTooLong {
        /// The bound.
        limit: usize,
    },
    /// No route leads anywhere.
    #[error("there is no route for this path")]
    NoRoute,
    /// A request of a registry or API route that does not parse.
    #[error(transparent)]
    Grammar(#[from] RouteError),
    /// The caller has to say who they are, or to bring a better token.
    #[error("{trouble}")]
    Challenged {
        /// The scopes to ask for.
        asks: Vec<Scope>,
        /// What was wrong with the token, if there was one.
        trouble: TokenTrouble,
    },
    /// Name and password are wrong, or the `Authorization` header cannot be read.
    #[error("incorrect username or password")]
    WrongCredentials {
        /// The scopes to ask for.
        asks: Vec<Scope>,
    },
    /// The API key is not accepted.
    #[error("{0}")]
    WrongApiKey(&'static str),
    /// A request says in more than one way who sends it (RFC 6750, section 3.1, `invalid_request`): which of them counts is
    /// not ours to guess, and the audit could name the wrong one.
    #[error("send one kind of credentials: either one API key, or Authorization")]
    SeveralCredentials,
    /// The API token is not for this kind of method.
    #[error("{message}")]
    InsufficientApiScope {
        /// The scope that it lacks.
        needs: ApiScope,
        /// Who may not do what.
        message: String,
    },
    /// The caller is known and may not do this.
    #[error("{message}")]
    Denied {
        /// Who may not do what, for the client to print.
        message: String,
    },
    /// More passwords wait to be hashed than the bound allows.
    #[error("too many passwords are being checked")]
    Busy,
    /// Too much was asked, or too many wrong secrets were tried, from one address.
    #[error("{message}")]
    Throttled {
        /// What is counted.
        by: Throttle,
        /// Of what there was too much.
        message: &'static str,
        /// How many seconds to wait.
        wait: u64,
    },
    /// Who the caller is cannot be found out now.
    #[error("the user directory is unavailable")]
    AuthenticationUnavailable,
    /// The identity filter failed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The user that the request is for could not be made known to the upstream.
    #[error(transparent)]
    Newcomer(#[from] NewcomerError),
    /// A token could not be signed.
    #[error("a token could not be signed")]
    Signing,
    /// The upstream gave no usable answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The upstream wants credentials that it should not want.
    #[error("upstream {upstream} answered 401: it does not accept what the gateway tells it ({credentials})")]
    UpstreamChallenged {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The setting that would have to fit.
        credentials: &'static str,
    },
    /// The upstream's response has no body whose end could be told from a break.
    #[error("upstream {upstream} {why}")]
    UpstreamUnframed {
        /// The upstream's name.
        upstream: Arc<str>,
        /// What is wrong with it.
        why: ResponseFramingError,
    },
    /// A request body could not be kept until it was whole.
    #[error(transparent)]
    Spool(SpoolError),
    /// The content of an upload or a manifest is not what the request says of it.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A request to the token endpoint that is not in order.
    #[error(transparent)]
    TokenRequest(#[from] TokenRequestError),
}

impl From<SpoolError> for Failure {
    /// What the client does to a body is the same failure whether it is kept or streams.
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Body(_) => Self::Upstream(UpstreamError::ClientBroke),
            SpoolError::Idle { limit } => Self::Upstream(UpstreamError::ClientStalled { limit }),
            SpoolError::TooLong { .. } | SpoolError::Full { .. } | SpoolError::Storage { .. } => Self::Spool(error),
        }
    }
}

impl Failure {
    /// What a refusal of the chain becomes; `wrong` says what wrong credentials are at this place.
    pub(crate) fn of_login(refused: Refused, wrong: impl FnOnce() -> Self) -> Self {
        match refused {
            Refused::Wrong => wrong(),
            Refused::Busy => Self::Busy,
            Refused::Unavailable => Self::AuthenticationUnavailable,
        }
    }
}

/// What is wrong with a request to the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRequestError {
    /// Not GET or POST.
    #[error("the token endpoint takes GET and POST")]
    Method,
    /// The form is over the limit.
    #[error("the request body is too large")]
    TooLarge,
    /// The body did not come within the bound, or broke off.
    #[error("the request body did not come")]
    NoBody,
    /// Not `application/x-www-form-urlencoded`.
    #[error("the body must be of type application/x-www-form-urlencoded")]
    ContentType,
    /// A parameter is missing, repeated or cannot be decoded.
    #[error("{0}")]
    Invalid(&'static str),
    /// A `grant_type` that is not served.
    #[error("this grant_type is not supported; use password, or GET with Basic credentials")]
    UnsupportedGrantType,
    /// `service` is not one of ours.
    #[error("no such service; this endpoint issues tokens for: {accepted}")]
    UnknownService {
        /// The services that are.
        accepted: String,
    },
    /// What is granted of the scopes does not fit into a token.
    #[error("what is asked for does not fit into one token; ask for fewer scopes at a time")]
    TooMuch,
    /// Name and password are wrong.
    #[error("incorrect username or password")]
    WrongCredentials,
    /// No client, or not with this secret.
    #[error("client authentication failed")]
    InvalidClient,
    /// None of the scopes can be had, or not together.
    #[error("{0}")]
    InvalidScope(&'static str),
}
