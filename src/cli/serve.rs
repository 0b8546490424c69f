//! `tidegate serve`: the gateway itself.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::CONFIG;
use super::console::{NO, USAGE};
use crate::app::ConfigFile;
use crate::config::Config;
use crate::keys::KeyRing;
use crate::{app, lifecycle, telemetry};

/// How long the logs may take to be written at the end.
const FLUSH: Duration = Duration::from_secs(5);

/// Run the gateway until SIGTERM or SIGINT
///
/// On the first signal it says that it is not ready (for `server.drain_delay`), stops accepting, finishes the requests under way
/// (`server.drain_timeout` at most) and exits; on a second one it exits at once. On SIGHUP, and when the configuration or a file
/// that it names changes, it reads them again, and puts them in force if they are valid. Events go to standard error, request and audit lines where `[log]` says (standard output by default).
///
/// Exit codes: 0 ended by a signal and drained; 1 it could not start, or requests were cut; 2 the configuration is wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
}

/// Serves until the end.
pub fn run(args: &Args) -> ExitCode {
    let mut file = ConfigFile::new(args.config.clone());
    let config = match file.load() {
        Ok(config) => config,
        Err(report) => return fail(USAGE, &report),
    };
    if let Err(error) = telemetry::init(&config.log.level, app::log_format(&config.log)) {
        return fail(USAGE, &error);
    }
    match app::key_ring(&config, &file) {
        Ok(ring) => serve(config, ring, Some(file), |_| {}),
        Err(error) => fail(NO, &error),
    }
}

/// Serves with these keys, by a configuration that was read from `file` if that is to be read again; `started` hears where it listens.
pub(super) fn serve(
    config: Config,
    ring: KeyRing,
    file: Option<ConfigFile>,
    started: impl FnOnce(&app::Started),
) -> ExitCode {
    let gateway = match app::start(config, ring, file) {
        Ok(gateway) => gateway,
        Err(error) => return fail(NO, &error),
    };
    for address in &gateway.addresses {
        tracing::info!(%address, "listening");
    }
    if let Some(admin) = &gateway.running.admin {
        tracing::info!(address = %admin.local_addr(), "admin pages");
    }
    started(&gateway);
    let app::Started { running, log, .. } = gateway;
    let code = match lifecycle::run(running) {
        Ok(ended) => ended.exit_code(),
        Err(error) => {
            tracing::error!("cannot listen for signals: {error}");
            NO
        }
    };
    if !log.flush(FLUSH) {
        tracing::error!("request or audit lines could not be written");
    }
    ExitCode::from(code)
}

fn fail(code: u8, why: &dyn std::fmt::Display) -> ExitCode {
    // With standard error closed, only the exit code is left to tell.
    let _ = writeln!(std::io::stderr(), "tidegate: {why}");
    ExitCode::from(code)
}
