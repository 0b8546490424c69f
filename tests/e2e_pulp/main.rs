//! End-to-end tests: real clients, the gateway's binary, and real Pulp behind it.
//!
//! One Pulp serves all tests, with an API app and a gateway for each way to stand in front of it; tests keep apart by the
//! names of their repositories. `tests/pulp.sh` makes what Pulp starts from, and `tests/run` calls it. The tests need
//! root: PostgreSQL runs as its own user, each client in a private mount namespace.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod clients;
mod doctor;
mod endpoints;
mod example;
mod forged;
mod guard;
mod hosts;
mod identity;
mod idle;
mod mode;
mod names;
mod newcomers;
mod paths;
mod profiles;
mod sessions;
mod site;
mod stand;
mod uploads;
mod workers;
