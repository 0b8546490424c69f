//! `tidegate keys`: make, list and publish signing keys.

pub mod export;
pub mod generate;
pub mod list;
mod ring;
mod validity;

pub(super) use ring::{keys, ring, stored_keys};

use super::{Console, Outcome};

/// Make, list and export signing keys
///
/// Tokens are signed with the first key of `token.keys` and verified with all of them. Without `token.keys` there is one
/// ES256 key in `server.state_dir`, made at the first start.
///
/// Exit codes: 0 done; 1 it could not be done; 2 the arguments or the configuration are wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Generate(generate::Args),
    List(list::Args),
    Export(export::Args),
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    match &args.command {
        Command::Generate(args) => generate::run(args, console),
        Command::List(args) => list::run(args, console),
        Command::Export(args) => export::run(args, console),
    }
}
