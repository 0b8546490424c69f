//! A proxy that changes what passes: what stands between clients, gateway and upstream where it should not, or not so.
//!
//! It looks at the first request of a connection only, and at its answer.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A listening proxy; stops to listen when dropped.
pub(crate) struct Middle {
    /// Its port.
    pub(crate) port: u16,
    stopped: Arc<AtomicBool>,
}

/// What a proxy does.
pub(crate) trait Change: Send + Sync + 'static {
    /// Changes the head of a request, and says to which port of 127.0.0.1 it goes.
    fn request(&self, head: &mut String) -> u16;

    /// Changes the head of an answer.
    fn answer(&self, _head: &mut String) {}
}

impl Middle {
    /// Starts one on a free port of `ip`.
    pub(crate) fn start(ip: impl Into<IpAddr>, change: impl Change) -> Self {
        let listener = TcpListener::bind((ip.into(), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stopped = Arc::new(AtomicBool::new(false));
        let (stop, change) = (Arc::clone(&stopped), Arc::new(change));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let change = Arc::clone(&change);
                if let Ok(client) = client {
                    std::thread::spawn(move || pass(client, &*change));
                }
            }
        });
        Self { port, stopped }
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn pass(mut client: TcpStream, change: &impl Change) -> Option<()> {
    let (mut head, rest) = head(&mut client)?;
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, change.request(&mut head))).ok()?;
    server.write_all(head.as_bytes()).ok()?;
    server.write_all(&rest).ok()?;
    let (mut body, mut onward) = (client.try_clone().ok()?, server.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut body, &mut onward);
        let _ = onward.shutdown(Shutdown::Write);
    });
    let (mut head, rest) = self::head(&mut server)?;
    change.answer(&mut head);
    client.write_all(head.as_bytes()).ok()?;
    client.write_all(&rest).ok()?;
    let _ = std::io::copy(&mut server, &mut client);
    // Both ways, or the thread that reads the request waits for a client that waits for us.
    client.shutdown(Shutdown::Both).ok()
}

/// The head with the empty line at its end, and what came behind it.
fn head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8(bytes).ok()?, rest));
        }
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}

/// Puts another value into a line of a head.
pub(crate) fn replace(head: &mut String, name: &str, value: &str) {
    let changed = head.split("\r\n").map(|line| match line.split_once(':') {
        Some((own, _)) if own.eq_ignore_ascii_case(name) => format!("{own}: {value}"),
        _ => line.to_owned(),
    });
    *head = changed.collect::<Vec<_>>().join("\r\n");
}
