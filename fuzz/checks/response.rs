//! Responses of upstreams over HTTP/1.1. Of the input the first byte says what was asked, the second where it is cut into pieces, and the
//! rest is what comes.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, Response};
use tidegate::server::{ReadError, ResponseReader};

/// What was read of a response.
#[derive(Debug, PartialEq)]
struct Read {
    status: Option<u16>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    is_over: bool,
    may_go_on: bool,
    rest: Bytes,
}

/// Reads it whole and in pieces.
pub fn check(data: &[u8]) {
    let &[asked, cut, ref wire @ ..] = data else { return };
    let method = if asked % 2 == 0 { Method::GET } else { Method::HEAD };
    let whole = read(&method, [wire]);
    let pieces = read(&method, wire.chunks(usize::from(cut) + 1));
    // What is wrong may be found at one place or the other, and what came before is passed on or not.
    assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok(), "{whole:?} is not {pieces:?}");
}

fn read<'a>(method: &Method, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Read, ReadError> {
    let (mut reader, mut head, mut body) = (ResponseReader::default(), None, Vec::new());
    for piece in pieces {
        reader.push(Bytes::copy_from_slice(piece));
        if head.is_none() {
            head = reader.head(method)?;
        }
        if head.is_some() {
            while let Some(data) = reader.data()? {
                assert!(!data.is_empty(), "a piece of nothing");
                body.extend_from_slice(&data);
            }
        }
    }
    if let Some(head) = &head {
        holds(method, head, &body, &reader);
    }
    let (is_over, may_go_on) = (head.is_some() && reader.is_over(), head.is_some() && reader.may_go_on());
    let status = head.as_ref().map(|head| head.status().as_u16());
    let headers = head.map(Response::into_parts).map(|(head, ())| head.headers).unwrap_or_default();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    Ok(Read { status, headers, body, is_over, may_go_on, rest: reader.rest() })
}

/// What holds of every response that was read.
fn holds(method: &Method, head: &Response<()>, body: &[u8], reader: &ResponseReader) {
    let status = head.status().as_u16();
    assert!(status >= 200 || status == 101, "{status} is no answer");
    let bodiless = *method == Method::HEAD || status < 200 || matches!(status, 204 | 304);
    let lengths: Vec<_> = head.headers().get_all(CONTENT_LENGTH).iter().collect();
    match (bodiless, head.headers().contains_key(TRANSFER_ENCODING), &lengths[..]) {
        (true, _, _) => assert!(body.is_empty() && reader.is_over()),
        (false, true, _) => assert!(reader.is_over() || reader.size_hint().exact().is_none()),
        (false, false, []) => assert!(body.is_empty() && !reader.is_over(), "nobody knows where it ends"),
        (false, false, [length]) => {
            let length: u64 = length.to_str().unwrap().parse().unwrap();
            let left = reader.size_hint().exact().unwrap();
            assert_eq!(body.len() as u64 + left, length);
            assert_eq!(reader.is_over(), left == 0);
        }
        (false, false, more) => panic!("several lengths are passed on: {more:?}"),
    }
}
