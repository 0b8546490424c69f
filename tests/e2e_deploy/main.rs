//! Tests of `deploy/`: each thing there is built, rendered, installed or run by the program that it is for.
//!
//! The image is built by buildah and run by podman; the package is made by cargo-deb, installed by dpkg and started by systemd;
//! the chart goes through helm, manifests through kubectl and Kubernetes' schemas, the compose file through docker-compose. The
//! gateway's own `check` reads every configuration on its way. `tests/deploy.sh` installs the programs, and `tests/run` calls it.
//! The tests need root: they make containers, namespaces and file systems, all of which go with them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod compose;
mod dns;
mod helm;
mod image;
mod kubernetes;
mod manifests;
mod package;
mod tools;
