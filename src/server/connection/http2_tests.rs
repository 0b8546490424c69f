//! HTTP/2 over real sockets: by a client that keeps to the rules, and by one that writes its own frames.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::ConnectionSettings;
use super::frames::{DATA, Frames, GOAWAY, PREFACE, SETTINGS, frame, get};
use super::test_support::{TestServer, patient, streamed, text, within};
use crate::server::linger::LingerSettings;

const SHORT: Duration = Duration::from_millis(250);

pub(super) type Sender = SendRequest<Full<Bytes>>;

/// Answers every request with its method, path and body.
pub(super) fn echo(settings: ConnectionSettings) -> TestServer {
    TestServer::start(settings, |request| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        text(format!("<{} {} {}>", parts.method, parts.uri.path(), String::from_utf8_lossy(&body)))
    })
}

/// A client of HTTP/2, and the end of its connection.
pub(super) async fn client(server: &TestServer) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let stream = server.connect().await.0;
    let (sender, connection) = within(handshake(TokioExecutor::new(), TokioIo::new(stream))).await.unwrap();
    (sender, tokio::spawn(connection))
}

/// A request.
pub(super) fn request(method: Method, path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let uri = format!("http://x{path}");
    Request::builder().method(method).uri(uri).body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

/// Status and body of the answer.
pub(super) async fn answer(
    sender: &mut Sender,
    method: Method,
    path: &str,
    body: &'static str,
) -> (StatusCode, String) {
    let response = within(sender.send_request(request(method, path, body))).await.unwrap();
    let status = response.status();
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
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
    let linger = LingerSettings { quiet: SHORT, ..patient().linger };
    let server = echo(ConnectionSettings { header_timeout: SHORT, linger, ..patient() });
    assert_eq!(Frames::begin(&server, &[]).await.end().await, Some(0));
    let server = echo(ConnectionSettings { idle_timeout: SHORT, ..patient() });
    let mut frames = Frames::begin(&server, &[]).await;
    frames.send(&get(1)).await;
    frames.until(DATA).await;
    assert_eq!(within(frames.until(GOAWAY)).await.1[4..8], [0; 4]);
}

#[tokio::test]
async fn a_client_that_does_not_hear_the_farewell_is_left() {
    let linger = LingerSettings { quiet: SHORT, ..patient().linger };
    let server = echo(ConnectionSettings { linger, ..patient() });
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
    // The server lingers for as long as it may until the client ends too.
    drop(frames);
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
