//! What guards an upstream: its keys, what they mean, and what is warned of.

use std::path::Path;
use std::time::Duration;

use super::super::{Guards, PassHeader, Spool};
use super::{SERVER, parse, warnings};

const UPSTREAM: &str = "[[upstream]]\nname = 'registry'\nurl = 'http://127.0.0.1:1'\n";
const REST: &str = "[[route]]\nprefix = '/v2/'\nupstream = 'registry'\nauth = 'registry'\n\
    [[access]]\nwho = 'anyone'\nrepositories = '**'\nactions = 'pull'\n[users.alice]\npassword_hash.env = 'HASH'\n";

fn guards(lines: &str) -> Guards {
    parse(&format!("{SERVER}{UPSTREAM}{lines}")).upstreams.remove(0).guards
}

#[test]
fn an_upstream_is_not_guarded_unless_asked_for() {
    let guards = guards("");
    assert_eq!((guards.max_concurrent, guards.queue, guards.queue_timeout), (0, 64, Duration::from_secs(30)));
    assert_eq!((guards.spool, guards.pass_headers), (None, Vec::new()));
    assert_eq!(guards.retry_after, Duration::from_secs(2));
}

#[test]
fn every_guard_can_be_set() {
    let guards = guards(
        "max_concurrent = 2\nqueue = 0\nqueue_timeout = '5s'\nretry_after = '0'\n\
         pass_headers = ['cookie', 'underscores', 'cookie']\nspool = { memory = '1MiB', directory = 'kept', limit = '2GiB' }\n",
    );
    assert_eq!((guards.max_concurrent, guards.queue, guards.queue_timeout), (2, 0, Duration::from_secs(5)));
    assert_eq!(guards.retry_after, Duration::ZERO);
    assert_eq!(guards.pass_headers, [PassHeader::Cookie, PassHeader::Underscores]);
    let spool =
        Spool { memory: 1 << 20, directory: Some(Path::new("/etc/tidegate/kept").into()), limit: Some(2 << 30) };
    assert_eq!(guards.spool, Some(spool));
}

#[test]
fn a_spool_has_defaults() {
    assert_eq!(guards("spool = true\n").spool, Some(Spool::default()));
    assert_eq!(guards("spool = {}\n").spool, Some(Spool { memory: 262_144, directory: None, limit: None }));
    assert_eq!(guards("spool = false\n").spool, None);
}

#[test]
fn what_is_dangerous_to_pass_is_warned_of() {
    let warned = |lines: &str| warnings(&format!("{UPSTREAM}{lines}{REST}"));
    assert_eq!(warned(""), "");
    assert_eq!(warned("pass_headers = 'cookie'\n"), "");
    assert_eq!(
        warned("pass_headers = ['cookie', 'script-name']\n"),
        "\
warning: a client chooses the path that the upstream sees: servers move requests by `SCRIPT_NAME` and `PATH_INFO`, past the rules
 --> gateway.toml:7:27
  |
7 | pass_headers = ['cookie', 'script-name']
  |                           ^^^^^^^^^^^^^
  = hint: leave it out, unless every client is a proxy of yours
"
    );
    assert!(warned("pass_headers = 'underscores'\n").contains("read `X_Name` as `X-Name`"));
    let authorization = "pass_headers = 'authorization'\n";
    assert!(warned(authorization).contains("passwords and tokens of clients"));
    assert!(warned(&format!("kind = 'pulp'\n{authorization}")).contains("before the identity header"));
    assert!(warned(&format!("kind = 'pulp'\ncredentials = 'none'\n{authorization}")).contains("passwords and tokens"));
}

#[test]
fn a_queue_without_a_bound_is_warned_of() {
    let said = warnings(&format!("{UPSTREAM}queue = 1\nqueue_timeout = '1s'\n{REST}"));
    assert_eq!(said.matches("nobody waits for this upstream").count(), 2, "{said}");
    assert_eq!(warnings(&format!("{UPSTREAM}queue = 1\nmax_concurrent = 1\n{REST}")), "");
}
