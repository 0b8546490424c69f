//! What went wrong in other registries and proxies, as far as no test nearer to the matter shows that it does not here, and the check that
//! `docs/threat-model.md` names a test for each of its promises.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod defaults;
mod promises;
mod steered;
mod tags;
