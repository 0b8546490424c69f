//! A small HTTP/1.1 client: one request a connection, nothing hidden from the test.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// Names in lower case, values as they came.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, without the framing of its transfer.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The first header `name` (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?} {}", self.text()))
    }

    /// Itself, if the status is `status`.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}\n{}", self.headers, self.text());
        self
    }
}

/// A request to `127.0.0.1:port`.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    port: u16,
    head: String,
    host: String,
    body: Vec<u8>,
    length: bool,
}

impl Request {
    /// `method target`, both as they go over the wire.
    pub(crate) fn new(port: u16, method: &str, target: &str) -> Self {
        let head = format!("{method} {target} HTTP/1.1\r\n");
        let length = !matches!(method, "GET" | "HEAD");
        Self { port, head, host: format!("127.0.0.1:{port}"), body: Vec::new(), length }
    }

    /// With this Host instead of the address.
    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.extend([name, ": ", value, "\r\n"]);
        self
    }

    /// With Basic credentials.
    pub(crate) fn basic(self, user: &str, password: &str) -> Self {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        self.header("Authorization", &format!("Basic {credentials}"))
    }

    /// With a bearer token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// With a body and its length.
    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.length = true;
        self
    }

    /// Sends it and reads the answer to its end.
    #[track_caller]
    pub(crate) fn send(self) -> Reply {
        let line = self.head.clone();
        self.try_send().unwrap_or_else(|| panic!("no answer to {line}"))
    }

    /// Like [`Request::send`]; none when there is no whole answer.
    pub(crate) fn try_send(self) -> Option<Reply> {
        let mut stream = try_connect(self.port).ok()?;
        let length = if self.length { format!("Content-Length: {}\r\n", self.body.len()) } else { String::new() };
        let head = format!("{}Host: {}\r\n{length}Connection: close\r\n\r\n", self.head, self.host);
        stream.write_all(head.as_bytes()).ok()?;
        // An early answer may close the connection under the body; what counts is the answer.
        let _ = stream.write_all(&self.body);
        read_reply(&mut stream, self.head.starts_with("HEAD "))
    }
}

/// `GET target`, with a bearer token where there is one.
#[track_caller]
pub(crate) fn get(port: u16, target: &str, token: Option<&str>) -> Reply {
    let request = Request::new(port, "GET", target);
    token.map_or_else(|| request.clone(), |token| request.clone().bearer(token)).send()
}

/// A connection to `127.0.0.1:port` with time limits.
#[track_caller]
pub(crate) fn connect(port: u16) -> TcpStream {
    try_connect(port).unwrap()
}

fn try_connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let limit = Some(Duration::from_secs(60));
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)?;
    Ok(stream)
}

/// Status and headers of an answer, and what came with them of its body.
pub(crate) type Head = (u16, Vec<(String, String)>, Vec<u8>);

/// The head of an answer; none when the peer closes before it is whole.
pub(crate) fn read_head(stream: &mut impl Read) -> Option<Head> {
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(n) => buffer.extend_from_slice(&chunk[..n]),
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some((status, headers, buffer.split_off(end + 4)))
}

/// A whole answer; none when the connection ends before it does.
pub(crate) fn read_reply(stream: &mut impl Read, head_only: bool) -> Option<Reply> {
    let (status, headers, mut body) = read_head(stream)?;
    if status == 100 {
        // The bytes after an interim answer begin the real one.
        let mut rest = body.as_slice().chain(&mut *stream);
        return read_reply(&mut DynRead(&mut rest), head_only);
    }
    let mut reply = Reply { status, headers, body: Vec::new() };
    if head_only || status == 204 || status == 304 {
        return Some(reply);
    }
    let length = reply.header("content-length").and_then(|value| value.parse::<usize>().ok());
    if let Some(length) = length {
        let missing = length.saturating_sub(body.len());
        stream.take(missing as u64).read_to_end(&mut body).ok()?;
        reply.body = Some(body).filter(|body| body.len() == length)?;
    } else {
        stream.read_to_end(&mut body).ok()?;
        let chunked = reply.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        reply.body = if chunked { unchunk(&body)? } else { body };
    }
    Some(reply)
}

/// Erases the type of a reader, so that reading an answer after an interim one does not nest types without end.
struct DynRead<'a>(&'a mut dyn Read);

impl Read for DynRead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// What a chunked body holds; none when it is not whole.
fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 2 + size + 2..)?;
    }
}
