//! From arguments to an exit code; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::cli::run()
}
