//! The gateway's binary while what is around it fails: upstreams that break in every way, clients that take their time,
//! more connections than requests, and reloads under load.
//!
//! Each test looks for three things: who is not concerned is served all the same, nothing broken looks whole, and no descriptor
//! and no memory stays behind. `TIDEGATE_FAULTS=long` makes the numbers those of a bad day; without it they are small, and nothing
//! is asserted about how long anything takes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stderr, reason = "what was measured is for whoever runs the long versions")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../edge/client.rs"]
#[allow(dead_code, reason = "each test crate uses its own part of this module")]
mod client;
#[path = "../edge/setup.rs"]
#[allow(dead_code, reason = "each test crate uses its own part of this module")]
mod setup;

mod idle;
mod load;
mod slow;
mod upstreams;

/// All clients come from one address here, and more of them than one may have.
const UNBOUNDED: &str = "[limits]\nconnections = 0\nconnections_per_address = 0\n";

/// `short`, or `long` where the long versions are asked for.
fn scaled<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// Whether the long versions are asked for.
fn is_long() -> bool {
    std::env::var_os("TIDEGATE_FAULTS").is_some_and(|value| value == "long")
}
