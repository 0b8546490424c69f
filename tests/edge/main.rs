//! The gateway's binary at the edge of a network: TLS and its certificates, client certificates, HTTP/2.
//!
//! Certificates are made by the tests, clients are rustls and hyper, and where a client must not keep to the rules, bytes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod setup;

mod certificates;
mod doctor;
mod handshake;
mod http2;
mod identity;
mod reload;
