//! The network side: listeners, the way of a request, and what goes back.
//!
//! Nothing here reads the configuration; every part takes a settings struct of its own.

pub mod admin;
mod alarm;
mod authorize;
mod body;
mod challenge;
mod checked_body;
pub mod connection;
mod entrance;
mod exchange;
mod failure;
mod forward;
mod forwarded;
mod gateway;
mod headers;
mod identities;
pub mod linger;
pub mod listener;
mod location;
mod login;
mod memory;
mod names;
mod newcomers;
mod passage;
mod peer;
mod presented;
mod progress;
pub mod proxy_protocol;
mod respond;
mod response_body;
mod routes;
mod seldom;
mod session;
pub mod shutdown;
mod spool;
mod state;
mod strangers;
pub mod stream;
mod throttle;
pub mod tls;
mod token_endpoint;
mod trail;
mod upload;
mod upstream;
mod way;
pub mod worker;

pub use body::{BodyError, RequestBody};
pub use challenge::{Scheme, TokenTrouble};
pub use entrance::EntranceSettings;
pub use exchange::FollowedBody;
pub use failure::{Failure, TokenRequestError};
pub use gateway::{Gateway, Serves};
pub use headers::{FramingError, PassedHeader, PassedHeaders};
pub use identities::Identities;
pub use names::{PublicName, PublicNames};
pub use newcomers::{Account, NewcomerError, Newcomers};
pub use peer::TrustedProxies;
pub use response_body::ResponseBody;
pub use routes::{Route, RouteAuth, Routes, UpstreamCredentials};
pub use session::Session;
pub use spool::{SpoolError, SpoolSettings};
pub use state::{JWKS_PATH, Shared, State};
pub use strangers::Strangers;
pub use throttle::{Throttle, ThrottleSettings};
pub use upload::{Markers, UploadError, UploadSettings};
pub use upstream::{
    Address, At, BoundSettings, HealthSettings, IdentityFiles, ReadError, ResponseReader, RetrySettings, TlsSettings,
    Upstream, UpstreamBody, UpstreamError, UpstreamSettings, UpstreamTlsError, keep_probing,
};
pub(crate) use upstream::{Connector, Tls, once};
