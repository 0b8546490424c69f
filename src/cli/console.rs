//! What commands share: the streams they talk to, and how they fail.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::config::{Config, Report};

/// Done, or the answer is yes.
pub(super) const OK: u8 = 0;
/// It could not be done, or the answer is no.
pub(super) const NO: u8 = 1;
/// The arguments or the configuration are wrong.
pub(super) const USAGE: u8 = 2;
/// Whoever read the output has gone away: what a shell reports of a program that SIGPIPE ended.
const READER_GONE: u8 = 141;

/// How a command went: its exit code, or what is to be told.
pub type Outcome = Result<u8, Failure>;

/// The streams of a command.
pub struct Console<'a> {
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Standard output: what was asked for, fit for a pipe.
    pub out: &'a mut dyn Write,
    /// Standard error: what there is to say about it.
    pub err: &'a mut dyn Write,
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// Something that one sentence says.
    Said {
        /// The exit code.
        code: u8,
        /// What is wrong.
        message: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// A configuration with errors; they are shown as `tidegate check` does.
    Configuration(Report),
    /// The output could not be written.
    Output(io::Error),
}

impl Failure {
    /// It could not be done: exit code 1.
    pub fn no(message: impl Into<String>) -> Self {
        Self::Said { code: NO, message: message.into(), hint: None }
    }

    /// The command makes no sense as it was given: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Said { code: USAGE, message: message.into(), hint: None }
    }

    /// With what would be right.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Said { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Console<'_> {
    /// Reads a configuration. Its warnings are for `tidegate check` to tell.
    pub fn load(&self, path: &Path) -> Result<Config, Failure> {
        Config::load(path).map_err(Failure::Configuration)
    }

    /// Says something that is worth knowing and no failure.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.err, "note: {text}")
    }

    /// Tells a failure, and gives the exit code.
    pub fn finish(&mut self, outcome: Outcome) -> ExitCode {
        let outcome = outcome.and_then(|code| Ok(self.out.flush().map(|()| code)?));
        ExitCode::from(outcome.unwrap_or_else(|failure| self.tell(&failure)))
    }

    /// With standard error gone as well there is nobody left to tell; the exit code still says it.
    fn tell(&mut self, failure: &Failure) -> u8 {
        match failure {
            Failure::Said { code, message, hint } => {
                let _ = writeln!(self.err, "error: {message}");
                if let Some(hint) = hint {
                    let _ = writeln!(self.err, "hint: {hint}");
                }
                *code
            }
            Failure::Configuration(report) => {
                let _ = write!(self.err, "{report}");
                USAGE
            }
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => READER_GONE,
            Failure::Output(error) => {
                let _ = writeln!(self.err, "error: cannot write the output: {error}");
                NO
            }
        }
    }
}
