//! Where lines go: a queue of bytes and a thread that writes them, in batches.
//!
//! Whoever has a line copies it to the end of the queue under a short lock. The thread takes the whole queue at once,
//! some milliseconds after its first line, so that a busy gateway pays one wake-up and one write for many lines.
//!
//! What the thread writes to can be opened anew, between two batches: no line is lost or torn by that.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long the first line of a batch waits for others.
const LINGER: Duration = Duration::from_millis(10);

/// A batch of this many bytes waits for no more.
const BATCH: usize = 64 * 1024;

/// Lines that may be dropped are, once this many bytes wait.
const MOST_DROPPABLE: usize = 1024 * 1024;

/// Lines that must not be dropped wait, once this many bytes do: the room beyond [`MOST_DROPPABLE`] is theirs alone.
const MOST: usize = 2 * MOST_DROPPABLE;

/// How often dropped lines are reported at most.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// How often a place is tried again that did not take lines which must not be lost.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the end waits for what is queued.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Opens what lines are written to: at the start, and anew whenever that is asked for.
pub type Opener = Box<dyn FnMut() -> std::io::Result<Box<dyn Write + Send>> + Send>;

/// A place for lines. Dropping it writes what is queued.
#[derive(Debug)]
pub struct Sink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    queue: Mutex<Queue>,
    /// There is something for the thread to do.
    ready: Condvar,
    /// The thread has done something: there is room, or lines are written.
    progress: Condvar,
    dropped: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any may be true with any other")]
struct Queue {
    bytes: Vec<u8>,
    /// Lines ever queued.
    queued: u64,
    /// Lines ever dealt with: written, or lost to an error.
    done: u64,
    /// What is written to is to be opened anew.
    reopen: bool,
    /// Somebody waits: no lingering.
    hurry: bool,
    /// Among what is queued are lines that must not be lost.
    insisted: bool,
    /// Such lines could not be written, and are tried again: nothing more of their kind is taken meanwhile.
    failing: bool,
    closed: bool,
    /// The thread is gone.
    ended: bool,
}

impl Sink {
    /// Starts the thread that writes to `out`. The name stands in reports of trouble.
    pub fn start(name: &'static str, out: Box<dyn Write + Send>) -> std::io::Result<Self> {
        Self::with(name, out, None)
    }

    /// Opens a place, and starts the thread that writes to it. [`Sink::reopen`] opens it anew.
    pub fn open(name: &'static str, mut opener: Opener) -> std::io::Result<Self> {
        let out = opener()?;
        Self::with(name, out, Some(opener))
    }

    fn with(name: &'static str, out: Box<dyn Write + Send>, opener: Option<Opener>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            name,
            queue: Mutex::default(),
            ready: Condvar::new(),
            progress: Condvar::new(),
            dropped: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let theirs = Ended(Arc::clone(&shared));
        thread::Builder::new().name(format!("log-{name}")).spawn(move || theirs.0.run(out, opener))?;
        Ok(Self(shared))
    }

    /// Queues whole lines (one, in practice) that are dropped, and counted, when too much is queued already.
    pub fn offer(&self, line: &[u8]) {
        let queue = self.0.lock();
        if queue.ended || queue.bytes.len() + line.len() > MOST_DROPPABLE {
            drop(queue);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            self.0.append(queue, line);
        }
    }

    /// Queues a line that is never dropped: while too much is queued, or the place takes nothing, the caller waits. That
    /// holds up requests when a disk is full or a pipe stands still, on purpose: nothing is done that would not be recorded.
    pub fn insist(&self, line: &[u8]) {
        let mut queue = self.0.lock();
        while (queue.bytes.len() >= MOST || queue.failing) && !queue.ended {
            queue.hurry = true;
            self.0.ready.notify_one();
            queue = self.0.progress.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.ended {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            queue.insisted = true;
            self.0.append(queue, line);
        }
    }

    /// Waits until what is queued now is written, or for `patience`. Says whether it is.
    pub fn flush(&self, patience: Duration) -> bool {
        let mut queue = self.0.lock();
        let goal = queue.queued;
        queue.hurry = true;
        self.0.ready.notify_one();
        let waits = |queue: &mut Queue| queue.done < goal && !queue.ended;
        let (queue, _) =
            self.0.progress.wait_timeout_while(queue, patience, waits).unwrap_or_else(PoisonError::into_inner);
        queue.done >= goal
    }

    /// Has the place opened anew, once what is queued by now has been written. Returns at once; where it cannot be opened, lines go on
    /// to where they went before, and the log says so.
    pub fn reopen(&self) {
        let mut queue = self.0.lock();
        queue.reopen = true;
        self.0.ready.notify_one();
    }

    /// Lines dropped so far, because too much was queued.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Lines lost so far, because writing failed.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        self.0.ready.notify_one();
        // A place that stands still must not keep the process from ending.
        drop(self.0.progress.wait_timeout_while(queue, LAST_WAIT, |queue| !queue.ended));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, mut queue: MutexGuard<'_, Queue>, line: &[u8]) {
        let before = queue.bytes.len();
        queue.bytes.extend_from_slice(line);
        queue.queued += 1;
        let wake = before == 0 || (before < BATCH && queue.bytes.len() >= BATCH);
        drop(queue);
        if wake {
            self.ready.notify_one();
        }
    }

    fn run(&self, mut out: Box<dyn Write + Send>, mut opener: Option<Opener>) {
        let mut batch = Vec::new();
        let mut reports = Reports::default();
        // Half a line was written: what follows must not look like its end.
        let mut torn = false;
        while let Some(Taken { queued, insisted, reopen }) = self.take(&mut batch) {
            let mut lines = &*batch;
            loop {
                torn = torn && write(&mut *out, b"\n").is_err();
                let Err((error, rest)) = write(&mut *out, lines) else {
                    if !batch.is_empty() {
                        reports.written(self.name);
                    }
                    break;
                };
                let (written, rest) = whole_lines(lines, rest);
                torn = written.map_or(torn, |last| last != b'\n');
                lines = rest;
                // Nobody will read a broken pipe again.
                let again = insisted && error.kind() != std::io::ErrorKind::BrokenPipe;
                reports.failed(self.name, &error, again);
                match if again { self.wait_to_try_again() } else { Again::Never } {
                    Again::Here => {}
                    Again::Elsewhere => self.open_anew(&mut out, &mut torn, opener.as_mut()),
                    Again::Never => {
                        let lost = lines.split_inclusive(|byte| *byte == b'\n').count() as u64;
                        self.lost.fetch_add(lost, Ordering::Relaxed);
                        break;
                    }
                }
            }
            self.lock().failing = false;
            batch.clear();
            batch.shrink_to(BATCH);
            if reopen {
                self.open_anew(&mut out, &mut torn, opener.as_mut());
            }
            self.lock().done = queued;
            self.progress.notify_all();
            reports.dropped(self.name, self.dropped.load(Ordering::Relaxed), false);
        }
        reports.dropped(self.name, self.dropped.load(Ordering::Relaxed), true);
    }

    fn open_anew(&self, out: &mut Box<dyn Write + Send>, torn: &mut bool, opener: Option<&mut Opener>) {
        let Some(opener) = opener else { return };
        match opener() {
            Ok(new) => (*out, *torn) = (new, false),
            Err(error) => tracing::error!("cannot open the place of {} lines anew: {error}", self.name),
        }
    }

    /// Waits until it is time to write the same once more.
    fn wait_to_try_again(&self) -> Again {
        let mut queue = self.lock();
        queue.failing = true;
        let nothing = |queue: &mut Queue| !queue.closed && !queue.reopen;
        let (mut queue, _) =
            self.ready.wait_timeout_while(queue, AGAIN, nothing).unwrap_or_else(PoisonError::into_inner);
        match (queue.closed, std::mem::take(&mut queue.reopen)) {
            (true, _) => Again::Never,
            (false, true) => Again::Elsewhere,
            (false, false) => Again::Here,
        }
    }

    /// Waits for a batch, which is empty where there is only something to be opened anew; `None` when there will be no more.
    fn take(&self, batch: &mut Vec<u8>) -> Option<Taken> {
        let queue = self.lock();
        let idle = |queue: &mut Queue| queue.bytes.is_empty() && !queue.closed && !queue.reopen;
        let queue = self.ready.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
        let lingers = |queue: &mut Queue| queue.bytes.len() < BATCH && !queue.closed && !queue.hurry && !queue.reopen;
        let (mut queue, _) =
            self.ready.wait_timeout_while(queue, LINGER, lingers).unwrap_or_else(PoisonError::into_inner);
        if queue.bytes.is_empty() && !queue.reopen {
            return None;
        }
        queue.hurry = false;
        let reopen = std::mem::take(&mut queue.reopen);
        std::mem::swap(&mut queue.bytes, batch);
        let (queued, insisted) = (queue.queued, std::mem::take(&mut queue.insisted));
        drop(queue);
        self.progress.notify_all();
        Some(Taken { queued, insisted, reopen })
    }
}

/// What the thread has to do.
struct Taken {
    /// Lines ever queued, up to the end of the batch.
    queued: u64,
    /// Whether lines of it must not be lost.
    insisted: bool,
    /// Whether to open what is written to anew, after the batch.
    reopen: bool,
}

/// What becomes of lines that could not be written.
enum Again {
    /// They are written once more.
    Here,
    /// The same, to what is opened anew.
    Elsewhere,
    /// They are lost.
    Never,
}

/// Says that the thread is gone, however it went.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.progress.notify_all();
    }
}

/// Writes everything; on an error also yields what was not written.
fn write<'b>(out: &mut dyn Write, mut bytes: &'b [u8]) -> Result<(), (std::io::Error, &'b [u8])> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err((std::io::ErrorKind::WriteZero.into(), bytes)),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err((error, bytes)),
        }
    }
    out.flush().map_err(|error| (error, bytes))
}

/// Splits lines of which `rest` was not written: the last byte that was, and from where whole lines are to be written yet.
fn whole_lines<'b>(lines: &'b [u8], rest: &[u8]) -> (Option<u8>, &'b [u8]) {
    let (written, _) = lines.split_at(lines.len() - rest.len());
    let start = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    (written.last().copied(), lines.get(start..).unwrap_or_default())
}

/// What was said about trouble, so that it is not said too often.
#[derive(Default)]
struct Reports {
    failing: bool,
    dropped: u64,
    last: Option<Instant>,
}

impl Reports {
    fn failed(&mut self, name: &str, error: &std::io::Error, again: bool) {
        let what = if again { "requests wait" } else { "they are lost" };
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!("cannot write {name} lines: {error}; {what} until this is mended");
        }
    }

    fn written(&mut self, name: &str) {
        if std::mem::take(&mut self.failing) {
            tracing::warn!("{name} lines are written again");
        }
    }

    fn dropped(&mut self, name: &str, total: u64, last_chance: bool) {
        let due = last_chance || self.last.is_none_or(|last| last.elapsed() >= REPORT_EVERY);
        if total > self.dropped && due {
            tracing::warn!(
                dropped = total - self.dropped,
                total,
                "{name} lines were dropped: they are not written fast enough"
            );
            self.dropped = total;
            self.last = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
