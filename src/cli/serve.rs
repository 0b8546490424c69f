//! `tidegate serve`: the gateway itself.

use std::path::PathBuf;

use super::{CONFIG, Console, Failure, Outcome};

/// Run the gateway
///
/// Runs until SIGTERM or SIGINT; then it takes no new connections and waits for the requests in flight, up to
/// `server.drain_timeout`. `tidegate check` says beforehand whether the configuration is correct.
///
/// Exit codes: 0 stopped by a signal, with nothing broken off; 1 it could not start, or requests were broken off; 2 the
/// arguments or the configuration are wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
}

/// Runs the gateway.
pub fn run(_args: &Args, _console: &mut Console<'_>) -> Outcome {
    Err(Failure::no("this build cannot serve yet"))
}
