//! An upstream that does what no registry would: it answers what a test tells it to, byte by byte, and keeps what it saw.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::until;
use super::wire::{Head, LIMIT, Wire};

/// What becomes of a connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next request is awaited.
    Keep,
    /// It is closed.
    Close,
}

/// A running upstream; it stops to listen when dropped.
pub(crate) struct Upstream {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    seen: Arc<Seen>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<Head>>,
    connections: AtomicUsize,
    /// Connections that have ended, from either side.
    ended: AtomicUsize,
    stopped: AtomicBool,
    failed_probes: AtomicBool,
    /// The connections that carried a request and have not ended, by number.
    streams: Mutex<HashMap<usize, TcpStream>>,
}

impl Upstream {
    /// Listens; `answer` gets each request's head with the connection behind it, and reads the body itself.
    pub(crate) fn start(answer: impl Fn(&Head, &mut Wire) -> Then + Send + Sync + 'static) -> Self {
        Self::start_on(0, answer)
    }

    /// Listens on a port of its predecessor's; 0 picks a free one.
    pub(crate) fn start_on(port: u16, answer: impl Fn(&Head, &mut Wire) -> Then + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let (answer, all) = (Arc::new(answer), Arc::clone(&seen));
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if all.stopped.load(Ordering::SeqCst) {
                    // Whoever else may hold the socket: a process that another test is just starting.
                    let _ = socket2::SockRef::from(&listener).shutdown(Shutdown::Both);
                    return;
                }
                let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
                if let Ok(stream) = stream {
                    std::thread::spawn(move || serve(stream, &all, &*answer));
                }
            }
        });
        Self { port, seen, listening: Mutex::new(Some(listening)) }
    }

    /// The requests so far, the gateway's health probes left out.
    pub(crate) fn heads(&self) -> Vec<Head> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// The only request so far.
    #[track_caller]
    pub(crate) fn only(&self) -> Head {
        let mut heads = self.heads();
        assert_eq!(heads.len(), 1, "{heads:?}");
        heads.remove(0)
    }

    /// The newest request.
    #[track_caller]
    pub(crate) fn last(&self) -> Head {
        self.heads().pop().expect("no request has come")
    }

    /// Connections so far that carried a request.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Waits until this many of the connections that carried a request have ended.
    pub(crate) fn wait_for_ends(&self, count: usize) {
        until("connections to the upstream end", LIMIT, || {
            (self.seen.ended.load(Ordering::SeqCst) >= count).then_some(())
        });
    }

    /// Does not listen any more; connections that are open go on.
    pub(crate) fn stop(&self) {
        if let Some(listening) = self.listening.lock().unwrap().take() {
            self.seen.stopped.store(true, Ordering::SeqCst);
            // Wakes the thread that waits for connections; with its end the port is closed.
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
            let _ = listening.join();
        }
    }

    /// Closes all connections that are waiting for a request.
    pub(crate) fn close_all(&self) {
        for stream in self.seen.streams.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.wait_for_ends(self.connections());
    }

    /// From now on health probes are answered with 500.
    pub(crate) fn fail_probes(&self) {
        self.seen.failed_probes.store(true, Ordering::SeqCst);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(stream: TcpStream, seen: &Seen, answer: &dyn Fn(&Head, &mut Wire) -> Then) {
    let mut wire = Wire::new(stream);
    let mut number = None;
    // A connection that is kept may be silent for as long as a test lasts.
    while let Some(mut head) = wire.try_head_however_late() {
        if is_probe(&head) {
            let status = if seen.failed_probes.load(Ordering::SeqCst) { "500 Broken" } else { "200 OK" };
            let _ = wire.try_send(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
            return;
        }
        head.connection = *number.get_or_insert_with(|| {
            let number = seen.connections.fetch_add(1, Ordering::SeqCst);
            seen.streams.lock().unwrap().insert(number, wire.writer());
            number
        });
        seen.heads.lock().unwrap().push(head.clone());
        if answer(&head, &mut wire) == Then::Close {
            break;
        }
    }
    // Both handles of the socket, or it would stay open.
    let other = number.map(|number| seen.streams.lock().unwrap().remove(&number));
    drop((wire, other));
    if number.is_some() {
        seen.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether it is a health probe of the gateway's. What it tells a collector is told under the same name, by POST.
fn is_probe(head: &Head) -> bool {
    head.method() == "GET" && head.get("user-agent").is_some_and(|agent| agent.starts_with("tidegate/"))
}

/// Reads the body and answers 200 with `ok`.
pub(crate) fn ok(head: &Head, wire: &mut Wire) -> Then {
    answer_with(head, wire, "200 OK", "", "ok")
}

/// Reads the body and answers with this status, these header lines (each with its end) and this body.
pub(crate) fn answer_with(head: &Head, wire: &mut Wire, status: &str, headers: &str, body: &str) -> Then {
    wire.body(head);
    let length = body.len();
    let shown = if head.method() == "HEAD" { "" } else { body };
    let sent = wire.try_send(format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{shown}"));
    if sent.is_ok() { Then::Keep } else { Then::Close }
}
