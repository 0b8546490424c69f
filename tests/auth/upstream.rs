//! A small HTTP/1.1 upstream: it answers everything alike and keeps what came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The method.
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case, values as they came.
    pub(crate) headers: Vec<(String, String)>,
}

impl Seen {
    /// The only header `name` (lower case); none when there is none, a panic when there are several.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice: {self:?}");
        value
    }

    /// The identity header, decoded; none when none was sent.
    #[track_caller]
    pub(crate) fn identity(&self) -> Option<String> {
        let text = self.header("x-authentication-service")?;
        Some(String::from_utf8(STANDARD.decode(text).unwrap()).unwrap())
    }
}

/// What it answers: status line and headers, without the length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// As in `200 OK`.
    pub(crate) status: &'static str,
    /// Whole header lines, each with its line break.
    pub(crate) headers: &'static str,
    /// The body.
    pub(crate) body: &'static str,
}

/// The usual answer.
pub(crate) const OK: Answer = Answer { status: "200 OK", headers: "", body: "{}" };

/// The running upstream; it ends when dropped.
pub(crate) struct Upstream {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    over: Arc<AtomicBool>,
}

impl Upstream {
    /// Starts one.
    pub(crate) fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (keep, ends) = (Arc::clone(&seen), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), keep) = (stream, Arc::clone(&keep)) else { continue };
                std::thread::spawn(move || drop(converse(stream, answer, &keep)));
            }
        });
        Self { port, seen, over }
    }

    /// What came since the last call; probes of the gateway's own, which ask for `/v2/` and so are never a client's, left out.
    pub(crate) fn take(&self) -> Vec<Seen> {
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        seen.retain(|request| request.target != "/v2/" && request.target != "/v2");
        seen
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the listening thread.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

/// One connection, request by request, until the peer has had enough.
fn converse(stream: TcpStream, answer: Answer, seen: &Mutex<Vec<Seen>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
    while let Some(request) = read(&mut reader)? {
        let head_only = request.method == "HEAD";
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        let Answer { status, headers, body } = answer;
        let body = if head_only { "" } else { body };
        write!(writer, "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())?;
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split(' ');
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let seen = Seen { method, target, headers };
    if let Some(length) = seen.header("content-length") {
        let length: u64 = length.parse().unwrap();
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
    } else if seen.header("transfer-encoding").is_some() {
        skip_chunks(reader)?;
    }
    Ok(Some(seen))
}

fn skip_chunks(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim_end(), 16).unwrap_or(0);
        // The chunk and its line break; after the last chunk, the empty line that ends the trailers.
        std::io::copy(&mut reader.by_ref().take(size + 2), &mut std::io::sink())?;
        if size == 0 {
            return Ok(());
        }
    }
}
