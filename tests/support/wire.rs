//! HTTP/1.1 by hand, for both ends: nothing is normalised, nothing is hidden, and an end is told from a reset.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Longer than anything here may take; it only keeps a broken test from hanging.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How a peer ended its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With FIN.
    Closed,
    /// With RST.
    Reset,
}

/// The head of a request or a response.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Its first line.
    pub(crate) start: String,
    /// Names and values as they came.
    pub(crate) headers: Vec<(String, String)>,
    /// The connection that it came over, counted by the side that accepted it.
    pub(crate) connection: usize,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let headers = lines
            .map(|line| line.split_once(':').unwrap_or_else(|| panic!("no header line: {line:?}")))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Self { start, headers, connection: 0 }
    }

    /// Every value of `name`, in any case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The only value of `name`; none when there is no such header.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands more than once: {self:?}");
        all.first().copied()
    }

    /// Whether some header's name is `name` when every character but letters and digits is taken for `-`.
    pub(crate) fn has_like(&self, name: &str) -> bool {
        let normal = |text: &str| text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        self.headers.iter().any(|(key, _)| normal(key) == normal(name))
    }

    /// What the bearer token says that came with a request.
    #[track_caller]
    pub(crate) fn claims(&self) -> serde_json::Value {
        let token = self.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let payload = token.and_then(|token| token.split('.').nth(1)).unwrap_or_else(|| panic!("no token: {self:?}"));
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }

    /// The status of a response.
    #[track_caller]
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{self:?}"))
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap()
    }

    /// The target of a request.
    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap()
    }

    fn is_bodiless(&self) -> bool {
        self.start.starts_with("HTTP/") && matches!(self.status(), 100..=199 | 204 | 304)
    }
}

/// A body with what its framing said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// What came of it.
    pub(crate) bytes: Vec<u8>,
    /// Whether all came that the framing promised.
    pub(crate) whole: bool,
    /// The trailer lines.
    pub(crate) trailers: Vec<String>,
}

impl Body {
    /// The bytes as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The bytes as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    ended: Option<End>,
}

impl Wire {
    /// A connection to `127.0.0.1:port`.
    #[track_caller]
    pub(crate) fn connect(port: u16) -> Self {
        Self::try_connect(port).unwrap()
    }

    /// The same, to somebody who may close it at once.
    pub(crate) fn try_connect(port: u16) -> std::io::Result<Self> {
        TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LIMIT).map(Self::new)
    }

    /// Over a connected socket.
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), ended: None }
    }

    /// Another handle to the same socket, for writing from another thread.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Sends all of `bytes`.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Sends all of `bytes`, or says why that was impossible.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends one chunk of a chunked body.
    #[track_caller]
    pub(crate) fn send_chunk(&mut self, bytes: &[u8]) {
        self.send([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    }

    /// Reads what there is into the buffer; false at the end.
    fn fill(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let mut chunk = vec![0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.ended = Some(End::Closed),
            Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.ended = Some(End::Reset),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("nothing came for {LIMIT:?} ({error}); so far: {:?}", self.seen()),
        }
        self.ended.is_none()
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.buffer).chars().take(2000).collect()
    }

    /// The next head; none when the peer ends without one.
    #[track_caller]
    pub(crate) fn try_head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 4);
                return Some(Head::parse(&text));
            }
            if !self.fill() {
                assert!(self.buffer.is_empty(), "it ended ({:?}) within a head: {:?}", self.ended, self.seen());
                return None;
            }
        }
    }

    /// The next head, without any limit of time; none when the peer ends without a whole one.
    pub(crate) fn try_head_however_late(&mut self) -> Option<Head> {
        self.stream.set_read_timeout(None).unwrap();
        while find(&self.buffer, b"\r\n\r\n").is_none() {
            if !self.fill() {
                return None;
            }
        }
        self.stream.set_read_timeout(Some(LIMIT)).unwrap();
        self.try_head()
    }

    /// The next head.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Head {
        self.try_head().unwrap_or_else(|| panic!("the peer ended without a head: {:?}", self.ended))
    }

    /// The body behind `head`, of a request or a response to GET.
    #[track_caller]
    pub(crate) fn body(&mut self, head: &Head) -> Body {
        let chunked = head.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let length = head.get("content-length").map(|length| length.parse::<usize>().unwrap());
        assert!(!(chunked && length.is_some()), "framed twice: {head:?}");
        match length {
            _ if head.is_bodiless() => Body { whole: true, ..Body::default() },
            Some(length) => {
                let bytes = self.up_to(length);
                Body { whole: bytes.len() == length, bytes, trailers: Vec::new() }
            }
            None if chunked => self.chunked().unwrap_or_else(|bytes| Body { bytes, ..Body::default() }),
            None if head.start.starts_with("HTTP/") => Body { bytes: self.read_to_end().0, ..Body::default() },
            None => Body { whole: true, ..Body::default() },
        }
    }

    /// A response to anything but HEAD.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> (Head, Body) {
        let head = self.head();
        let body = self.body(&head);
        (head, body)
    }

    /// The next `length` bytes, or fewer at the end.
    pub(crate) fn up_to(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length && self.fill() {}
        let length = length.min(self.buffer.len());
        self.buffer.drain(..length).collect()
    }

    /// A line without its end; none at the end.
    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Some(line);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// One chunk; none at the end of the connection, empty for the last one, whose trailers are still to be read.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line()?;
        let size = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
        if size == 0 {
            return Some(Vec::new());
        }
        let bytes = self.up_to(size);
        self.line()?;
        Some(bytes)
    }

    /// A chunked body; what came of it when it is not whole.
    fn chunked(&mut self) -> Result<Body, Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            match self.chunk() {
                None => return Err(bytes),
                Some(chunk) if chunk.is_empty() => break,
                Some(chunk) => bytes.extend(chunk),
            }
        }
        let mut trailers = Vec::new();
        loop {
            match self.line() {
                None => return Err(bytes),
                Some(line) if line.is_empty() => return Ok(Body { bytes, whole: true, trailers }),
                Some(line) => trailers.push(line),
            }
        }
    }

    /// Everything up to the end, and how it ended.
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, End) {
        while self.fill() {}
        (std::mem::take(&mut self.buffer), self.ended.unwrap_or(End::Closed))
    }

    /// Ends our side with FIN.
    pub(crate) fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// From now on our side ends with RST when it is closed.
    pub(crate) fn reset(&self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Closes with FIN, or with RST.
    pub(crate) fn leave(self, reset: bool) {
        if reset {
            self.reset();
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The value of an Authorization header.
pub(crate) fn basic((user, password): (&str, &str)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
