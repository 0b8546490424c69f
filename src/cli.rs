//! The command line: one file for each command.

pub mod check;
pub mod hash_password;

use std::process::ExitCode;

/// Runs the command that the arguments name, and says how it went.
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
