//! The gateway's binary between clients and an upstream that both speak bytes, not HTTP libraries: what travels, what
//! does not, and what becomes of everything that breaks.
//!
//! The upstream is ours and does what no registry would do; no client, no registry and no root is needed.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

use support::{site, upstream, wire};

mod addressing;
mod bound;
mod broken;
mod connections;
mod credentials;
mod early;
mod failures;
mod hops;
mod lifecycle;
mod limits;
mod listen;
mod markers;
mod passed;
mod paths;
mod pooling;
mod proxy_protocol;
mod pulp;
mod retry_after;
mod spool;
mod streaming;
mod uploads;
