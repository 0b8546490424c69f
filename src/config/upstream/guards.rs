//! What guards an upstream: how many requests it gets at once, whether it gets whole bodies only, when clients shall come back, and
//! which headers of clients pass that are otherwise taken out.

use std::path::PathBuf;
use std::time::Duration;

use super::{Credentials, Kind};
use crate::config::item::Item;
use crate::config::reader::{Section, Title};
use crate::config::server::TIMEOUTS;
use crate::config::tree::Value;

/// What guards an upstream.
#[derive(Clone, Debug)]
pub struct Guards {
    /// Requests at once; 0: as many as come (default).
    pub max_concurrent: usize,
    /// How many may wait beyond that (default 64).
    pub queue: usize,
    /// The longest wait (default 30 s).
    pub queue_timeout: Duration,
    /// How request bodies are kept until they are whole; none: they stream (default).
    pub spool: Option<Spool>,
    /// What 429 and passing 5xx answers are given as `Retry-After` (default 2 s); zero: nothing.
    pub retry_after: Duration,
    /// Headers of clients that pass all the same (default none).
    pub pass_headers: Vec<PassHeader>,
}

/// `spool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Bytes of a body that are kept in memory; what is longer goes to a file (default 256 KiB).
    pub memory: usize,
    /// Where the files are; none: `spool` in `state_dir`.
    pub directory: Option<PathBuf>,
    /// The longest body; none: as long as there is room (default).
    pub limit: Option<u64>,
}

impl Default for Spool {
    fn default() -> Self {
        Self { memory: 256 * 1024, directory: None, limit: None }
    }
}

/// A kind of headers that is taken out of requests unless `pass_headers` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassHeader {
    /// `Cookie`.
    Cookie,
    /// `Authorization`, as the client sent it.
    Authorization,
    /// `SCRIPT_NAME` and `PATH_INFO`, also with `-`.
    ScriptName,
    /// Names with `_`, but never those that say who asks or how the request is framed.
    Underscores,
}

pub(super) fn guards(section: &mut Section<'_>, kind: Option<&Kind>, credentials: Option<&Credentials>) -> Guards {
    let (queue, queue_timeout) = (section.take("queue"), section.take("queue_timeout"));
    let guards = Guards {
        max_concurrent: section.number("max_concurrent", 0, 0..=65_536),
        queue: queue.and_then(|item| item.number(0..=65_536)).unwrap_or(64),
        queue_timeout: queue_timeout.and_then(|item| item.duration(TIMEOUTS)).unwrap_or(Duration::from_secs(30)),
        spool: section.take("spool").and_then(|item| spool(&item)),
        retry_after: section.duration(
            "retry_after",
            Duration::from_secs(2),
            Duration::ZERO..=Duration::from_secs(3600),
        ),
        pass_headers: section.take("pass_headers").map_or_else(Vec::new, |item| pass_headers(&item, kind, credentials)),
    };
    if guards.max_concurrent == 0 {
        for item in [queue, queue_timeout].into_iter().flatten() {
            let message = format!("`{}` says nothing here: nobody waits for this upstream", item.name);
            item.reader.warn("unused-key", item.key, message, "set `max_concurrent`, or leave it out");
        }
    }
    guards
}

/// `true`, `false`, or a table.
fn spool(item: &Item<'_>) -> Option<Spool> {
    match item.value {
        Value::Boolean(on) => on.then(Spool::default),
        Value::Table(_) => {
            let mut section = item.section(Title::Key("spool"))?;
            let default = Spool::default();
            let spool = Spool {
                memory: section.size("memory", default.memory, 4096..=1 << 30),
                directory: section.take("directory").and_then(|item| item.path()),
                limit: section.take("limit").and_then(|item| item.size(1..=usize::MAX)).map(|bytes| bytes as u64),
            };
            section.finish();
            Some(spool)
        }
        _ => {
            let hint = "write true, or { memory = \"256KiB\", directory = \"spool\", limit = \"10GiB\" }";
            item.fail("wrong-type", "`spool` must be true, false or a table", hint);
            None
        }
    }
}

fn pass_headers(item: &Item<'_>, kind: Option<&Kind>, credentials: Option<&Credentials>) -> Vec<PassHeader> {
    let words = [
        ("cookie", PassHeader::Cookie),
        ("authorization", PassHeader::Authorization),
        ("script-name", PassHeader::ScriptName),
        ("underscores", PassHeader::Underscores),
    ];
    let mut passed = Vec::new();
    for item in item.list_or_one() {
        let Some(header) = item.word(&words) else { continue };
        caution(&item, header, kind, credentials);
        if !passed.contains(&header) {
            passed.push(header);
        }
    }
    passed
}

/// What is wrong with letting a header pass here, or dangerous.
fn caution(item: &Item<'_>, header: PassHeader, kind: Option<&Kind>, credentials: Option<&Credentials>) {
    let warn = |message: &str, hint: &str| item.reader.warn("passed-header", item.span, message, hint);
    match (header, credentials) {
        (PassHeader::Cookie, _) => {}
        (
            PassHeader::Authorization,
            Some(Credentials::ForwardToken | Credentials::MintToken | Credentials::Basic { .. }),
        ) => {
            item.fail(
                "wrong-credentials",
                "the client's `Authorization` cannot pass where the gateway sends one of its own",
                "leave it out, or set `credentials = \"identity\"` or \"none\"",
            );
        }
        (PassHeader::Authorization, Some(Credentials::Identity)) if matches!(kind, Some(Kind::Pulp(_))) => warn(
            "Pulp believes a Basic `Authorization` before the identity header: who has an account there acts by it, past the rules",
            "leave it out, unless Pulp has no accounts with passwords",
        ),
        (PassHeader::Authorization, _) => {
            warn(
                "the upstream gets to see the passwords and tokens of clients",
                "leave it out, unless the upstream needs them",
            );
        }
        (PassHeader::ScriptName, _) => warn(
            "a client chooses the path that the upstream sees: servers move requests by `SCRIPT_NAME` and `PATH_INFO`, past the rules",
            "leave it out, unless every client is a proxy of yours",
        ),
        (PassHeader::Underscores, _) => warn(
            "servers that take headers for variables read `X_Name` as `X-Name`",
            "leave it out, unless the upstream needs such a header",
        ),
    }
}
