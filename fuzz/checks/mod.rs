//! What is held of each parser, whatever bytes it is given: not only that it does not panic, but what may never come out of it.
//!
//! Each module has one `check`. The fuzz targets run them on what libFuzzer thinks of, and `tests/corpora.rs` runs them on every file
//! of `fuzz/corpus`, without any fuzzer. A new target is a module here, a line in [`ALL`], a file in `fuzz_targets`, a `[[bin]]`, and
//! a folder of the same name in `corpus`; a finding becomes a file in that folder, named for what it found.

pub mod authorization;
pub mod config;
pub mod identity;
pub mod path;
pub mod proxy_protocol;
pub mod response;
pub mod scope;
pub mod token;

/// What is done with one input; it panics where something does not hold.
pub type Check = fn(&[u8]);

/// Every check by the name of its target.
pub const ALL: &[(&str, Check)] = &[
    ("authorization", authorization::check),
    ("config", config::check),
    ("identity", identity::check),
    ("path", path::check),
    ("proxy_protocol", proxy_protocol::check),
    ("response", response::check),
    ("scope", scope::check),
    ("token", token::check),
];
