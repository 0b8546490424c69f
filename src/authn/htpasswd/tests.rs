//! The file as it changes, breaks and disappears.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Htpasswd, HtpasswdError};
use crate::authn::hasher::Hasher;
use crate::authn::member::{Lookup, Member, Outcome};
use crate::authn::testing::{ALICE, BOB, cheap_hash, name, password};
use crate::clock::Clock;

struct File {
    dir: tempfile::TempDir,
    clock: Clock,
    second: u64,
}

impl File {
    fn new(text: &str) -> Self {
        let file = Self { dir: tempfile::tempdir().unwrap(), clock: Clock::manual(100), second: 100 };
        file.write(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("htpasswd")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    fn member(&self) -> Result<Htpasswd, HtpasswdError> {
        Htpasswd::load(self.path(), Arc::new(Hasher::new(2, 8)), self.clock.clone())
    }

    fn next_second(&mut self) {
        self.second += 1;
        self.clock.set(self.second);
    }
}

fn line(user: &str, text: &str) -> String {
    format!("{user}:{}\n", cheap_hash(text))
}

#[tokio::test]
async fn entries_are_read_and_comments_skipped() {
    let file = File::new(&format!("# people\n\n{}{}", line("alice", "one").replace('\n', "\r\n"), line("bob", "two")));
    let member = file.member().unwrap();
    let answer = member.authenticate(&name(ALICE), &password("one")).await;
    assert!(
        matches!(answer, Outcome::Accepted(subject) if subject.name == name(ALICE) && &*subject.member == "htpasswd")
    );
    assert_eq!(member.authenticate(&name(BOB), &password("one")).await, Outcome::Wrong);
    assert_eq!(member.authenticate(&name("carol"), &password("one")).await, Outcome::UnknownHere);
}

#[test]
fn all_problems_are_named_with_their_lines_and_without_hashes() {
    let text = format!("nocolon\n{}bob:{{SHA}}c2VjcmV0\n{}:x\n", line("alice", "one"), "x".repeat(300));
    let error = File::new(&(text + &line("alice", "two"))).member().unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 4, "{error}");
    assert!(lines[0].contains("htpasswd:1: there is no colon"), "{error}");
    assert!(lines[1].contains(":3:") && lines[1].contains("\"bob\"") && lines[1].contains("hash-password"), "{error}");
    assert!(lines[2].contains(":4:"), "{error}");
    assert!(lines[3].contains(":5:") && lines[3].contains("line 2"), "{error}");
    assert!(!error.contains("c2VjcmV0") && !error.contains("$2"), "{error}");
}

#[test]
fn a_missing_file_is_an_error_at_first() {
    let file = File::new("");
    fs::remove_file(file.path()).unwrap();
    assert!(matches!(file.member(), Err(HtpasswdError::Unreadable { .. })));
}

#[test]
fn a_change_is_seen_in_the_next_second_and_raises_the_generation() {
    let mut file = File::new(&line("alice", "one"));
    let member = file.member().unwrap();
    let before = member.generation();
    file.write(&line("bob", "one"));
    assert!(matches!(member.lookup(&name(ALICE)), Lookup::Known(_)), "not looked at within the same second");
    file.next_second();
    assert_eq!(member.lookup(&name(ALICE)), Lookup::Gone);
    assert!(matches!(member.lookup(&name(BOB)), Lookup::Known(_)));
    assert_ne!(member.generation(), before);
}

#[test]
fn a_file_at_rest_is_not_read_again_until_its_stamp_changes() {
    let mut file = File::new(&line("alice", "one"));
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::options().write(true).open(file.path()).unwrap().set_modified(hour_ago).unwrap();
    let member = file.member().unwrap();
    assert!(member.seen.lock().unwrap().stamp.is_some(), "at rest");
    // Only a file that is read again would bring this back in line.
    member.seen.lock().unwrap().content = None;
    file.next_second();
    assert_eq!(member.generation(), 1);
    file.write(&line("bob", "one"));
    file.next_second();
    assert_eq!(member.generation(), 2);
    assert!(member.seen.lock().unwrap().stamp.is_none(), "it may still change without showing it");
}

#[test]
fn the_same_content_again_keeps_the_generation() {
    let mut file = File::new(&line("alice", "one"));
    let text = fs::read_to_string(file.path()).unwrap();
    let member = file.member().unwrap();
    let before = member.generation();
    file.write(&text);
    file.next_second();
    assert_eq!(member.generation(), before);
}

#[test]
fn a_broken_or_vanished_file_keeps_the_old_entries_until_it_is_mended() {
    let mut file = File::new(&line("alice", "one"));
    let member = file.member().unwrap();
    for broken in [Some("alice:plain\n"), None, Some("alice:plain\n")] {
        match broken {
            Some(text) => file.write(text),
            None => fs::remove_file(file.path()).unwrap(),
        }
        for _ in 0..2 {
            file.next_second();
            assert!(matches!(member.lookup(&name(ALICE)), Lookup::Known(_)));
        }
        assert!(member.seen.lock().unwrap().complaint.is_some());
    }
    file.write(&line("bob", "one"));
    file.next_second();
    assert_eq!(member.lookup(&name(ALICE)), Lookup::Gone);
    assert_eq!(member.seen.lock().unwrap().complaint, None);
}

#[test]
fn debug_shows_no_hash() {
    let file = File::new(&line("alice", "one"));
    let shown = format!("{:?}", file.member().unwrap());
    assert!(shown.contains("alice") && !shown.contains("$2"), "{shown}");
}
