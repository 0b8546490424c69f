//! Idle connections of which only the socket is kept: nobody notices.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::test_support::{Client, Handler, TestServer, patient, text};
use super::{ConnectionInfo, ConnectionSettings};
use crate::server::listener::Listeners;
use crate::server::shutdown::Shutdown;
use crate::server::worker::Workers;

const SOON: Duration = Duration::from_millis(20);
const SHORT: Duration = Duration::from_millis(400);

fn parking() -> ConnectionSettings {
    ConnectionSettings { park_after: SOON, ..patient() }
}

/// A server that says how many services it has made.
fn counting(settings: ConnectionSettings) -> (TestServer, Arc<AtomicUsize>) {
    let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], NonZeroUsize::MIN).unwrap();
    let address = listeners.local_addrs()[0];
    let (shutdown, made) = (Shutdown::new(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&made);
    let workers = Workers::start("test", listeners, settings, &shutdown, move |_| {
        let count = Arc::clone(&count);
        move |_: &ConnectionInfo| {
            count.fetch_add(1, Ordering::Relaxed);
            Handler(|_| async { text("done") })
        }
    });
    (TestServer { address, shutdown, workers: workers.unwrap() }, made)
}

async fn get(client: &mut Client) {
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(client.until("done").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_parked_connection_answers_the_next_request_by_a_new_service() {
    let (server, made) = counting(parking());
    let mut client = server.connect().await;
    for number in 1..4 {
        get(&mut client).await;
        get(&mut client).await;
        assert_eq!(made.load(Ordering::Relaxed), number, "it is not parked between requests that follow each other");
        tokio::time::sleep(SOON * 10).await;
    }
    // Over the pieces of a head, too.
    client.send("GET / HTT").await;
    tokio::time::sleep(SOON * 5).await;
    client.send("P/1.1\r\nhost: x\r\n\r\n").await;
    client.until("done").await;
}

#[tokio::test]
async fn the_time_outs_of_a_parked_connection_are_those_of_any_other() {
    let (server, _) = counting(ConnectionSettings { idle_timeout: SHORT, ..parking() });
    let mut client = server.connect().await;
    get(&mut client).await;
    let began = Instant::now();
    assert_eq!(client.rest().await.unwrap(), "");
    assert!(began.elapsed() + SOON >= SHORT, "{:?}", began.elapsed());

    let (server, _) = counting(ConnectionSettings { header_timeout: SHORT, ..parking() });
    let mut client = server.connect().await;
    get(&mut client).await;
    tokio::time::sleep(SHORT * 2).await;
    client.send("GET / HTTP/1.1\r\nhost").await;
    assert!(client.rest().await.unwrap().starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_drain_ends_parked_connections_and_answers_what_has_come() {
    let (mut server, _) = counting(parking());
    let (mut silent, mut busy) = (server.connect().await, server.connect().await);
    get(&mut silent).await;
    get(&mut busy).await;
    tokio::time::sleep(SOON * 10).await;
    busy.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.shutdown.drain();
    assert_eq!(silent.rest().await.unwrap(), "");
    assert!(busy.rest().await.unwrap().ends_with("done"));
    server.ended().await;
}

#[tokio::test]
async fn what_the_client_has_not_taken_is_not_forgotten() {
    let server = TestServer::start(parking(), |_| async { text(vec![b'x'; 32 << 20]) });
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    tokio::time::sleep(SOON * 10).await;
    let answer = client.rest().await.unwrap();
    assert_eq!(answer.len() - answer.find("\r\n\r\n").unwrap() - 4, 32 << 20);
    // Nor where the connection goes on.
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(SOON * 10).await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let answers = client.rest().await.unwrap();
    assert_eq!(answers.matches('x').count(), 64 << 20);
}
