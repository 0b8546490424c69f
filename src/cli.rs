//! The command line: one file for each command.
//!
//! A command takes its parsed arguments and a [`Console`], and says how it went with an exit code or a [`Failure`]; only
//! [`run`] knows the process's own streams.

pub mod api_key;
mod caller;
pub mod check;
mod console;
pub mod dev;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod filter;
pub mod hash_password;
pub mod keys;
pub mod serve;
pub mod token;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use console::{Console, Failure, Outcome};

/// The configuration that commands read when none is named.
const CONFIG: &str = "gateway.toml";

/// A reverse-proxy auth gateway that stands in front of a container registry.
///
/// The registry behind it keeps the content; Tidegate decides who may do what, and tells the registry who is asking.
///
/// Begin with `tidegate dev --upstream http://127.0.0.1:5050`, which needs no configuration, or with a gateway.toml and
/// `tidegate check`.
///
/// Exit codes: 0 done; 1 the answer is no, or it could not be done; 2 the arguments or the configuration are wrong. The
/// help of each command says what that means there.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = false, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Dev(dev::Args),
    Check(check::Args),
    Explain(explain::Args),
    Doctor(doctor::Args),
    HashPassword(hash_password::HashPassword),
    ApiKey(api_key::Args),
    Keys(keys::Args),
    Token(token::Args),
    Filter(filter::Args),
    Export(export::Args),
    /// Print the version
    ///
    /// Exit codes: 0 done.
    Version,
}

/// Runs the command that the arguments name, and says how it went.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; with the stream gone there is nobody left to tell.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    // These live on with threads that write, or read a terminal by themselves: a lock that is held here would stop them.
    match &cli.command {
        Command::Serve(args) => return serve::run(args),
        Command::Dev(args) => return dev::run(args),
        Command::HashPassword(args) => return hash_password::run(args),
        _ => {}
    }
    let (mut input, mut out, mut err) = (io::stdin().lock(), io::stdout().lock(), io::stderr());
    let mut console = Console { input: &mut input, out: &mut out, err: &mut err };
    let outcome = match &cli.command {
        Command::Check(args) => return check::run(args, console.out, console.err),
        Command::Explain(args) => explain::run(args, &mut console),
        Command::ApiKey(args) => api_key::run(args, &mut console),
        Command::Doctor(args) => doctor::run(args, &mut console),
        Command::Keys(args) => keys::run(args, &mut console),
        Command::Token(args) => token::run(args, &mut console),
        Command::Filter(args) => filter::run(args, &mut console),
        Command::Export(args) => export::run(args, &mut console),
        Command::Serve(_) | Command::Dev(_) | Command::HashPassword(_) | Command::Version => version(&mut console),
    };
    console.finish(outcome)
}

fn version(console: &mut Console<'_>) -> Outcome {
    writeln!(console.out, "tidegate {}", env!("CARGO_PKG_VERSION"))?;
    Ok(console::OK)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_says_its_exit_codes() {
        fn visit(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Exit codes: 0"), "{}: {help}", command.get_name());
            command.get_subcommands_mut().filter(|command| command.get_name() != "help").for_each(visit);
        }
        visit(&mut Cli::command());
    }
}
