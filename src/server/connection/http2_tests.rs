//! HTTP/2 over real sockets: by a client that keeps to the rules, and by one that writes its own frames.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::test_support::{Client, TestServer, patient, streamed, text, within};
use super::{ConnectionSettings, Http2Settings};

const SHORT: Duration = Duration::from_millis(250);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types of frames, and flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

// Errors.
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

type Sender = SendRequest<Full<Bytes>>;

/// Answers every request with its method, path and body.
fn echo(settings: ConnectionSettings) -> TestServer {
    TestServer::start(settings, |request| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        text(format!("<{} {} {}>", parts.method, parts.uri.path(), String::from_utf8_lossy(&body)))
    })
}

/// A client of HTTP/2, and the end of its connection.
async fn client(server: &TestServer) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let stream = server.connect().await.0;
    let (sender, connection) = within(handshake(TokioExecutor::new(), TokioIo::new(stream))).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn request(method: Method, path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let uri = format!("http://x{path}");
    Request::builder().method(method).uri(uri).body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

async fn answer(sender: &mut Sender, method: Method, path: &str, body: &'static str) -> (StatusCode, String) {
    let response = within(sender.send_request(request(method, path, body))).await.unwrap();
    let status = response.status();
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// A client that writes frames.
struct Frames(Client);

impl Frames {
    /// Begins with these settings: pairs of identifier and value.
    async fn begin(server: &TestServer, settings: &[(u16, u32)]) -> Self {
        let mut client = server.connect().await;
        client.send(PREFACE).await;
        let mut frames = Self(client);
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        frames.send(&frame(SETTINGS, 0, 0, &payload)).await;
        frames
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.send(bytes).await;
    }

    /// Sends what the server may not want to hear any more.
    async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        use tokio::io::AsyncWriteExt as _;
        within(self.0.0.write_all(bytes)).await
    }

    /// The next frame: type, stream and payload.
    async fn next(&mut self) -> io::Result<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        within(self.0.0.read_exact(&mut head)).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        within(self.0.0.read_exact(&mut payload)).await?;
        Ok((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    }

    /// Frames until one of this type, which is the last returned.
    async fn until(&mut self, kind: u8) -> (u32, Vec<u8>) {
        loop {
            let (found, stream, payload) = self.next().await.unwrap();
            if found == kind {
                return (stream, payload);
            }
        }
    }

    /// Acknowledges what is to be, until the connection ends.
    async fn part(&mut self) {
        while let Ok((kind, _, payload)) = self.next().await {
            if kind == PING {
                self.send(&frame(PING, ACK, 0, &payload)).await;
            }
        }
    }

    /// How the connection ends: with which error in a GOAWAY, or `None` when it ends without one, or is reset.
    async fn end(&mut self) -> Option<u32> {
        let mut error = None;
        while let Ok((kind, _, payload)) = self.next().await {
            if kind == GOAWAY {
                error = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
        error
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// GET of `/`, by the indexes of HPACK's static table.
fn get(stream: u32) -> Vec<u8> {
    let block = [&[0x82, 0x86, 0x84, 0x01, 1][..], b"x"].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

fn reset(stream: u32, error: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &error.to_be_bytes())
}

#[tokio::test]
async fn requests_share_a_connection() {
    let server = echo(patient());
    let (mut one, _connection) = client(&server).await;
    let mut two = one.clone();
    let (first, second) =
        tokio::join!(answer(&mut one, Method::GET, "/1", ""), answer(&mut two, Method::PUT, "/2", "body"));
    assert_eq!(first, (StatusCode::OK, "<GET /1 >".to_owned()));
    assert_eq!(second, (StatusCode::OK, "<PUT /2 body>".to_owned()));
}

#[tokio::test]
async fn a_long_answer_comes_whole() {
    let long: String = ('a'..='z').cycle().take(3_000_000).collect();
    let expected = long.clone();
    let server = TestServer::start(patient(), move |_| {
        let long = long.clone();
        async move { text(long) }
    });
    let (mut sender, _connection) = client(&server).await;
    assert!(answer(&mut sender, Method::GET, "/", "").await.1 == expected);
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let server = echo(patient());
    let (mut sender, _connection) = client(&server).await;
    let response = within(sender.send_request(request(Method::HEAD, "/1", ""))).await.unwrap();
    assert_eq!(response.headers()["content-length"], "10");
    assert_eq!(within(response.into_body().collect()).await.unwrap().to_bytes(), "");
    assert_eq!(answer(&mut sender, Method::GET, "/2", "").await.1, "<GET /2 >");
}

#[tokio::test]
async fn what_only_http_1_says_is_not_said() {
    let server = TestServer::start(patient(), |_| async {
        let mut response = text("x");
        response.headers_mut().insert("connection", "close".parse().unwrap());
        response
    });
    let (mut sender, _connection) = client(&server).await;
    for _ in 0..2 {
        let response = within(sender.send_request(request(Method::GET, "/", ""))).await.unwrap();
        assert!(!response.headers().contains_key("connection"));
    }
}

#[tokio::test]
async fn the_preface_may_come_in_pieces() {
    let server = echo(patient());
    let mut client = server.connect().await;
    for piece in PREFACE.chunks(5) {
        client.send(piece).await;
        tokio::task::yield_now().await;
    }
    let mut frames = Frames(client);
    frames.send(&[frame(SETTINGS, 0, 0, &[]), get(1)].concat()).await;
    frames.until(DATA).await;
    // What only begins like it is HTTP/1.1, and no request.
    let answer = server.exchange("PRI * HTTP/2.0\r\n\r\nSX").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn where_it_is_not_wanted_it_is_not_spoken() {
    let server = echo(ConnectionSettings { http2: None, ..patient() });
    assert_eq!(server.exchange(PREFACE).await, "");
}

#[tokio::test]
async fn silence_ends_a_connection() {
    // Without a first request, and after the last.
    let server = echo(ConnectionSettings { header_timeout: SHORT, write_timeout: SHORT, ..patient() });
    assert_eq!(Frames::begin(&server, &[]).await.end().await, Some(0));
    let server = echo(ConnectionSettings { idle_timeout: SHORT, ..patient() });
    let mut frames = Frames::begin(&server, &[]).await;
    frames.send(&get(1)).await;
    frames.until(DATA).await;
    assert_eq!(within(frames.until(GOAWAY)).await.1[4..8], [0; 4]);
}

#[tokio::test]
async fn a_client_that_does_not_hear_the_farewell_is_left() {
    let settings = ConnectionSettings { header_timeout: SHORT, write_timeout: SHORT, ..patient() };
    let server = echo(settings);
    // It acknowledges nothing, so the last word of the server never comes.
    let mut frames = Frames::begin(&server, &[]).await;
    frames.send(&get(1)).await;
    frames.until(DATA).await;
    server.shutdown.drain();
    frames.end().await;
}

#[tokio::test]
async fn a_drain_lets_requests_finish_and_takes_no_more() {
    let (go, busy) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (wait, tell) = (Arc::clone(&go), Arc::clone(&busy));
    let mut server = TestServer::start(patient(), move |_| {
        let (wait, tell) = (Arc::clone(&wait), Arc::clone(&tell));
        async move {
            tell.notify_one();
            wait.notified().await;
            text("done")
        }
    });
    let mut frames = Frames::begin(&server, &[]).await;
    frames.send(&get(1)).await;
    within(busy.notified()).await;
    server.shutdown.drain();
    frames.until(GOAWAY).await;
    go.notify_one();
    assert_eq!(frames.until(DATA).await, (1, b"done".to_vec()));
    frames.part().await;
    server.ended().await;
}

#[tokio::test]
async fn an_idle_connection_is_drained_at_once() {
    let mut server = echo(patient());
    let (mut sender, connection) = client(&server).await;
    assert_eq!(answer(&mut sender, Method::GET, "/", "").await.0, StatusCode::OK);
    server.shutdown.drain();
    within(connection).await.unwrap().unwrap();
    server.ended().await;
}

#[tokio::test]
async fn a_cut_never_looks_like_an_end() {
    let (send, mut senders) = mpsc::unbounded_channel();
    let mut server = TestServer::start(patient(), move |_| {
        let (sender, response) = streamed();
        send.send(sender).unwrap();
        async move { response }
    });
    let (mut sender, _connection) = client(&server).await;
    let response = within(sender.send_request(request(Method::GET, "/", ""))).await.unwrap();
    let feed = within(senders.recv()).await.unwrap();
    feed.send(Ok(Bytes::from_static(b"half"))).unwrap();
    let mut body = response.into_body();
    assert_eq!(within(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "half");
    server.shutdown.cut();
    assert!(within(body.frame()).await.unwrap().is_err());
    server.ended().await;
    // What was answering is gone with the connection.
    within(feed.closed()).await;
}

#[tokio::test]
async fn a_body_that_breaks_resets_its_stream_and_no_other() {
    let server = TestServer::start(patient(), |_| async {
        let (sender, response) = streamed();
        sender.send(Ok(Bytes::from_static(b"half"))).unwrap();
        sender.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        response
    });
    let (mut sender, _connection) = client(&server).await;
    for _ in 0..2 {
        // The answer's head may have been on its way, or not.
        if let Ok(response) = within(sender.send_request(request(Method::GET, "/", ""))).await {
            assert!(within(response.into_body().collect()).await.is_err());
        }
    }
}

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
    frames.send(&get(1)).await;
    let (mut taken, mut ended) = (0, None);
    while ended.is_none() {
        match frames.next().await.unwrap() {
            (DATA, 1, payload) => taken += payload.len(),
            (RST_STREAM, 1, payload) => ended = Some(payload),
            _ => {}
        }
    }
    assert_eq!((taken, ended.unwrap()), (40_000, CANCEL.to_be_bytes().to_vec()));
    // The connection is as good as before.
    frames.send(&get(3)).await;
    assert_eq!(frames.until(HEADERS).await.0, 3);
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
