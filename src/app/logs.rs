//! Where the logs go.

use crate::access_log;
use crate::config;
use crate::telemetry::Format;

/// The format of events and lines.
pub fn log_format(log: &config::Log) -> Format {
    match log.format {
        config::LogFormat::Auto => Format::Auto,
        config::LogFormat::Human => Format::Human,
        config::LogFormat::Json => Format::Json,
    }
}

pub(super) fn log_settings(log: &config::Log) -> access_log::Settings {
    let target = |target: &config::LogTarget| match target {
        config::LogTarget::Off => access_log::Target::Off,
        config::LogTarget::Stdout => access_log::Target::Stdout,
        config::LogTarget::File(path) => access_log::Target::File(path.clone()),
        config::LogTarget::Syslog { address, facility } => {
            access_log::Target::Syslog { address: address.clone(), facility: *facility }
        }
    };
    access_log::Settings { requests: target(&log.requests), audit: target(&log.audit), format: log_format(log) }
}
