//! A TCP relay between gateway and registry, for tests that look at what goes upstream or make the upstream slow.
//!
//! It looks at the first request of a connection only: give the upstream `pool = false`, and that is every request.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A listening relay; stops to listen when dropped.
pub(crate) struct Relay {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

/// What becomes of a request, by its head.
pub(crate) enum Treatment {
    /// It goes on at once.
    Pass,
    /// Its head goes on, and about so many bytes of its body; the rest when the gate opens.
    Stall(usize, Arc<Gate>),
    /// Nothing of it goes on until the gate opens.
    Hold(Arc<Gate>),
}

/// Something that is closed at first, and opens once.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    reached: bool,
}

impl Gate {
    /// Lets everyone through.
    pub(crate) fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    /// Waits until someone stands before the gate; false when `limit` passes before.
    pub(crate) fn reached(&self, limit: Duration) -> bool {
        let state = self.state.lock().unwrap();
        self.changed.wait_timeout_while(state, limit, |state| !state.reached).unwrap().0.reached
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.reached = true;
        self.changed.notify_all();
        // A gate that no test opens does not keep a thread for ever.
        drop(self.changed.wait_timeout_while(state, Duration::from_secs(120), |state| !state.open).unwrap());
    }
}

impl Relay {
    /// Relays to `127.0.0.1:target`; `treat` judges each request by its head.
    pub(crate) fn start(target: u16, treat: impl Fn(&str) -> Treatment + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let (log, stop, treat) = (Arc::clone(&heads), Arc::clone(&stopped), Arc::new(treat));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (log, treat) = (Arc::clone(&log), Arc::clone(&treat));
                if let Ok(client) = client {
                    std::thread::spawn(move || relay(client, target, &log, &*treat));
                }
            }
        });
        Self { port, heads, stopped }
    }

    /// The request heads seen so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn relay(mut client: TcpStream, target: u16, log: &Mutex<Vec<String>>, treat: &dyn Fn(&str) -> Treatment) {
    let mut first = Vec::new();
    let end = loop {
        if let Some(end) = first.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let mut chunk = [0; 8192];
        match client.read(&mut chunk) {
            Ok(n) if n > 0 => first.extend_from_slice(&chunk[..n]),
            _ => return,
        }
    };
    let head = String::from_utf8_lossy(&first[..end]).into_owned();
    log.lock().unwrap().push(head.clone());
    let treatment = treat(&head);
    if let Treatment::Hold(gate) = &treatment {
        gate.pass();
    }
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { return };
    let (Ok(mut answers), Ok(mut back)) = (server.try_clone(), client.try_clone()) else { return };
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    if server.write_all(&first).is_err() {
        return;
    }
    if let Treatment::Stall(bytes, gate) = &treatment {
        let rest = bytes.saturating_sub(first.len() - end - 4);
        let _ = std::io::copy(&mut (&mut client).take(rest as u64), &mut server);
        gate.pass();
    }
    let broken = std::io::copy(&mut client, &mut server).is_err();
    let _ = server.shutdown(if broken { Shutdown::Both } else { Shutdown::Write });
}
