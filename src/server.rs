//! The network side: listeners, the way of a request, and what goes back.

pub mod admin;
mod body;
pub mod connection;
mod headers;
pub mod linger;
pub mod listener;
mod location;
mod names;
mod peer;
mod progress;
pub mod shutdown;
mod upstream;
pub mod worker;

pub use body::{BodyError, RequestBody, ResponseBody};
pub use headers::FramingError;
pub use names::{PublicName, PublicNames};
pub use peer::TrustedProxies;
pub use upstream::{Upstream, UpstreamBody, UpstreamError, UpstreamSettings};
