//! The commands as somebody at a shell meets them: arguments in; output, texts and exit codes out.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail like the test")]

mod api_key;
mod doctor;
mod explain;
mod export;
mod export_pulp;
mod filter;
mod keys;
mod root;
mod support;
mod token;
