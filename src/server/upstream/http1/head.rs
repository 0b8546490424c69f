//! Heads: how one of a request is written, and one of a response is read.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};

use super::content::Content;
use super::reader::ReadError;

/// The longest head of a response, and the most lines that it may have.
const LONGEST: usize = 64 * 1024;
const MOST_HEADERS: usize = 100;

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none. What the headers say of a length stands.
    Nothing,
    /// By its length, of which so much is left.
    Length(u64),
    /// In chunks.
    Chunks,
}

/// Writes the head of a request, up to its empty line.
pub(super) fn write<B>(out: &mut BytesMut, request: &Request<B>, framing: Framing) {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let is_own = |name: &HeaderName| match framing {
        Framing::Nothing => *name == TRANSFER_ENCODING,
        Framing::Length(_) | Framing::Chunks => *name == TRANSFER_ENCODING || *name == CONTENT_LENGTH,
    };
    for (name, value) in request.headers().iter().filter(|(name, _)| !is_own(name)) {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    match framing {
        Framing::Nothing => {}
        Framing::Length(length) => out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes()),
        Framing::Chunks => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// The head of a response.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    /// How the body that follows is delimited.
    pub(super) content: Content,
    /// Whether the connection may be used again after it.
    pub(super) persists: bool,
}

/// Takes a head from the beginning of what has come, the answer to a request with this method; none as long as it is not whole.
pub(super) fn take(input: &mut Bytes, method: &Method) -> Result<Option<Head>, ReadError> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut lines = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let length = match parser.parse_response_with_uninit_headers(&mut parsed, input, &mut lines) {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST => length,
        Ok(httparse::Status::Partial) if input.len() < LONGEST => return Ok(None),
        Ok(_) => return Err(ReadError::NoHttp("its head is too long")),
        Err(error) => return Err(ReadError::Head(error)),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(ReadError::NoHttp("its status is none"))?;
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(input.slice_ref(line.value));
        let (Ok(name), Ok(value)) = (name, value) else { return Err(ReadError::NoHttp("a header is none")) };
        headers.append(name, value);
    }
    let content = content(method, status, &mut headers)?;
    let persists = version == Version::HTTP_11 && !says_close(&headers);
    let mut response = Response::new(());
    (*response.status_mut(), *response.version_mut(), *response.headers_mut()) = (status, version, headers);
    let _ = input.split_to(length);
    Ok(Some(Head { response, content, persists }))
}

fn says_close(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter();
    values.any(|value| {
        let mut tokens = value.as_bytes().split(|byte| *byte == b',');
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
    })
}

/// How the body of a response is delimited (RFC 9112, section 6.3).
fn content(method: &Method, status: StatusCode, headers: &mut HeaderMap) -> Result<Content, ReadError> {
    let is_bodiless = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if is_bodiless || *method == Method::HEAD {
        return Ok(Content::nothing());
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        // That it is the only coding is held against the rules for answers before anything of it is passed on.
        return Ok(Content::chunks());
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(Content::unbounded()) };
    let (length, is_repeated) = (length.clone(), lengths.next().is_some());
    if headers.get_all(CONTENT_LENGTH).iter().any(|other| *other != length) {
        return Err(ReadError::NoHttp("it has several lengths"));
    }
    let content = parse_length(&length).map(Content::length).ok_or(ReadError::NoHttp("its length is no number"))?;
    if is_repeated {
        headers.insert(CONTENT_LENGTH, length);
    }
    Ok(content)
}

/// Digits, and nothing else.
fn parse_length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
