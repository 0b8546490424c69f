//! End-to-end tests: real clients, the gateway's binary, and Debian's docker-registry behind it.
//!
//! Each test has a registry, a gateway and client directories of its own and leaves nothing behind. A missing client fails
//! its tests with the name of the package to install; `tests/run` installs them all. The tests need root: they give each
//! client a private mount namespace, and start a dockerd and a containerd.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod aged_token;
mod buildah;
mod ctr;
mod curl;
mod dev;
mod docker;
mod doctor;
mod export_pulp;
mod forward_token;
mod htpasswd;
mod identity;
mod metrics;
mod names;
mod oras;
mod podman;
mod pyjwt;
mod site;
mod skopeo;
mod spool;
mod transfer;
mod uploads;
