//! `tidegate dev`: a gateway without any file, for trying things out.

use std::net::SocketAddr;

use super::{Console, Failure, Outcome};

/// Run a gateway without any file, to try things out
///
/// Listens on loopback, signs with a key that is kept in memory only, and has one account that may do everything. Its
/// random password is printed with the `docker login` line at start, and is gone afterwards.
///
/// Exit codes: 0 stopped by a signal; 1 it could not start; 2 the arguments are wrong.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "the comments are printed as help, where markup is noise")]
pub struct Args {
    /// The registry to stand in front of, such as http://127.0.0.1:5050
    #[arg(long, value_name = "URL")]
    pub upstream: String,

    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,

    /// The name of the one account
    #[arg(long, value_name = "NAME", default_value = "dev")]
    pub user: String,
}

/// Runs the gateway.
pub fn run(_args: &Args, _console: &mut Console<'_>) -> Outcome {
    Err(Failure::no("this build cannot serve yet"))
}
