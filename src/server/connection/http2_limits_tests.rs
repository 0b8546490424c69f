//! What bounds a client of HTTP/2 that means no good, or has no luck.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::frames::{
    CANCEL, CONTINUATION, DATA, END_STREAM, ENHANCE_YOUR_CALM, Frames, HEADERS, RST_STREAM, WINDOW_UPDATE, frame, get,
    post, reset,
};
use super::http2_tests::{answer, client, echo, request};
use super::test_support::{TestServer, patient, streamed, text, within};
use super::{ConnectionSettings, Http2Settings};

const SHORT: Duration = Duration::from_millis(250);

#[tokio::test]
async fn a_client_that_takes_nothing_of_an_answer_loses_it() {
    let server = TestServer::start(ConnectionSettings { write_timeout: SHORT, ..patient() }, |_| async {
        let (sender, response) = streamed();
        // Nothing moves either while the answer itself is slow; that is not the client's fault.
        tokio::spawn(async move {
            tokio::time::sleep(SHORT * 2).await;
            for _ in 0..100 {
                sender.send(Ok(Bytes::from(vec![0; 10_000]))).unwrap_or_default();
            }
            sender.closed().await;
        });
        response
    });
    // A window of 40,000 bytes for each stream: the answer is longer.
    let mut frames = Frames::begin(&server, &[(4, 40_000)]).await;
    // Also where nobody reads what it might still send.
    for (stream, head) in [(1, get(1)), (3, post(3))] {
        frames.send(&head).await;
        let (mut taken, mut ended) = (0, None);
        while ended.is_none() {
            match frames.next().await.unwrap() {
                (DATA, of, payload) if of == stream => taken += payload.len(),
                (RST_STREAM, of, payload) if of == stream => ended = Some(payload),
                _ => {}
            }
        }
        assert_eq!((taken, ended.unwrap()), (40_000, CANCEL.to_be_bytes().to_vec()));
        // The connection has room for 65,535 bytes.
        frames.send(&frame(WINDOW_UPDATE, 0, 0, &40_000_u32.to_be_bytes())).await;
    }
    // It is as good as before.
    frames.send(&get(5)).await;
    assert_eq!(frames.until(HEADERS).await.0, 5);
}

#[tokio::test]
async fn a_client_that_takes_its_time_gets_all_of_an_answer() {
    const LENGTH: usize = 400_000;
    let server = TestServer::start(ConnectionSettings { write_timeout: SHORT * 8, ..patient() }, |_| async {
        text(vec![0; LENGTH])
    });
    let mut frames = Frames::begin(&server, &[(4, 20_000)]).await;
    frames.send(&get(1)).await;
    let mut taken = 0;
    while taken < LENGTH {
        match frames.next().await.unwrap() {
            (DATA, 1, payload) => taken += payload.len(),
            (RST_STREAM, ..) => panic!("reset after {taken} bytes"),
            _ => {}
        }
        if taken % 20_000 == 0 && taken > 0 {
            // Longer in all than the time-out.
            tokio::time::sleep(SHORT).await;
            let more = 20_000_u32.to_be_bytes();
            frames.send(&[frame(WINDOW_UPDATE, 0, 1, &more), frame(WINDOW_UPDATE, 0, 0, &more)].concat()).await;
        }
    }
}

#[tokio::test]
async fn more_requests_at_once_than_there_may_be_are_refused() {
    let http2 = Some(Http2Settings { streams: 2, ..Http2Settings::default() });
    let server = TestServer::start(ConnectionSettings { http2, ..patient() }, |_| std::future::pending());
    let mut frames = Frames::begin(&server, &[]).await;
    frames.send(&[get(1), get(3), get(5)].concat()).await;
    let (stream, error) = frames.until(RST_STREAM).await;
    assert_eq!((stream, error), (5, 7_u32.to_be_bytes().to_vec()));
}

/// A server that counts what reaches it, and never answers.
fn counting(http2: Http2Settings) -> (TestServer, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let settings = ConnectionSettings { http2: Some(http2), ..patient() };
    let server = TestServer::start(settings, move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    });
    (server, count)
}

#[tokio::test]
async fn requests_taken_back_at_once_end_the_connection() {
    let (server, count) = counting(Http2Settings::default());
    let mut frames = Frames::begin(&server, &[]).await;
    let flood: Vec<u8> = (0..1000).flat_map(|n| [get(2 * n + 1), reset(2 * n + 1, CANCEL)].concat()).collect();
    // The server may cut it short.
    let _ = frames.try_send(&flood).await;
    assert!(matches!(frames.end().await, Some(ENHANCE_YOUR_CALM) | None));
    assert!(count.load(Ordering::SeqCst) <= 150, "{count:?} requests were begun");
}

#[tokio::test]
async fn requests_given_up_one_by_one_end_the_connection() {
    let (server, count) = counting(Http2Settings { resets: 10, ..Http2Settings::default() });
    let mut frames = Frames::begin(&server, &[]).await;
    for n in 0..100 {
        let begun = count.load(Ordering::SeqCst);
        if frames.try_send(&get(2 * n + 1)).await.is_err() {
            break;
        }
        // Each is begun before it is given up, unless the connection has ended.
        let waited = tokio::time::timeout(Duration::from_millis(500), async {
            while count.load(Ordering::SeqCst) == begun {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        if waited.await.is_err() || frames.try_send(&reset(2 * n + 1, CANCEL)).await.is_err() {
            break;
        }
    }
    frames.end().await;
    let begun = count.load(Ordering::SeqCst);
    assert!((10..=12).contains(&begun), "{begun} requests were begun");
}

#[tokio::test]
async fn who_lets_answers_end_may_give_up_others_for_ever() {
    let http2 = Some(Http2Settings { resets: 3, ..Http2Settings::default() });
    let settings = ConnectionSettings { http2, ..patient() };
    let server = TestServer::start(settings, move |request| async move {
        if request.uri().path() == "/" { text("ok") } else { std::future::pending().await }
    });
    let (mut sender, _connection) = client(&server).await;
    for _ in 0..20 {
        let given_up =
            tokio::time::timeout(Duration::from_millis(5), sender.send_request(request(Method::GET, "/never", "")));
        assert!(given_up.await.is_err());
        assert_eq!(answer(&mut sender, Method::GET, "/", "").await.1, "ok");
    }
}

#[tokio::test]
async fn a_flood_of_continuations_ends_the_connection() {
    let (server, count) = counting(Http2Settings::default());
    let mut frames = Frames::begin(&server, &[]).await;
    // A literal header whose value goes on and on.
    frames.send(&frame(HEADERS, END_STREAM, 1, &[0x82, 0x86, 0x84])).await;
    let piece = [&[0x40, 1, b'a', 127, 233, 6][..], &[b'v'; 1000]].concat();
    let mut sent = 0;
    while sent < 64 << 20 && frames.try_send(&frame(CONTINUATION, 0, 1, &piece)).await.is_ok() {
        sent += piece.len();
    }
    assert!(sent < 32 << 20, "{sent} bytes were taken");
    frames.end().await;
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn heads_beyond_the_limits_are_answered_with_431() {
    let server = echo(ConnectionSettings { max_headers: 10, max_header_size: 9000, ..patient() });
    let (mut sender, _connection) = client(&server).await;
    for (lines, value, status) in [(10, 500, 200), (11, 1, 431), (9, 1000, 431)] {
        let mut request = request(Method::GET, "/", "");
        for line in 0..lines {
            let name: http::HeaderName = format!("x-{line}").parse().unwrap();
            request.headers_mut().insert(name, "v".repeat(value).parse().unwrap());
        }
        let response = within(sender.send_request(request)).await.unwrap();
        assert_eq!(response.status(), status, "{lines} lines of {value}");
    }
}

#[tokio::test]
async fn a_connection_ends_after_so_many_requests() {
    let settings = ConnectionSettings { requests_per_connection: NonZeroU64::new(2), ..patient() };
    let server = echo(settings);
    let (mut sender, connection) = client(&server).await;
    for _ in 0..2 {
        assert_eq!(answer(&mut sender, Method::GET, "/", "").await.0, StatusCode::OK);
    }
    within(connection).await.unwrap().unwrap();
    // The same for HTTP/1.1.
    let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut client = server.connect().await;
    client.send(get).await;
    assert!(!client.until("<GET / >").await.contains("connection:"));
    client.send(get).await;
    let last = client.rest().await.unwrap();
    assert!(last.contains("connection: close") && last.ends_with("<GET / >"), "{last}");
}
