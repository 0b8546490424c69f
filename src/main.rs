//! From arguments to an exit code; everything else is in the library.

use std::process::ExitCode;

/// Gives the memory of parked connections back, and takes less time than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::cli::run()
}
