//! Whether files changed: looked at now and then, and known by their content.
//!
//! Looking works where notification does not: over network file systems, and through the symbolic links that Kubernetes swaps under a
//! mounted secret. What is asked first is what the system says of a file, and its content only where that changed, or is too young
//! to be trusted. A file that is missing or cannot be read is in a state like any other; nothing here is an error.
//!
//! What to do about a change is for who watches. Nothing that is read is kept but its digest.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};

/// A change within this time of the one before may leave size and time stamps as they were.
const SETTLING: Duration = Duration::from_secs(2);

/// How much of a file is in memory at once.
const PIECE: usize = 16 * 1024;

/// A set of files, and how each looked last. Clones are the same set.
///
/// Make it before the files are read for use: a change in between is then seen at the next look.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Mutex<Looked>>);

#[derive(Debug, Default)]
struct Looked {
    files: Vec<Seen>,
    /// What changed and was not told yet.
    changed: BTreeSet<PathBuf>,
}

#[derive(Debug)]
struct Seen {
    path: PathBuf,
    /// `None`: its content is to be looked at, whatever it looks like from outside.
    stamp: Option<Stamp>,
    content: Content,
}

/// What the system says of a file: of the one at the end of all symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// To nothing.
    Missing,
    /// To something that cannot be read.
    Unreadable,
    /// To something that is no file: a directory, a pipe.
    NoFile,
    /// To a file with this digest.
    Digest([u8; 32]),
}

impl Watch {
    /// Looks at files for the first time. What is seen then counts as known.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let watch = Self(Arc::default());
        watch.set(files);
        watch
    }

    /// Watches these files from now on, and no others. Of those that were watched already, what was seen stays known; new ones are
    /// looked at now.
    pub fn set(&self, files: impl IntoIterator<Item = PathBuf>) {
        let wanted: BTreeSet<PathBuf> = files.into_iter().collect();
        let mut looked = self.looked();
        looked.files.retain(|seen| wanted.contains(&seen.path));
        looked.changed.retain(|path| wanted.contains(path));
        drop(looked);
        self.add(wanted);
    }

    /// As [`Watch::set`], beside those that are watched already.
    pub fn add(&self, files: impl IntoIterator<Item = PathBuf>) {
        let mut looked = self.looked();
        for path in files {
            if !looked.files.iter().any(|seen| seen.path == path) {
                looked.files.push(Seen::new(path));
            }
        }
    }

    /// Takes a file of these as it is now for known: what the caller wrote itself is no change. Read after this, it is what was looked at.
    pub fn know(&self, file: &Path) {
        let mut looked = self.looked();
        let Looked { files, changed } = &mut *looked;
        for seen in files.iter_mut().filter(|seen| seen.path == file) {
            seen.look();
            changed.remove(file);
        }
    }

    /// Looks at every file. Yields those that changed since they were told of last, or seen first.
    ///
    /// It reads files, which takes time where a network is between: asynchronous code calls [`Watch::changed`].
    pub fn look(&self) -> BTreeSet<PathBuf> {
        self.note_changes();
        self.untold()
    }

    /// Looks every so often until some changed, and yields those. Where the future is dropped, nothing is lost: what it saw is told
    /// by the next look.
    pub async fn changed(&self, every: Duration) -> BTreeSet<PathBuf> {
        loop {
            tokio::time::sleep(every).await;
            let watch = self.clone();
            // A panic there is a defect, and no change.
            let _ = tokio::task::spawn_blocking(move || watch.note_changes()).await;
            let changed = self.untold();
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    fn note_changes(&self) {
        let mut looked = self.looked();
        let Looked { files, changed } = &mut *looked;
        changed.extend(files.iter_mut().filter_map(|seen| seen.look().then(|| seen.path.clone())));
    }

    fn untold(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut self.looked().changed)
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn new(path: PathBuf) -> Self {
        let (stamp, content) = read(&path, SystemTime::now());
        Self { path, stamp, content }
    }

    /// Whether the file is another one than before.
    fn look(&mut self) -> bool {
        let stamp = std::fs::metadata(&self.path).ok().map(|meta| Stamp::of(&meta));
        if stamp.is_some() && stamp == self.stamp {
            return false;
        }
        let (stamp, content) = read(&self.path, SystemTime::now());
        self.stamp = stamp;
        std::mem::replace(&mut self.content, content) != content
    }
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

    /// Whether the last change is long enough ago that another would show. A file server whose clock is ahead only makes its files
    /// look young for longer.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = |(seconds, _nanoseconds): (i64, i64)| {
            u64::try_from(seconds).map_or(now, |seconds| now.saturating_sub(Duration::from_secs(seconds)))
        };
        since(self.modified) > SETTLING && since(self.changed) > SETTLING
    }
}

/// What a path leads to, and the stamp of that if it can be trusted.
fn read(path: &Path, now: SystemTime) -> (Option<Stamp>, Content) {
    match try_read(path, now) {
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, Content::Missing),
        Err(_) => (None, Content::Unreadable),
    }
}

fn try_read(path: &Path, now: SystemTime) -> std::io::Result<(Option<Stamp>, Content)> {
    // Before it is opened: opening a named pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Ok((None, Content::NoFile));
    }
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    let mut digest = Context::new(&SHA256);
    let mut piece = [0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => digest.update(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut content = [0; 32];
    content.copy_from_slice(digest.finish().as_ref());
    let stamp = Stamp::of(&meta);
    Ok((stamp.is_settled(now).then_some(stamp), Content::Digest(content)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    use super::{Content, Watch, read};

    fn set(paths: &[&Path]) -> BTreeSet<PathBuf> {
        paths.iter().map(|path| path.to_path_buf()).collect()
    }

    #[test]
    fn a_change_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        fs::write(&one, "1").unwrap();
        fs::write(&other, "1").unwrap();
        let watch = Watch::new([one.clone(), other.clone()]);
        assert!(watch.look().is_empty());
        fs::write(&one, "2").unwrap();
        assert_eq!(watch.look(), set(&[&one]));
        assert!(watch.look().is_empty());
        fs::write(&other, "2").unwrap();
        fs::write(&one, "1").unwrap();
        assert_eq!(watch.look(), set(&[&one, &other]));
    }

    #[test]
    fn a_young_file_is_known_by_its_content_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "one").unwrap();
        let before = fs::metadata(&file).unwrap();
        let watch = Watch::new([file.clone()]);
        // The same size, and the same time of change as far as a coarse clock tells.
        fs::write(&file, "two").unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(before.modified().unwrap()).unwrap();
        assert_eq!(watch.look(), set(&[&file]));
    }

    #[test]
    fn only_a_settled_file_is_known_from_outside() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "one").unwrap();
        let now = SystemTime::now();
        let (young, content) = read(&file, now);
        assert!(young.is_none() && matches!(content, Content::Digest(_)), "{content:?}");
        assert!(read(&file, now - Duration::from_secs(3600)).0.is_none(), "it is from the future");
        let old = read(&file, now + Duration::from_secs(10)).0.unwrap();
        assert_eq!(read(&file, now + Duration::from_secs(20)), (Some(old), content));
        fs::write(&file, "longer").unwrap();
        assert_ne!(read(&file, now + Duration::from_secs(20)).0, Some(old));
    }

    #[test]
    fn the_same_content_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "same").unwrap();
        let watch = Watch::new([file.clone()]);
        fs::remove_file(&file).unwrap();
        fs::write(&file, "same").unwrap();
        assert!(watch.look().is_empty());
    }

    #[test]
    fn missing_is_a_state() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let watch = Watch::new([file.clone()]);
        assert!(watch.look().is_empty());
        fs::write(&file, "").unwrap();
        assert_eq!(watch.look(), set(&[&file]));
        fs::remove_file(&file).unwrap();
        assert_eq!(watch.look(), set(&[&file]));
        fs::create_dir(&file).unwrap();
        assert_eq!(watch.look(), set(&[&file]));
        assert!(watch.look().is_empty());
    }

    #[test]
    fn links_are_followed_as_kubernetes_swaps_them() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (version, text) in [("..1", "one"), ("..2", "two"), ("..3", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("tls.key"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/tls.key", at("tls.key")).unwrap();
        let watch = Watch::new([at("tls.key")]);
        let swap = |version: &str| {
            symlink(version, at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
        };
        assert!(watch.look().is_empty());
        swap("..2");
        assert_eq!(watch.look(), set(&[&at("tls.key")]));
        swap("..3");
        assert!(watch.look().is_empty());
    }

    #[test]
    fn another_set_keeps_what_was_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, gone, new) = (dir.path().join("kept"), dir.path().join("gone"), dir.path().join("new"));
        for file in [&kept, &gone, &new] {
            fs::write(file, "1").unwrap();
        }
        let watch = Watch::new([kept.clone(), gone.clone()]);
        for file in [&kept, &gone, &new] {
            fs::write(file, "2").unwrap();
        }
        watch.set([kept.clone(), new.clone()]);
        assert_eq!(watch.look(), set(&[&kept]));
        fs::write(&new, "3").unwrap();
        assert_eq!(watch.look(), set(&[&new]));
    }

    #[test]
    fn what_is_known_to_be_there_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let (own, other) = (dir.path().join("own"), dir.path().join("other"));
        let watch = Watch::new([own.clone(), other.clone()]);
        fs::write(&own, "1").unwrap();
        fs::write(&other, "1").unwrap();
        watch.note_changes();
        watch.know(&own);
        assert_eq!(watch.look(), set(&[&other]));
        fs::write(&own, "2").unwrap();
        assert_eq!(watch.look(), set(&[&own]));
    }

    #[tokio::test]
    async fn a_change_seen_by_a_future_that_was_dropped_is_told_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let watch = Watch::new([file.clone()]);
        fs::write(&file, "1").unwrap();
        watch.note_changes();
        assert_eq!(watch.changed(Duration::from_millis(1)).await, set(&[&file]));
        let waits = watch.changed(Duration::from_millis(1));
        assert!(tokio::time::timeout(Duration::from_millis(50), waits).await.is_err());
        fs::write(&file, "2").unwrap();
        assert_eq!(watch.changed(Duration::from_millis(1)).await, set(&[&file]));
    }
}
