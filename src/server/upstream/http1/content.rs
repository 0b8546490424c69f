//! The body of a response as it comes over HTTP/1.1 (RFC 9112, sections 6 and 7).

use bytes::{Buf as _, Bytes};
use http_body::SizeHint;

/// The longest line that says how long a chunk is. What stands behind the number says nothing that anybody here knows.
const LONGEST_SIZE: usize = 1024;
/// The longest trailers, which are dropped, and the most of them.
const LONGEST_TRAILERS: usize = 16 * 1024;
const MOST_TRAILERS: usize = 64;

/// How much of a body is still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Content(State);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing.
    #[default]
    Over,
    /// So many bytes.
    Length(u64),
    /// The line that says how long the next chunk is.
    ChunkSize,
    /// So many bytes of a chunk, and what follows that.
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// Trailers, and the empty line at the end of all.
    Trailers,
    /// What only the end of the connection ends.
    Unbounded,
}

impl Content {
    /// No body.
    pub(super) fn nothing() -> Self {
        Self(State::Over)
    }

    /// So many bytes.
    pub(super) fn length(length: u64) -> Self {
        Self(if length == 0 { State::Over } else { State::Length(length) })
    }

    /// In chunks.
    pub(super) fn chunks() -> Self {
        Self(State::ChunkSize)
    }

    /// Until the connection ends. It cannot be told from one that breaks off, so nothing of it is ever taken.
    pub(super) fn unbounded() -> Self {
        Self(State::Unbounded)
    }

    /// Whether all of it was taken.
    pub(super) fn is_over(self) -> bool {
        self.0 == State::Over
    }

    /// How much is to come, if that is known.
    pub(super) fn size_hint(self) -> SizeHint {
        match self.0 {
            State::Over => SizeHint::with_exact(0),
            State::Length(left) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }

    /// Takes a piece of the body from what has come, and what follows it that is none. None: more has to come, or it is over. An error
    /// says what is wrong.
    pub(super) fn take(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, &'static str> {
        self.skip(input)?;
        let (State::Length(left) | State::Chunk(left)) = &mut self.0 else { return Ok(None) };
        let here = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
        if here == 0 {
            return Ok(None);
        }
        *left -= here as u64;
        let data = input.split_to(here);
        // What is wrong behind it is found again when more is wanted.
        let _ = self.skip(input);
        Ok(Some(data))
    }

    /// Takes what is no piece of the body, so that an end which has come is known at once.
    pub(super) fn skip(&mut self, input: &mut Bytes) -> Result<(), &'static str> {
        loop {
            self.0 = match self.0 {
                State::Length(0) => State::Over,
                State::Chunk(0) => State::ChunkEnd,
                State::ChunkEnd => match input.get(..2) {
                    Some(b"\r\n") => {
                        input.advance(2);
                        State::ChunkSize
                    }
                    Some(_) => return Err("a chunk does not end where it should"),
                    None => return Ok(()),
                },
                State::ChunkSize => match chunk_size(input)? {
                    Some(0) => State::Trailers,
                    Some(size) => State::Chunk(size),
                    None => return Ok(()),
                },
                State::Trailers => {
                    if !skip_trailers(input)? {
                        return Ok(());
                    }
                    State::Over
                }
                State::Over | State::Length(_) | State::Chunk(_) | State::Unbounded => return Ok(()),
            };
        }
    }
}

fn chunk_size(input: &mut Bytes) -> Result<Option<u64>, &'static str> {
    const WRONG: &str = "the size of a chunk is none";
    match input.first() {
        None => return Ok(None),
        // The parser takes an empty line for a nought.
        Some(first) if !first.is_ascii_hexdigit() => return Err(WRONG),
        Some(_) => {}
    }
    match httparse::parse_chunk_size(input) {
        Ok(httparse::Status::Complete((length, size))) if length <= LONGEST_SIZE => {
            input.advance(length);
            Ok(Some(size))
        }
        Ok(httparse::Status::Partial) if input.len() < LONGEST_SIZE => Ok(None),
        _ => Err(WRONG),
    }
}

/// Whether they are at their end.
fn skip_trailers(input: &mut Bytes) -> Result<bool, &'static str> {
    if input.starts_with(b"\r\n") {
        input.advance(2);
        return Ok(true);
    }
    let mut trailers = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    match httparse::parse_headers(input, &mut trailers) {
        Ok(httparse::Status::Complete((length, _))) if length <= LONGEST_TRAILERS => {
            input.advance(length);
            Ok(true)
        }
        Ok(httparse::Status::Partial) if input.len() < LONGEST_TRAILERS => Ok(false),
        _ => Err("its trailers are none, or too long"),
    }
}
