//! How connections end: lingering, draining, cutting, and what must not look whole.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};

use super::test_support::{Client, Handler, TestBody, TestServer, patient, streamed, text, within};
use super::{ConnectionInfo, ConnectionSettings};
use crate::server::linger::LingerSettings;
use crate::server::listener::Listeners;
use crate::server::shutdown::Shutdown;
use crate::server::worker::Workers;

const SHORT: Duration = Duration::from_millis(250);
const ONE: &str = "GET /1 HTTP/1.1\r\nhost: x\r\n\r\n";

fn early_refusal() -> Response<TestBody> {
    let mut response = text("refused ".repeat(1000));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[tokio::test]
async fn a_client_in_the_middle_of_sending_reads_the_whole_early_answer() {
    let server = TestServer::start(patient(), |_unread| async { early_refusal() });
    for head in ["content-length: 20971520", "content-length: 20971520\r\nexpect: 100-continue"] {
        for run in 0..25 {
            let mut client = server.connect().await;
            client.send(format!("PUT /blob HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n")).await;
            // Sends all of it before it reads anything, as a careless client does.
            let piece = vec![0; 64 * 1024];
            for sent in 0..320 {
                let written = within(client.0.write_all(&piece)).await;
                assert!(written.is_ok(), "run {run}: {written:?} after {sent} pieces");
            }
            let answer = client.rest().await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
            assert_eq!(answer.matches("refused ").count(), 1000);
        }
    }
}

#[tokio::test]
async fn lingering_is_bounded_in_bytes_and_in_time() {
    let bytes = LingerSettings { bytes: 1 << 20, ..patient().linger };
    let quiet = LingerSettings { quiet: SHORT, ..patient().linger };
    let total = LingerSettings { total: SHORT, ..patient().linger };
    for (linger, sends) in [(bytes, true), (quiet, false), (total, true)] {
        let server = TestServer::start(ConnectionSettings { linger, ..patient() }, |_| async { early_refusal() });
        let mut client = server.connect().await;
        client.send("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n").await;
        client.until("refused ").await;
        // Only the end of the lingering makes writing fail: nothing else ever ends this connection.
        within(async {
            while client.0.write_all(&[0; 4096]).await.is_ok() {
                tokio::time::sleep(if sends { Duration::from_micros(50) } else { SHORT * 2 }).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn giving_up_lingering_takes_nothing_from_a_slow_reader() {
    let linger = LingerSettings { quiet: SHORT / 50, ..patient().linger };
    let server = TestServer::start(ConnectionSettings { linger, ..patient() }, |_| async {
        let mut response = text(vec![b'x'; 256 * 1024]);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    });
    // Takes little at a time, so that much is still in the server's kernel when the server gives up.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut client = Client(socket.connect(server.address).await.unwrap());
    client.send(ONE).await;
    let mut heard = Vec::new();
    let mut piece = [0; 8 * 1024];
    loop {
        tokio::time::sleep(SHORT / 25).await;
        match within(client.0.read(&mut piece)).await.unwrap() {
            0 => break,
            read => heard.extend_from_slice(&piece[..read]),
        }
    }
    assert!(heard.ends_with("x".repeat(256 * 1024).as_bytes()));
}

#[tokio::test]
async fn a_client_that_gives_up_ends_the_request() {
    let (dropped, mut drops) = mpsc::unbounded_channel::<()>();
    let begun = Arc::new(Notify::new());
    let beginning = Arc::clone(&begun);
    let server = TestServer::start(patient(), move |_| {
        let (held, begun) = (dropped.clone(), Arc::clone(&beginning));
        async move {
            let _held = Ended(held);
            begun.notify_one();
            std::future::pending().await
        }
    });
    let mut closing = server.connect().await;
    closing.send(ONE).await;
    within(begun.notified()).await;
    drop(closing);
    within(drops.recv()).await.unwrap();

    let mut half_closing = server.connect().await;
    half_closing.send(ONE).await;
    within(begun.notified()).await;
    half_closing.0.shutdown().await.unwrap();
    within(drops.recv()).await.unwrap();
    // There is no answer to hear: whether it ends or is reset is the same.
    assert_eq!(half_closing.rest().await.unwrap_or_default(), "");
}

struct Ended(mpsc::UnboundedSender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A server whose answers are streamed from outside, and where their senders come.
type Senders = mpsc::UnboundedReceiver<mpsc::UnboundedSender<io::Result<Bytes>>>;

fn streaming(settings: ConnectionSettings) -> (TestServer, Senders) {
    let (pass_on, senders) = mpsc::unbounded_channel();
    let server = TestServer::start(settings, move |_| {
        let (sender, response) = streamed();
        pass_on.send(sender).unwrap();
        async move { response }
    });
    (server, senders)
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_after_the_write_time_out() {
    let (server, mut senders) = streaming(ConnectionSettings { write_timeout: SHORT, ..patient() });
    let mut client = server.connect().await;
    client.send(ONE).await;
    let sender = within(senders.recv()).await.unwrap();
    let much = Bytes::from(vec![0; 1 << 20]);
    for _ in 0..64 {
        let _ = sender.send(Ok(much.clone()));
    }
    within(sender.closed()).await;
    assert_eq!(client.rest().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_broken_body_is_reset_even_where_only_the_end_delimits_it() {
    let (server, mut senders) = streaming(patient());
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let sender = within(senders.recv()).await.unwrap();
    sender.send(Ok(Bytes::from_static(b"half"))).unwrap();
    client.until("half").await;
    sender.send(Err(io::Error::other("upstream broke"))).unwrap();
    assert_eq!(client.rest().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_panic_ends_one_connection_only() {
    let server = TestServer::start(patient(), |request| async move {
        assert_ne!(request.uri().path(), "/panic", "as the test wants it");
        text("done")
    });
    let mut other = server.connect().await;
    other.send(ONE).await;
    other.until("done").await;
    let mut client = server.connect().await;
    client.send("GET /panic HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.rest().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    other.send(ONE).await;
    other.until("done").await;
}

#[tokio::test]
async fn a_cut_resets_what_is_under_way() {
    let (mut server, mut senders) = streaming(patient());
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let sender = within(senders.recv()).await.unwrap();
    sender.send(Ok(Bytes::from_static(b"half"))).unwrap();
    client.until("half").await;
    server.shutdown.drain();
    server.shutdown.cut();
    server.ended().await;
    assert_eq!(client.rest().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_drain_lets_a_streaming_response_finish() {
    let (mut server, mut senders) = streaming(patient());
    let mut client = server.connect().await;
    client.send(ONE).await;
    let sender = within(senders.recv()).await.unwrap();
    sender.send(Ok(Bytes::from_static(b"first"))).unwrap();
    client.until("first\r\n").await;
    server.shutdown.drain();
    refuses_connections(server.address).await;
    sender.send(Ok(Bytes::from_static(b"last"))).unwrap();
    drop(sender);
    assert!(client.rest().await.unwrap().ends_with("4\r\nlast\r\n0\r\n\r\n"));
    drop(client);
    server.ended().await;
}

#[tokio::test]
async fn a_drain_closes_idle_connections_at_once_and_marks_the_last_answers() {
    let release = Arc::new(Notify::new());
    let begun = Arc::new(Notify::new());
    let (releasing, beginning) = (Arc::clone(&release), Arc::clone(&begun));
    let mut server = TestServer::start(patient(), move |request| {
        let (release, begun) = (Arc::clone(&releasing), Arc::clone(&beginning));
        async move {
            if request.uri().path() == "/slow" {
                begun.notify_one();
                release.notified().await;
            }
            text("done")
        }
    });
    let mut fresh = server.connect().await;
    let mut kept = server.connect().await;
    kept.send(ONE).await;
    kept.until("done").await;
    let mut within_head = server.connect().await;
    within_head.send(ONE).await;
    within_head.until("done").await;
    within_head.send("GET /2 HT").await;
    let mut slow = server.connect().await;
    slow.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    within(begun.notified()).await;

    server.shutdown.drain();
    assert_eq!(fresh.rest().await.unwrap(), "");
    assert_eq!(kept.rest().await.unwrap(), "");
    release.notify_one();
    let last = slow.rest().await.unwrap();
    assert!(last.contains("connection: close") && last.ends_with("done"), "{last}");
    within_head.send("TP/1.1\r\nhost: x\r\n\r\n").await;
    let last = within_head.rest().await.unwrap();
    assert!(last.contains("connection: close") && last.ends_with("done"), "{last}");
    drop((slow, within_head));
    server.ended().await;
}

#[tokio::test]
async fn what_waits_in_the_accept_queue_is_still_answered() {
    let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], NonZeroUsize::new(2).unwrap()).unwrap();
    let address = listeners.local_addrs()[0];
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Client(TcpStream::connect(address).await.unwrap());
        client.send(ONE).await;
        clients.push(client);
    }
    let shutdown = Shutdown::new();
    shutdown.drain();
    let mut workers = Workers::start("test", listeners, patient(), &shutdown, |_| {
        |_: &ConnectionInfo| Handler(|_| async { text("done") })
    })
    .unwrap();
    for client in &mut clients {
        let answer = client.rest().await.unwrap();
        assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    }
    drop(clients);
    within(workers.all_ended()).await;
}

#[tokio::test]
async fn a_request_that_came_before_the_drain_is_answered_even_when_nobody_has_looked_yet() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    std::io::Write::write_all(&mut client, ONE.as_bytes()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    client.set_nonblocking(true).unwrap();
    let shutdown = Shutdown::new();
    shutdown.drain();
    // The runtime has had no turn since this socket was given to it.
    let stream = TcpStream::from_std(accepted).unwrap();
    let peer = stream.peer_addr().unwrap().into();
    let info = ConnectionInfo { peer, local: stream.local_addr().ok(), listener: 0, worker: 0, certificate: None };
    let serving = tokio::spawn(super::serve(
        stream.into(),
        info,
        None,
        |_: &ConnectionInfo| Handler(|_| async { text("done") }),
        Arc::new(patient()),
        shutdown.watch(),
    ));
    let mut client = Client(TcpStream::from_std(client).unwrap());
    assert!(client.rest().await.unwrap().ends_with("done"));
    drop(client);
    within(serving).await.unwrap();
}

#[tokio::test]
async fn the_service_learns_where_a_connection_comes_from() {
    let loopback = ["127.0.0.1:0".parse().unwrap(), "127.0.0.2:0".parse().unwrap()];
    let listeners = Listeners::bind(&loopback, NonZeroUsize::new(2).unwrap()).unwrap();
    let shutdown = Shutdown::new();
    let workers = Workers::start("test", listeners, patient(), &shutdown, |worker| {
        move |info: &ConnectionInfo| {
            assert_eq!(info.worker, worker);
            let text_of_it = format!("{} {} {}", info.listener, info.local.unwrap(), info.peer);
            Handler(move |_| {
                let answer = text(text_of_it.clone());
                async move { answer }
            })
        }
    })
    .unwrap();
    for (position, address) in workers.local_addrs().into_iter().enumerate() {
        for _ in 0..8 {
            let mut client = Client(TcpStream::connect(address).await.unwrap());
            client.send(ONE).await;
            let peer = client.0.local_addr().unwrap();
            client.until(&format!("\r\n\r\n{position} {address} {peer}")).await;
        }
    }
    shutdown.cut();
}

async fn refuses_connections(address: SocketAddr) {
    within(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_leaves_answers_each_connection_once_more() {
    let server = TestServer::start(patient(), |_| async { text("done") });
    let mut kept = server.connect().await;
    kept.send(ONE).await;
    assert!(!kept.until("done").await.contains("connection: close"));
    server.shutdown.leave();
    // The worker hears of it by itself, and soon.
    loop {
        let mut client = server.connect().await;
        client.send(ONE).await;
        if client.until("done").await.contains("connection: close") {
            break;
        }
    }
    kept.send(ONE).await;
    let answer = kept.rest().await.unwrap();
    assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
}

#[tokio::test]
async fn new_settings_are_for_connections_to_come() {
    let listeners = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], NonZeroUsize::MIN).unwrap();
    let address = listeners.local_addrs()[0];
    let (shutdown, settings) = (Shutdown::new(), super::LiveSettings::from(patient()));
    let _workers = Workers::start("test", listeners, settings.clone(), &shutdown, |_| {
        |_: &ConnectionInfo| Handler(|_| async { text("done") })
    });
    let mut open = Client(TcpStream::connect(address).await.unwrap());
    open.send(ONE).await;
    open.until("done").await;
    settings.set(ConnectionSettings { max_header_size: 8 * 1024, ..patient() });
    let long = ONE.replace("host: x", &format!("host: x\r\nlong: {}", "x".repeat(16 * 1024)));
    open.send(&long).await;
    assert!(open.until("done").await.starts_with("HTTP/1.1 200 "));
    let mut new = Client(TcpStream::connect(address).await.unwrap());
    new.send(&long).await;
    let answer = new.rest().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    shutdown.cut();
}
