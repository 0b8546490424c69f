//! How upstreams are reached: over TLS, HTTP/2 and Unix sockets, and at several addresses of which some are down.
//!
//! The upstreams are ours; no client, no registry and no root is needed.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

use support::{site, upstream, wire};

mod backend;
mod doctor;
mod front;
mod http2;
mod pki;
mod several;
mod tls;
mod unix;
