//! File descriptors: as many as the system lets the process have, and whether these are enough.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open besides connections: listeners, logs, the files that are looked at, bodies that are kept.
const OTHERS: u64 = 100;

/// Raises the limit that the process was given to the most that it may have. Soft limits are low for the sake of programs that use
/// `select`, which this one does not.
pub(super) fn raise() {
    let given = getrlimit(Resource::Nofile);
    if given.current == given.maximum {
        return;
    }
    let raised = Rlimit { current: given.maximum, ..given };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => {
            let (from, to) = (shown(given.current), shown(given.maximum));
            tracing::debug!(from, to, "raised the limit of open files");
        }
        Err(error) => tracing::warn!(limit = shown(given.current), "the limit of open files stays as it is: {error}"),
    }
}

/// Says so where the limit does not do for all connections that the configuration allows.
pub(super) fn compare(connections: Option<NonZeroUsize>) {
    let (Some(limit), Some(connections)) = (getrlimit(Resource::Nofile).current, connections) else { return };
    let needed = needed(connections.get() as u64);
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            "fewer files may be open than `limits.connections` needs; hint: raise the hard limit (LimitNOFILE= of systemd, \
             --ulimit of containers), or set limits.connections to {}",
            limit.saturating_sub(OTHERS) / 2
        );
    }
}

/// One descriptor for each connection of a client, and one towards the upstream.
fn needed(connections: u64) -> u64 {
    connections.saturating_mul(2).saturating_add(OTHERS)
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}
