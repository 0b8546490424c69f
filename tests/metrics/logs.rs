//! Log files that are moved away while requests come.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::site::{SETUP, Setup, Site};
use crate::support::until;
use crate::upstream::ok;
use crate::wire::LIMIT;

const FILES: [&str; 2] = ["requests.log", "audit.log"];

#[test]
fn sigusr1_opens_log_files_anew_and_no_line_is_lost() {
    const ROUNDS: usize = 4;
    let rest = "[log]\nrequests = { file = \"requests.log\" }\naudit = { file = \"audit.log\" }\n";
    let mut site = Site::with(&Setup { rest, ..SETUP }, ok);
    let path = |name: &str| site.dir.path().join(name);
    let id = Pid::from_raw(i32::try_from(site.gateway.id()).unwrap()).unwrap();
    for round in 0..ROUNDS {
        // The second half comes between the move and the signal, or after it.
        (0..10).for_each(|_| assert_eq!(site.get().0.status(), 200));
        for name in FILES {
            fs::rename(path(name), path(&format!("{name}.{round}"))).unwrap();
        }
        (0..5).for_each(|_| assert_eq!(site.get().0.status(), 200));
        kill_process(id, Signal::USR1).unwrap();
        (0..5).for_each(|_| assert_eq!(site.get().0.status(), 200));
        until("the files are there again", LIMIT, || FILES.iter().all(|name| path(name).exists()).then_some(()));
    }
    let files = FILES.map(|name| {
        let moved = (0..ROUNDS).map(|round| path(&format!("{name}.{round}")));
        moved.chain([path(name)]).collect::<Vec<_>>()
    });
    assert_eq!(site.gateway.stop().code(), Some(0));
    for files in files {
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids: BTreeSet<&str> = lines.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
        assert_eq!((lines.len(), ids.len()), (ROUNDS * 20, ROUNDS * 20));
    }
}
