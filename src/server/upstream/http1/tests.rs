//! What may come over a connection, however it is cut into pieces.

use bytes::Bytes;
use http::Method;
use proptest::prelude::*;
use proptest::sample::Index;

use super::content::Content;
use super::head;

/// A body, and what was left behind its end.
type Whole = (Vec<u8>, Vec<u8>);

/// Reads a body that comes in these pieces, as a connection does: what was not taken is put before the next piece. None where it did
/// not end.
fn read<'a>(mut content: Content, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Whole>, &'static str> {
    let (mut body, mut held, mut rest) = (Vec::new(), Bytes::new(), Vec::new());
    for piece in pieces {
        if content.is_over() {
            rest.extend_from_slice(piece);
            continue;
        }
        held = [&held, piece].concat().into();
        while let Some(data) = content.take(&mut held)? {
            assert!(!data.is_empty(), "a piece of nothing would be taken for the end");
            body.extend_from_slice(&data);
        }
    }
    Ok(content.is_over().then(|| (body, [&*held, &rest].concat())))
}

/// The input cut at these places.
fn cut(input: &[u8], at: Vec<Index>) -> Vec<&[u8]> {
    let mut ends: Vec<usize> = at.into_iter().map(|at| at.index(input.len() + 1)).chain([input.len()]).collect();
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter().map(|end| &input[std::mem::replace(&mut from, end)..end]).collect()
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..8)
}

proptest! {
    #[test]
    fn chunks_are_put_together_wherever_they_are_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        extension in "(;[a-z]{1,4}(=[a-z0-9]{1,4})?)?",
        trailers in "(x-[a-z]{1,5}: [a-z ]{0,6}\r\n){0,3}",
        rest in "[A-Z]{0,9}",
        at in cuts(),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(format!("0{extension}\r\n{trailers}\r\n").as_bytes());
        let end = wire.len();
        wire.extend_from_slice(rest.as_bytes());
        let whole = read(Content::chunks(), cut(&wire, at));
        prop_assert_eq!(whole, Ok(Some((chunks.concat(), rest.into_bytes()))));
        for short in 0..end {
            prop_assert_eq!(read(Content::chunks(), [&wire[..short]]), Ok(None), "whole after {} bytes", short);
        }
    }

    #[test]
    fn a_length_is_what_is_taken(body in prop::collection::vec(any::<u8>(), 0..60), length in 0_usize..60, at in cuts()) {
        let read = read(Content::length(length as u64), cut(&body, at));
        let whole = body.split_at_checked(length).map(|(body, rest)| (body.to_vec(), rest.to_vec()));
        prop_assert_eq!(read, Ok(whole));
    }

    #[test]
    fn anything_is_read_alike_wherever_it_is_cut(wire in "[0-9a-fA;\r\n: x]{0,40}", at in cuts()) {
        let wire = wire.as_bytes();
        prop_assert_eq!(read(Content::chunks(), cut(wire, at)), read(Content::chunks(), [wire]));
    }
}

#[test]
fn what_came_before_a_fault_is_there() {
    let (mut content, mut input) = (Content::chunks(), Bytes::from_static(b"2\r\nok\r\nnonsense\r\n"));
    assert_eq!(content.take(&mut input), Ok(Some(Bytes::from_static(b"ok"))));
    assert!(content.take(&mut input).is_err());
}

#[test]
fn what_is_no_chunk_is_told() {
    for wire in [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\na",
        " 1\r\na",
        "1\na",
        "1\r\nabc",
        "1\r\na\n0\r\n\r\n",
        "0x1\r\na",
        "1 1\r\na",
        "11111111111111111\r\n",
        "0\r\nno header\r\n\r\n",
        "0\r\n: x\r\n\r\n",
    ] {
        assert!(read(Content::chunks(), [wire.as_bytes()]).is_err(), "{wire:?}");
    }
    let endless = format!("1;{}", "x".repeat(2000));
    assert!(read(Content::chunks(), [endless.as_bytes()]).is_err());
    let endless = format!("0\r\nx: {}", "x".repeat(20_000));
    assert!(read(Content::chunks(), [endless.as_bytes()]).is_err());
}

/// The status, whether the connection persists and how long the body is, of the answer to a request.
fn head(method: &Method, wire: &str) -> Result<Option<(u16, bool, Option<u64>)>, String> {
    let mut input = Bytes::copy_from_slice(wire.as_bytes());
    let head = head::take(&mut input, method).map_err(|error| error.to_string())?;
    Ok(head.map(|head| (head.response.status().as_u16(), head.persists, head.content.size_hint().exact())))
}

#[test]
fn a_head_says_how_its_body_ends() {
    let get = |wire: &str| head(&Method::GET, wire).unwrap();
    assert_eq!(get("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"), Some((200, true, Some(5))));
    assert_eq!(get("HTTP/1.1 200\r\ncontent-length: 5\r\nContent-Length: 5\r\n\r\n"), Some((200, true, Some(5))));
    assert_eq!(
        get("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"),
        Some((200, true, None))
    );
    assert_eq!(get("HTTP/1.1 200 OK\r\n\r\n"), Some((200, true, None)));
    for bodiless in [204, 304] {
        let wire = format!("HTTP/1.1 {bodiless} X\r\ncontent-length: 5\r\n\r\n");
        assert_eq!(get(&wire), Some((bodiless, true, Some(0))));
    }
    let of_head = head(&Method::HEAD, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(of_head, Ok(Some((200, true, Some(0)))));
}

#[test]
fn a_head_says_whether_another_may_follow() {
    for (wire, persists) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nconnection: x\r\nconnection: y , close\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", false),
    ] {
        assert_eq!(head(&Method::GET, wire), Ok(Some((200, persists, Some(0)))), "{wire:?}");
    }
}

#[test]
fn what_is_no_head_is_told() {
    for wire in [
        "hello\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        "HTTP/1.1 200 OK\r\nname : x\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: x\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n",
    ] {
        assert!(head(&Method::GET, wire).is_err(), "{wire:?}");
    }
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    assert!(head(&Method::GET, &many).is_err());
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(64 * 1024));
    assert!(head(&Method::GET, &long).is_err());
    assert_eq!(head(&Method::GET, "HTTP/1.1 200 OK\r\na: b\r\n"), Ok(None));
}
