//! The network side: listeners, the way of a request, and what goes back.

mod body;
mod headers;
mod location;
mod names;
mod peer;
mod progress;
mod upstream;

pub use body::{BodyError, RequestBody, ResponseBody};
pub use headers::FramingError;
pub use names::{PublicName, PublicNames};
pub use peer::TrustedProxies;
pub use upstream::{Upstream, UpstreamBody, UpstreamError, UpstreamSettings};
