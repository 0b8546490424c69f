//! Places that stand still, fail and come back.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{MOST, MOST_DROPPABLE, Opener, Sink};

const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps what is written, for looking at it after.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says when it is asked to write, and does so once it is let.
struct Gate {
    asked: Sender<()>,
    open: Receiver<()>,
    kept: Kept,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.asked.send(());
        // An error is the open gate: the other end is gone.
        let _ = self.open.recv();
        self.kept.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink that stands still while it writes its first line, what it will have written, and what lets it go on.
fn stalled() -> (Sink, Kept, Sender<()>) {
    let (kept, (asked, asks), (open, opens)) = (Kept::default(), channel(), channel());
    let sink = Sink::start("test", Box::new(Gate { asked, open: opens, kept: kept.clone() })).unwrap();
    sink.offer(b"first\n");
    asks.recv_timeout(PATIENCE).unwrap();
    (sink, kept, open)
}

#[test]
fn lines_arrive_whole_and_in_order_by_the_time_it_is_dropped() {
    let kept = Kept::default();
    let sink = Sink::start("test", Box::new(kept.clone())).unwrap();
    let mut expected = String::new();
    for n in 0..1000 {
        let line = format!("line {n}\n");
        expected.push_str(&line);
        if n % 2 == 0 { sink.offer(line.as_bytes()) } else { sink.insist(line.as_bytes()) }
    }
    drop(sink);
    assert_eq!(kept.text(), expected);
}

#[test]
fn flush_waits_for_what_is_queued_and_not_for_ever() {
    let (sink, kept, open) = stalled();
    sink.insist(b"second\n");
    assert!(!sink.flush(Duration::ZERO));
    drop(open);
    assert!(sink.flush(PATIENCE));
    assert_eq!(kept.text(), "first\nsecond\n");
}

#[test]
fn too_many_lines_are_dropped_and_counted_exactly() {
    let (sink, kept, open) = stalled();
    let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
    for _ in 0..2000 {
        sink.offer(&line);
    }
    let room = MOST_DROPPABLE / line.len();
    assert_eq!(sink.dropped(), 2000 - room as u64);
    drop(open);
    assert!(sink.flush(PATIENCE));
    assert_eq!(kept.text().lines().count(), 1 + room);
    sink.offer(b"after\n");
    drop(sink);
    assert!(kept.text().ends_with("after\n"), "there is room again");
}

#[test]
fn insisted_lines_survive_a_place_that_stands_still() {
    let (sink, kept, open) = stalled();
    let sink = Arc::new(sink);
    let droppable = [b'd'; 1024];
    (0..2000).for_each(|_| sink.offer(&droppable));
    let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
    let each = MOST / line.len();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (sink, line) = (Arc::clone(&sink), line.clone());
            thread::spawn(move || (0..each).for_each(|_| sink.insist(&line)))
        })
        .collect();
    drop(open);
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(sink.flush(PATIENCE));
    assert_eq!(kept.text().matches("x\n").count(), 4 * each);
    assert_eq!(sink.lost(), 0);
}

#[test]
fn insisting_waits_when_the_queue_is_full_and_goes_on_when_it_is_not() {
    let (sink, kept, open) = stalled();
    sink.insist(&vec![b'x'; MOST]);
    let (done, ended) = channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            sink.insist(b"waited\n");
            done.send(()).unwrap();
        });
        while !sink.0.lock().hurry {
            thread::yield_now();
        }
        assert_eq!(sink.0.lock().bytes.len(), MOST, "it waits, and has queued nothing");
        assert!(ended.try_recv().is_err());
        drop(open);
        ended.recv_timeout(PATIENCE).unwrap();
    });
    drop(sink);
    assert!(kept.text().ends_with("xwaited\n"));
}

/// Fails for a while, after half of what it is given.
struct Failing {
    failures: usize,
    kept: Kept,
    half: bool,
    kind: io::ErrorKind,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failures == 0 {
            return self.kept.write(bytes);
        }
        self.half = !self.half;
        if self.half {
            return self.kept.write(&bytes[..bytes.len() / 2]);
        }
        self.failures -= 1;
        Err(self.kind.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_failing_place_loses_lines_counted_and_comes_back_on_a_line_of_its_own() {
    let kept = Kept::default();
    let out = Failing { failures: 1, kept: kept.clone(), half: false, kind: io::ErrorKind::StorageFull };
    let sink = Sink::start("test", Box::new(out)).unwrap();
    sink.offer(b"abcdef\n");
    assert!(sink.flush(PATIENCE));
    assert_eq!(sink.lost(), 1);
    sink.insist(b"whole\n");
    drop(sink);
    assert_eq!(kept.text(), "abc\nwhole\n");
}

#[test]
fn what_is_insisted_on_is_written_once_there_is_room_and_nobody_goes_on_before() {
    let kept = Kept::default();
    let out = Failing { failures: 2, kept: kept.clone(), half: false, kind: io::ErrorKind::StorageFull };
    let sink = Sink::start("test", Box::new(out)).unwrap();
    sink.insist(b"first\nsecond\n");
    while !sink.0.lock().failing {
        thread::yield_now();
    }
    sink.offer(b"offered\n");
    // This waits for what could not be written.
    sink.insist(b"third\n");
    assert!(!sink.0.lock().failing && kept.text().contains("\nsecond\n"), "{}", kept.text());
    assert!(sink.flush(PATIENCE));
    assert_eq!((sink.lost(), sink.dropped()), (0, 0));
    assert!(kept.text().ends_with("\nsecond\noffered\nthird\n"), "{}", kept.text());
    // What was written of a line stands alone, and the line is there whole.
    for line in kept.text().lines() {
        assert!(["first", "second", "offered", "third"].iter().any(|whole| whole.starts_with(line)), "{line}");
    }
}

#[test]
fn lines_that_wait_for_room_go_to_what_is_opened_anew() {
    let (full, kept) = (Kept::default(), Kept::default());
    let first = Failing { failures: usize::MAX, kept: full, half: false, kind: io::ErrorKind::StorageFull };
    let mut places: Vec<Box<dyn Write + Send>> = vec![Box::new(kept.clone()), Box::new(first)];
    let sink = Sink::open("test", Box::new(move || places.pop().ok_or_else(|| io::Error::other("no more")))).unwrap();
    sink.insist(b"abcdef\n");
    while !sink.0.lock().failing {
        thread::yield_now();
    }
    sink.reopen();
    assert!(sink.flush(PATIENCE));
    assert_eq!((kept.text().as_str(), sink.lost()), ("abcdef\n", 0));
}

#[test]
fn the_end_and_a_broken_pipe_are_not_waited_for() {
    let (kept, endless) = (Kept::default(), usize::MAX);
    let out = Failing { failures: endless, kept: kept.clone(), half: false, kind: io::ErrorKind::StorageFull };
    let sink = Sink::start("test", Box::new(out)).unwrap();
    sink.insist(b"abcdef\n");
    while !sink.0.lock().failing {
        thread::yield_now();
    }
    let shared = Arc::clone(&sink.0);
    drop(sink);
    assert_eq!((shared.lost.load(Ordering::Relaxed), shared.lock().ended), (1, true));

    let out = Failing { failures: endless, kept, half: false, kind: io::ErrorKind::BrokenPipe };
    let sink = Sink::start("test", Box::new(out)).unwrap();
    sink.insist(b"abcdef\n");
    assert!(sink.flush(PATIENCE));
    sink.insist(b"abcdef\n");
    assert!(sink.flush(PATIENCE));
    assert_eq!(sink.lost(), 2);
}

struct Panics;

impl Write for Panics {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("a broken writer");
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nobody_waits_for_a_thread_that_is_gone() {
    let sink = Sink::start("test", Box::new(Panics)).unwrap();
    sink.insist(b"first\n");
    assert!(!sink.flush(PATIENCE));
    sink.insist(&vec![b'x'; MOST]);
    sink.insist(b"second\n");
    sink.offer(b"third\n");
    assert_eq!((sink.lost(), sink.dropped()), (2, 1));
}

/// Opens a file at its end.
fn opener(path: &Path) -> Opener {
    let path = path.to_owned();
    Box::new(move || Ok(Box::new(OpenOptions::new().append(true).create(true).open(&path)?)))
}

#[test]
fn no_line_is_lost_or_torn_while_files_are_moved_away() {
    const WRITERS: usize = 3;
    const MOVES: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let sink = Sink::open("test", opener(&path)).unwrap();
    let moving = AtomicBool::new(true);
    let written: Vec<usize> = thread::scope(|scope| {
        let write = |writer: usize| {
            let mut count = 0;
            while moving.load(Ordering::Relaxed) || count < 100 {
                sink.insist(format!("{writer} {count} {}\n", "x".repeat(count % 300)).as_bytes());
                count += 1;
            }
            count
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        for number in 0..MOVES {
            fs::rename(&path, dir.path().join(format!("log.{number:02}"))).unwrap();
            sink.reopen();
            // The flush is what the thread does beside; the file is there once it has opened it.
            while !path.exists() {
                assert!(sink.flush(PATIENCE));
            }
        }
        moving.store(false, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    drop(sink);
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    // `log` is the newest, and sorts first.
    names.sort();
    names.rotate_left(1);
    assert_eq!(names.len(), MOVES + 1);
    let text: String = names.iter().map(|name| fs::read_to_string(name).unwrap()).collect();
    let mut next = [0; WRITERS];
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [writer, count, rest] = fields[..] else { panic!("torn: {line}") };
        let (writer, count): (usize, usize) = (writer.parse().unwrap(), count.parse().unwrap());
        assert_eq!((count, rest.len()), (next[writer], count % 300), "{line}");
        next[writer] += 1;
    }
    assert_eq!(next.as_slice(), written);
}

#[test]
fn a_place_that_cannot_be_opened_anew_is_written_to_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("log"), dir.path().join("moved"));
    let (tried, asked) = channel();
    let mut open = opener(&path);
    let mut first = true;
    let sink = Sink::open(
        "test",
        Box::new(move || {
            if std::mem::take(&mut first) {
                return open();
            }
            tried.send(()).unwrap();
            Err(io::ErrorKind::PermissionDenied.into())
        }),
    )
    .unwrap();
    sink.offer(b"before\n");
    assert!(sink.flush(PATIENCE));
    fs::rename(&path, &moved).unwrap();
    sink.reopen();
    asked.recv_timeout(PATIENCE).unwrap();
    sink.offer(b"after\n");
    drop(sink);
    assert_eq!(fs::read_to_string(&moved).unwrap(), "before\nafter\n");
    assert!(!path.exists());
}
