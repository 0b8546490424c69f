//! What the test crates share: processes that end with their test, ports, a registry, real Pulp, a gateway, real
//! clients, images, a small HTTP client, a relay that sees what goes upstream, and HTTP by hand with an upstream of our own (`wire`,
//! `upstream`, `site`). What a single crate tests stands in that crate.
//!
//! Everything that is started is owned by a value, ends when the value is dropped (also by a failing test), and lives
//! in a temporary directory that goes away with it. Should the test process itself be killed, the kernel ends its
//! children.
#![allow(dead_code, reason = "each test crate uses its own part of this module")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub(crate) mod client;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod image;
pub(crate) mod middle;
pub(crate) mod people;
pub(crate) mod pki;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod pulp;
pub(crate) mod registry;
pub(crate) mod relay;
pub(crate) mod site;
pub(crate) mod upstream;
pub(crate) mod wire;

use std::time::{Duration, Instant};

/// Lets a little time pass; for polling what announces itself in no other way.
#[expect(clippy::disallowed_methods, reason = "tests are plain threads; there is no worker to block")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Asks `probe` every few milliseconds until it answers, and panics with `what` when `deadline` has passed.
pub(crate) fn until<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        pause(Duration::from_millis(10));
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `sha256:…` of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref()))
}

/// `n` bytes that no other test has.
pub(crate) fn random(n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}
