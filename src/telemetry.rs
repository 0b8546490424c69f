//! Telemetry: the set-up of `tracing` for events, and what request and audit lines are made with.
//!
//! Events (start, reload, trouble) go through `tracing` to standard error. Lines (one a request, one a decision) are many
//! and cost a tenth of an event: they have a formatter ([`Line`]) and a writer thread ([`Sink`]) of their own. What a
//! line says is defined in `access_log` and `audit`.

mod line;
mod sink;
mod syslog;
mod trace;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

pub use line::{Line, Style};
pub use sink::{Opener, Sink};
pub use syslog::{Facility, SyslogAddress, syslog};
pub use trace::{CONTEXT_HEADERS, Trace, TraceSettings, Tracer};

/// How events and lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// [`Style::Human`] on a terminal, [`Style::Json`] elsewhere.
    #[default]
    Auto,
    /// For eyes, wherever it goes.
    Human,
    /// One JSON object a line, wherever it goes.
    Json,
}

impl Format {
    /// The style for a place that is, or is not, a terminal.
    pub fn style(self, terminal: bool) -> Style {
        match self {
            Self::Human => Style::Human,
            Self::Auto if terminal => Style::Human,
            Self::Auto | Self::Json => Style::Json,
        }
    }
}

/// Why the log cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// The level is none, nor a list of `target=level`.
    #[error("{0:?} is no log level: use error, warn, info, debug, trace or off, or a list such as info,tidegate=debug")]
    Level(String),
    /// Something in this process has set a subscriber before.
    #[error("the log is set up already")]
    AlreadySet,
}

/// Which events are told.
#[derive(Debug)]
pub struct Level(Targets);

/// The filter of this process, once [`init`] has set it.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Sends events of a level and above to standard error. Once in the life of a process.
pub fn init(level: &str, format: Format) -> Result<(), TelemetryError> {
    let Level(filter) = self::level(level)?;
    // Below the formats: its handle is the same for both.
    let (filter, handle) = reload::Layer::new(filter);
    let events = tracing_subscriber::registry().with(filter);
    let terminal = io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(io::stderr);
    match format.style(terminal) {
        Style::Human => events.with(lines.with_ansi(terminal)).try_init(),
        Style::Json => events.with(lines.json().flatten_event(true).with_current_span(false)).try_init(),
    }
    .map_err(|_| TelemetryError::AlreadySet)?;
    FILTER.set(handle).map_err(|_| TelemetryError::AlreadySet)
}

/// Changes the level that [`init`] was given. Where it was not called, events are not ours to choose.
pub fn set_level(level: Level) {
    if let Some(filter) = FILTER.get() {
        // It fails only when the subscriber is gone.
        let _ = filter.reload(level.0);
    }
}

/// A log level such as `info` or `info,tidegate=debug`.
///
/// `Targets` takes a misspelt level for the name of a target and shows everything of it; we do not.
pub fn level(level: &str) -> Result<Level, TelemetryError> {
    let error = || TelemetryError::Level(level.to_owned());
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |text: &str| names.iter().any(|name| text.eq_ignore_ascii_case(name));
    let directives: Vec<_> = level.split(',').map(str::trim).collect();
    if !directives.iter().all(|text| is_level(text.rsplit_once('=').map_or(text, |(_target, level)| level))) {
        return Err(error());
    }
    directives.join(",").parse().map(Level).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::{Format, Style, TelemetryError, level};

    #[test]
    fn levels_and_lists_of_targets_are_accepted() {
        for text in ["info", "OFF", "warn,tidegate=debug", "tidegate::authn=trace, hyper=off"] {
            assert!(level(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_level_is_an_error_that_names_the_right_ones() {
        for text in ["inof", "", "info,", "tidegate=loud", "tidegate", "=", "info;debug"] {
            let error = level(text).unwrap_err();
            assert_eq!(error, TelemetryError::Level(text.to_owned()));
            assert!(error.to_string().contains("debug, trace"));
        }
    }

    #[test]
    fn only_auto_depends_on_the_terminal() {
        let styles = [Format::Auto, Format::Human, Format::Json].map(|format| [true, false].map(|t| format.style(t)));
        assert_eq!(styles, [[Style::Human, Style::Json], [Style::Human; 2], [Style::Json; 2]]);
    }
}
