//! `tidegate token`: make a token without a client, and look into one.

pub mod inspect;
pub mod mint;

use super::{Console, Outcome};
use crate::config::Config;
use crate::token::Settings;

/// Mint a token, or say what one is good for
///
/// Exit codes: 0 done, or the token is accepted; 1 it could not be minted, or is refused; 2 the arguments or the
/// configuration are wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Mint(mint::Args),
    Inspect(inspect::Args),
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    match &args.command {
        Command::Mint(args) => mint::run(args, console),
        Command::Inspect(args) => inspect::run(args, console),
    }
}

/// What a configuration says about tokens.
pub(super) fn settings(config: &Config) -> Settings {
    let token = &config.token;
    Settings {
        issuer: token.issuer.clone(),
        services: token.services.clone(),
        ttl: token.ttl,
        api_ttl: config.api.token_ttl.unwrap_or(token.ttl),
    }
}
