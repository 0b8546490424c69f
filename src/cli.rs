//! The command line: one file for each command.

pub mod check;
pub mod dev;
pub mod hash_password;
pub mod serve;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Serve(serve::Args),
    Dev(dev::Args),
    Check(check::Args),
    HashPassword(hash_password::HashPassword),
}

/// Runs the command that the arguments name, and says how it went.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Dev(args) => dev::run(&args),
        Command::Check(args) => check::run(&args, &mut std::io::stdout(), &mut std::io::stderr()),
        Command::HashPassword(args) => hash_password::run(&args),
    }
}
