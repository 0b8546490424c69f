//! What an operator watches: the numbers of `/metrics`, what the documentation, the dashboard and the alert rules make of them, and log
//! files that are moved away.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::float_cmp, reason = "what is counted is a whole number")]

#[path = "../support/mod.rs"]
mod support;

use support::{site, upstream, wire};

mod counting;
mod deployed;
mod documented;
mod logs;
mod scrape;
mod traces;
