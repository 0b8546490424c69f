//! From arguments to an exit code; everything else is in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tidegate::Allocator = tidegate::Allocator;

fn main() -> ExitCode {
    tidegate::cli::run()
}
