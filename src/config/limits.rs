//! `[limits]` and `[log]`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use super::item::Item;
use super::reader::{Section, Title};
use super::tree::Value;
use crate::telemetry::{self, Facility, SyslogAddress};

/// `[limits]`.
#[derive(Debug)]
pub struct Limits {
    /// Connections of clients in all (default 20,000); none: as many as come.
    pub connections: Option<NonZeroUsize>,
    /// Connections from one address, of IPv6 from one /64 (default 1,024); none: as many as come.
    pub connections_per_address: Option<NonZeroUsize>,
    /// Bytes of a request's target (default 16 KiB).
    pub url_bytes: usize,
    /// Bytes a second that a request body has to bring while only its client is waited for (default 64); zero: none.
    pub body_rate: usize,
    /// Token requests a second from one address (default 50), and ten times as many at once; none: as many as come.
    pub token_rate: Option<NonZeroU32>,
    /// Failed log-ins to one account from one address before they are delayed (default 10); none: they never are.
    pub login_failures: Option<NonZeroU32>,
    /// The longest delay (default 5 min).
    pub login_delay: Duration,
    /// Failed log-ins from one address, to whichever accounts, in ten minutes (default 100); none: as many as come.
    pub login_failures_per_address: Option<NonZeroU32>,
    /// Bytes of a request head (default 32 KiB).
    pub header_bytes: usize,
    /// Number of request headers (default 100).
    pub header_count: usize,
    /// Passwords hashed at once (default: the number of cores); as many again times eight may wait, beyond it 429.
    pub password_hashing: usize,
    /// How long a verified password is remembered under a keyed hash (default 60 s; 0 turns it off).
    pub password_cache: Duration,
    /// Tokens whose verification is remembered (default 10,000).
    pub token_cache: usize,
    /// Scopes in one token request (default 64).
    pub scopes: usize,
    /// Requests of one connection, after which it is closed; 0: as many as come (default 0).
    pub requests_per_connection: usize,
    /// Requests at once on a connection with HTTP/2 (default 100).
    pub h2_streams: usize,
    /// How many requests a client may give up on a connection with HTTP/2, beyond as many as it lets end well (default 100).
    pub h2_resets: usize,
}

/// `[log]`.
#[derive(Debug)]
pub struct Log {
    /// `tracing` filter, such as `info` or `tidegate=debug` (default `info`).
    pub level: String,
    /// Format of events and lines on standard error and output.
    pub format: LogFormat,
    /// Where request lines go (default: standard output).
    pub requests: LogTarget,
    /// Where audit lines go (default: standard output).
    pub audit: LogTarget,
}

/// Format of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
    /// Sent to a syslog daemon.
    Syslog {
        /// Where it listens.
        address: SyslogAddress,
        /// As what lines come there; none: `daemon` for request lines, `authpriv` for audit lines.
        facility: Option<Facility>,
    },
}

/// Reads the section, or its defaults when it is missing.
pub(super) fn limits(section: Option<Section<'_>>) -> Limits {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut limits = Limits {
        connections: NonZeroUsize::new(20_000),
        connections_per_address: NonZeroUsize::new(1024),
        url_bytes: 16 << 10,
        body_rate: 64,
        token_rate: NonZeroU32::new(50),
        login_failures: NonZeroU32::new(10),
        login_delay: Duration::from_secs(300),
        login_failures_per_address: NonZeroU32::new(100),
        header_bytes: 32 << 10,
        header_count: 100,
        password_hashing: cores,
        password_cache: Duration::from_secs(60),
        token_cache: 10_000,
        scopes: 64,
        requests_per_connection: 0,
        h2_streams: 100,
        h2_resets: 100,
    };
    if let Some(mut section) = section {
        let mut connections = |key, default: Option<NonZeroUsize>| {
            // Zero stands for none.
            NonZeroUsize::new(section.number(key, default.map_or(0, NonZeroUsize::get), 0..=10_000_000))
        };
        limits.connections = connections("connections", limits.connections);
        limits.connections_per_address = connections("connections_per_address", limits.connections_per_address);
        limits.url_bytes = section.size("url_bytes", limits.url_bytes, 1 << 10..=64 << 10);
        limits.body_rate = section.size("body_rate", limits.body_rate, 0..=1 << 20);
        let mut rate = |key, default: Option<NonZeroU32>| {
            let default = default.map_or(0, |number| number.get() as usize);
            u32::try_from(section.number(key, default, 0..=1_000_000)).ok().and_then(NonZeroU32::new)
        };
        limits.token_rate = rate("token_rate", limits.token_rate);
        limits.login_failures = rate("login_failures", limits.login_failures);
        limits.login_failures_per_address = rate("login_failures_per_address", limits.login_failures_per_address);
        limits.login_delay = section.duration(
            "login_delay",
            limits.login_delay,
            Duration::from_secs(1)..=Duration::from_secs(24 * 3600),
        );
        limits.header_bytes = section.size("header_bytes", limits.header_bytes, 8 << 10..=1 << 20);
        limits.header_count = section.number("header_count", limits.header_count, 16..=1000);
        limits.password_hashing = section.number("password_hashing", limits.password_hashing, 1..=1024);
        limits.password_cache =
            section.duration("password_cache", limits.password_cache, Duration::ZERO..=Duration::from_secs(3600));
        limits.token_cache = section.number("token_cache", limits.token_cache, 1..=10_000_000);
        limits.scopes = section.number("scopes", limits.scopes, 1..=1000);
        limits.requests_per_connection =
            section.number("requests_per_connection", limits.requests_per_connection, 0..=1_000_000_000);
        limits.h2_streams = section.number("h2_streams", limits.h2_streams, 1..=10_000);
        limits.h2_resets = section.number("h2_resets", limits.h2_resets, 1..=1_000_000);
        section.finish();
    }
    limits
}

/// Reads the section, or its defaults when it is missing.
pub(super) fn log(section: Option<Section<'_>>) -> Log {
    let mut log =
        Log { level: "info".into(), format: LogFormat::Auto, requests: LogTarget::Stdout, audit: LogTarget::Stdout };
    let Some(mut section) = section else { return log };
    if let Some(level) = section.take("level").and_then(|item| level(&item)) {
        log.level = level;
    }
    let formats = [("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)];
    if let Some(format) = section.take("format").and_then(|item| item.word(&formats)) {
        log.format = format;
    }
    if let Some(target) = section.take("requests").and_then(|item| target(&item)) {
        log.requests = target;
    }
    if let Some(item) = section.take("audit") {
        if let Some(target) = target(&item) {
            log.audit = target;
        }
        if log.audit == LogTarget::Off {
            let message = "decisions and tokens leave no trace";
            item.reader.warn("audit-off", item.span, message, "write them to a file: { file = \"audit.log\" }");
        }
    }
    section.finish();
    log
}

/// What a target may be.
const TARGETS: &str = "\"stdout\", \"off\", { file = \"path\" } or { syslog = \"unix:/dev/log\" }";

fn level(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if telemetry::level(text).is_ok() {
        return Some(text.to_owned());
    }
    let message = format!("\"{}\" is no log level", item.shown());
    let hint = "error, warn, info, debug or trace, or by module as in \"info,tidegate=debug\"";
    item.fail("wrong-value", message, hint);
    None
}

fn target(item: &Item<'_>) -> Option<LogTarget> {
    if let Value::Table(_) = item.value {
        let mut section = item.section(Title::Key(item.name))?;
        let Some(daemon) = section.take("syslog") else {
            let file = section.require("file", "\"tidegate.log\"");
            section.finish();
            return file?.path().map(LogTarget::File);
        };
        let facility = section.take("facility").map(|item| item.word(&Facility::ALL));
        section.finish();
        let address = syslog_address(&daemon)?;
        return match facility {
            None => Some(LogTarget::Syslog { address, facility: None }),
            Some(facility) => facility.map(|facility| LogTarget::Syslog { address, facility: Some(facility) }),
        };
    }
    match item.text_as(TARGETS)? {
        "stdout" => Some(LogTarget::Stdout),
        "off" => Some(LogTarget::Off),
        _ => {
            item.fail(
                "wrong-value",
                format!("`{}` cannot be \"{}\"", item.name, item.shown()),
                format!("write {TARGETS}"),
            );
            None
        }
    }
}

/// `unix:PATH` or `udp:HOST:PORT`.
fn syslog_address(item: &Item<'_>) -> Option<SyslogAddress> {
    let text = item.text()?;
    let address = match text.split_once(':') {
        Some(("unix", path)) if path.starts_with('/') => Some(SyslogAddress::Unix(path.into())),
        Some(("udp", place)) => place
            .rsplit_once(':')
            .filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
            .map(|_| SyslogAddress::Udp(place.to_owned())),
        _ => None,
    };
    if address.is_none() {
        let message = format!("\"{}\" is no address of a syslog daemon", item.shown());
        item.fail("wrong-value", message, "write \"unix:/dev/log\", or \"udp:log.example:514\" with host and port");
    }
    address
}
