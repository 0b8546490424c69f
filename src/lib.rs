//! Tidegate: a reverse-proxy auth gateway that stands in front of a container registry.
//!
//! The registry behind it keeps the content; Tidegate decides who may do what, and tells the registry who is asking.
//!
//! Modules only import modules that stand below them in this list; a test holds that direction.

pub mod cli;

pub mod app;

pub mod lifecycle;

pub mod config;

pub mod server;

pub mod identity;

pub mod authz;

pub mod authn;

pub mod token;

pub mod keys;

pub mod document;
pub mod jq;

pub mod pulp;

pub mod registry;

pub mod access_log;
pub mod audit;
pub mod metrics;
pub mod status;
pub mod telemetry;

pub mod certificate;
pub mod clock;
pub mod secret;
pub mod subject;
pub mod watch;

/// The allocator of the program: it gives the memory of parked connections back, and takes less time than the system's.
pub use mimalloc::MiMalloc as Allocator;
