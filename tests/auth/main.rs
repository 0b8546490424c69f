//! Who is it, and may they: the gateway's binary in front of an upstream that records what reaches it, driven over HTTP.
//!
//! Challenges, the token endpoint, tokens and keys, rules at use, the identity header, log-ins, and what the logs say and
//! must never say. How bytes travel is the matter of the proxy's own tests, real clients that of the end-to-end tests.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod api;
mod api_keys;
mod audit;
mod challenge;
mod clients;
mod credentials;
mod forged;
mod identity;
mod jwt;
mod keys;
mod names;
mod operations;
mod passwords;
mod planted;
mod rules;
mod secrets;
mod setup;
mod throttle;
mod token_form;
mod token_query;
mod upstream;
