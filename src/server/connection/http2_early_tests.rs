//! Requests over HTTP/2 that are answered before all of them has come.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, SendStream};
use http::Request;

use super::ConnectionSettings;
use super::test_support::{TestServer, patient, text, within};
use crate::server::linger::LingerSettings;

const SHORT: Duration = Duration::from_millis(250);

/// Answers without reading.
fn refusing(linger: LingerSettings) -> TestServer {
    TestServer::start(ConnectionSettings { linger, ..patient() }, |_unread| async { text("refused") })
}

/// Begins an upload, and reads its answer to the end. What is left is the rest to send.
async fn refused(sender: &mut SendRequest<Bytes>) -> SendStream<Bytes> {
    let (response, rest) = sender.send_request(Request::post("http://x/").body(()).unwrap(), false).unwrap();
    let mut body = within(response).await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "refused");
    assert!(within(body.data()).await.is_none());
    rest
}

async fn client(server: &TestServer) -> SendRequest<Bytes> {
    let (sender, connection) = within(h2::client::handshake(server.connect().await.0)).await.unwrap();
    tokio::spawn(connection);
    within(sender.ready()).await.unwrap()
}

/// Sends so many bytes, as the server takes them; none where it does not take any.
async fn send(rest: &mut SendStream<Bytes>, bytes: usize) -> Option<()> {
    let mut left = bytes;
    while left > 0 {
        rest.reserve_capacity(left.min(16 * 1024));
        let room = within(poll_fn(|cx| rest.poll_capacity(cx))).await?.ok()?.min(left);
        rest.send_data(Bytes::from(vec![0; room]), false).ok()?;
        left -= room;
    }
    Some(())
}

#[tokio::test]
async fn what_is_sent_behind_an_answer_is_taken_and_nothing_is_reset() {
    let server = refusing(patient().linger);
    let mut sender = client(&server).await;
    for _ in 0..3 {
        let mut rest = refused(&mut sender).await;
        // More than fits into the windows of stream and connection.
        send(&mut rest, 5 << 20).await.expect("the server takes what is sent into the void");
        rest.send_data(Bytes::new(), true).unwrap();
    }
    refused(&mut sender).await;
}

#[tokio::test]
async fn who_goes_on_for_too_long_is_reset_without_an_error() {
    let bytes = LingerSettings { bytes: 2 << 20, ..patient().linger };
    let quiet = LingerSettings { quiet: SHORT, ..patient().linger };
    let total = LingerSettings { total: SHORT, ..patient().linger };
    for (linger, sends) in [(bytes, true), (quiet, false), (total, true)] {
        let server = refusing(linger);
        let mut sender = client(&server).await;
        let mut rest = refused(&mut sender).await;
        let mut sent = 0;
        while sends && send(&mut rest, 16 * 1024).await.is_some() {
            sent += 16 * 1024;
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
        assert_eq!(within(poll_fn(|cx| rest.poll_reset(cx))).await.unwrap(), Reason::NO_ERROR);
        // What is on its way when the bound is reached fits into the windows.
        assert!(linger.bytes == u64::MAX || (2 << 20..=4 << 20).contains(&sent), "{sent}");
        refused(&mut sender).await;
    }
}
