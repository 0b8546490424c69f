//! Responses, read from bytes as they come (RFC 9112). Nothing here knows of sockets.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::SizeHint;

use super::content::Content;
use super::head;

/// Why what came is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It has not the form of a head.
    #[error("its head cannot be read: {0}")]
    Head(httparse::Error),
    /// It has the form of one, and is none; or its body is not what the head says.
    #[error("{0}")]
    NoHttp(&'static str),
}

/// Reads responses, one after the other, each the answer to a request.
#[derive(Debug, Default)]
pub struct ResponseReader {
    /// What has come and was not taken yet.
    held: Bytes,
    content: Content,
    persists: bool,
}

impl ResponseReader {
    /// Adds what has come. It goes on where [`ResponseReader::rest`] ended.
    pub fn push(&mut self, bytes: Bytes) {
        self.held = if self.held.is_empty() { bytes } else { [&self.held[..], &bytes].concat().into() };
    }

    /// Takes out what was not taken yet: part of a head, or of what delimits a chunk.
    pub fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.held)
    }

    /// The head of the answer to a request with this method; none as long as it is not whole. Other heads may come before it that say
    /// so (1xx); they are left out, but for a change of the protocol, which is the last one there is.
    pub fn head(&mut self, method: &Method) -> Result<Option<Response<()>>, ReadError> {
        while let Some(head) = head::take(&mut self.held, method)? {
            let status = head.response.status();
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                continue;
            }
            self.persists = head.persists;
            self.content = head.content;
            self.content.skip(&mut self.held).map_err(ReadError::NoHttp)?;
            return Ok(Some(head.response));
        }
        Ok(None)
    }

    /// The next piece of the body; none as long as there is none, and when it is over.
    pub fn data(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.content.take(&mut self.held).map_err(ReadError::NoHttp)
    }

    /// Whether all of the response has been taken.
    pub fn is_over(&self) -> bool {
        self.content.is_over()
    }

    /// What is known of how much is left of the body.
    pub fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }

    /// Whether another response may follow: this one says so, is over, and nothing came behind it that nobody has asked for.
    pub fn may_go_on(&self) -> bool {
        self.persists && self.content.is_over() && self.held.is_empty()
    }
}
