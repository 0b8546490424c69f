//! `tidegate export`: configuration for the programs behind the gateway.

pub mod distribution;
mod file;
pub mod pulp;
mod target;

use super::{Console, Outcome};

/// Print what an upstream needs to accept what the gateway tells it
///
/// Exit codes: 0 done; 1 the files could not be written; 2 the arguments or the configuration are wrong, or do not suit
/// the upstream.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Distribution(distribution::Args),
    Pulp(pulp::Args),
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    match &args.command {
        Command::Distribution(args) => distribution::run(args, console),
        Command::Pulp(args) => pulp::run(args, console),
    }
}
