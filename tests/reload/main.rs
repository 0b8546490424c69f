//! Reloads: a changed configuration acts at the next request, a wrong one not at all, and whoever is in between notices nothing.
//!
//! The gateway's binary in front of an upstream of ours; no client, no registry and no root is needed.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod change;

mod broken;
mod files;
mod keys;
mod load;
mod notify;
mod rules;
mod upstreams;
