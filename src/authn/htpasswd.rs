//! The member `htpasswd`: a file of `user:hash` lines, read again when it changes.
//!
//! The file is looked at when the member is used, at most once a second, and read then and there if it changed: one worker
//! spends some microseconds for each entry. A file that has become unreadable, malformed or
//! is gone does not lock everybody out: the entries read last stay, and the log says what to mend.

mod parse;

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};

use super::hasher::Hasher;
use super::member::{Answer, Lookup, Member};
use super::password::Cost;
use super::users::Table;
use crate::clock::Clock;
use crate::secret::Secret;
use crate::subject::UserName;

pub use parse::Problem;

/// The largest file that is read.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// A change within this time of a read may leave size and time stamps as they were.
const SETTLING: Duration = Duration::from_secs(2);

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It holds what is no entry.
    #[error("{}", in_lines(file, problems))]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Everything that is wrong with it, in order; never empty.
        problems: Vec<Problem>,
    },
}

fn in_lines(file: &Path, problems: &[Problem]) -> String {
    let lines: Vec<_> =
        problems.iter().map(|problem| format!("{}:{}: {}", file.display(), problem.line, problem.what)).collect();
    lines.join("\n")
}

/// An htpasswd file.
#[derive(Debug)]
pub struct Htpasswd {
    name: Arc<str>,
    file: PathBuf,
    hasher: Arc<Hasher>,
    clock: Clock,
    state: ArcSwap<State>,
    /// The second in which the file was looked at last.
    looked: AtomicU64,
    seen: Mutex<Seen>,
}

/// The generation is part of the state that it counts: whoever sees a new number sees the new table too.
#[derive(Debug)]
struct State {
    generation: u64,
    table: Table,
}

/// What is known of the file without reading it again.
#[derive(Debug, PartialEq)]
struct Seen {
    /// `None`: read it again whatever it looks like.
    stamp: Option<Stamp>,
    content: Option<Vec<u8>>,
    /// What was wrong with it, so that it is said once and not every second.
    complaint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            file: (meta.dev(), meta.ino()),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Htpasswd {
    /// Reads a file of bcrypt (or argon2id) entries. At this point, unlike later, every problem with it is an error.
    pub fn load(file: impl Into<PathBuf>, hasher: Arc<Hasher>, clock: Clock) -> Result<Self, HtpasswdError> {
        let (name, file) = (Arc::from("htpasswd"), file.into());
        let (text, stamp) = read(&file).map_err(|error| HtpasswdError::Unreadable { file: file.clone(), error })?;
        let table = Table::new(&name, parse::entries(&text, &file)?);
        Ok(Self {
            name,
            file,
            hasher,
            looked: AtomicU64::new(clock.now()),
            clock,
            state: ArcSwap::from_pointee(State { generation: 1, table }),
            seen: Mutex::new(Seen { stamp, content: Some(fingerprint(&text)), complaint: None }),
        })
    }

    fn state(&self) -> arc_swap::Guard<Arc<State>> {
        let now = self.clock.now();
        if self.looked.load(Ordering::Relaxed) != now
            && self.looked.swap(now, Ordering::Relaxed) != now
            && let Ok(mut seen) = self.seen.try_lock()
        {
            self.look(&mut seen);
        }
        self.state.load()
    }

    /// Reads the file again if it is not as it was seen.
    fn look(&self, seen: &mut Seen) {
        let stamp = std::fs::metadata(&self.file).ok().map(|meta| Stamp::of(&meta));
        if stamp.is_some() && stamp == seen.stamp {
            return;
        }
        match self.reload(seen) {
            Ok(()) => seen.complaint = None,
            Err(error) => {
                let complaint = error.to_string();
                if seen.complaint.as_ref() != Some(&complaint) {
                    tracing::error!("{complaint}\nhint: mend the file; the entries read before stay in use until then");
                    seen.complaint = Some(complaint);
                }
            }
        }
    }

    fn reload(&self, seen: &mut Seen) -> Result<(), HtpasswdError> {
        let (text, stamp) =
            read(&self.file).map_err(|error| HtpasswdError::Unreadable { file: self.file.clone(), error })?;
        seen.stamp = stamp;
        let content = Some(fingerprint(&text));
        if seen.content == content {
            return match &seen.complaint {
                // Still the same malformed text: only re-read because it has not settled.
                Some(_) => parse::entries(&text, &self.file).map(|_| ()),
                None => Ok(()),
            };
        }
        seen.content = content;
        let users = parse::entries(&text, &self.file)?;
        let count = users.len();
        let generation = self.state.load().generation + 1;
        self.state.store(Arc::new(State { generation, table: Table::new(&self.name, users) }));
        tracing::info!(file = %self.file.display(), entries = count, "the htpasswd file changed and was read again");
        Ok(())
    }
}

/// The text of a file and how it will be known again; no stamp if it may still change without showing it.
fn read(path: &Path) -> io::Result<(Secret, Option<Stamp>)> {
    // Before it is opened: opening a named pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let file = File::open(path)?;
    let meta = file.metadata()?;
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    let text = Secret::new(text);
    if text.expose().len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {MAX_FILE} bytes")));
    }
    let age = meta.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    let settled = age.is_some_and(|age| age > SETTLING);
    Ok((text, settled.then(|| Stamp::of(&meta))))
}

fn fingerprint(text: &Secret) -> Vec<u8> {
    digest(&SHA256, text.expose().as_bytes()).as_ref().to_vec()
}

impl Member for Htpasswd {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn authenticate<'a>(&'a self, user: &'a UserName, password: &'a Secret) -> Answer<'a> {
        let state = arc_swap::Guard::into_inner(self.state());
        Box::pin(async move { state.table.authenticate(&self.hasher, user, password).await })
    }

    fn lookup(&self, user: &UserName) -> Lookup {
        self.state().table.lookup(user)
    }

    fn generation(&self) -> u64 {
        self.state().generation
    }

    fn costs(&self) -> Arc<[Cost]> {
        self.state.load().table.costs()
    }
}

#[cfg(test)]
mod tests;
