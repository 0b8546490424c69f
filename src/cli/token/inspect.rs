//! `tidegate token inspect`: what a token says, and what the gateway makes of it.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::settings;
use crate::authn::{API_KEYS, CLIENTS};
use crate::cli::console::{Console, Failure, NO, OK, Outcome};
use crate::cli::{CONFIG, caller, keys};
use crate::clock::Clock;
use crate::config::Config;
use crate::subject::Caller;
use crate::token::{MAX_TOKEN, Verified, Verifier, inspect};

/// Say what a token holds, and in words why the gateway would refuse it or that it is accepted
///
/// The token is read from standard input, so that it need not stand in the history of a shell or the list of processes;
/// white space around it and `Bearer` before it do no harm. The signature is not printed.
///
/// Exit codes: 0 accepted; 1 refused; 2 the arguments or the configuration are wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    /// The token, or `-` for standard input
    #[arg(value_name = "TOKEN", default_value = "-", hide_default_value = true)]
    token: String,
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let config = console.load(&args.config)?;
    let text = if args.token == "-" { read(console)? } else { Zeroizing::new(args.token.clone()) };
    let token = text.trim();
    let token = token.strip_prefix("Bearer ").unwrap_or(token).trim_start();
    if token.is_empty() {
        return Err(Failure::usage("there is no token").hint("give it on standard input"));
    }
    let keys = keys::stored_keys(&config, console)?;
    let ring = Arc::new(keys::ring(&config, keys)?);
    let inspection = inspect(&Verifier::new(ring, settings(&config), Clock::System), token);
    for (name, part) in [("header", &inspection.header), ("claims", &inspection.claims)] {
        match part {
            Some(part) => writeln!(console.out, "{name}: {part:#}")?,
            None => writeln!(console.out, "{name}: not readable")?,
        }
    }
    let gone = inspection.verdict.as_ref().ok().and_then(|verified| gone(&config, verified, console));
    if let Some(gone) = gone {
        writeln!(console.out, "refused: {gone}")?;
        return Ok(NO);
    }
    writeln!(console.out, "{inspection}")?;
    Ok(if inspection.verdict.is_ok() { OK } else { NO })
}

/// A good token of somebody whom the configuration no longer has is refused all the same.
fn gone(config: &Config, verified: &Verified, console: &mut Console<'_>) -> Option<String> {
    let Caller::Known(subject) = &verified.caller else { return None };
    if caller::is_reserved(config, &subject.name) {
        return Some(format!("the token is good, but the name {} is reserved", subject.name));
    }
    let mut notes = Vec::new();
    let found = caller::find(config, &subject.name, Some(&subject.member), &mut notes);
    for note in &notes {
        // The verdict counts, and is told on the other stream.
        let _ = console.note(note);
    }
    match found {
        Some(_) => None,
        None if [API_KEYS, CLIENTS].contains(&&*subject.member) => {
            Some(format!("the token is good, but {} is not in the configuration any more", subject.name))
        }
        None => Some(format!(
            "the token is good, but the member {} of the [[authn]] chain does not know {}",
            subject.member, subject.name
        )),
    }
}

/// Reads somewhat more than the longest token, so that a longer one is still found to be too long.
fn read(console: &mut Console<'_>) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_TOKEN + 64));
    let mut input = (&mut *console.input).take(MAX_TOKEN as u64 + 64);
    input
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("the token cannot be read from standard input: {error}")))?;
    Ok(text)
}
