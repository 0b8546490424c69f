//! Connections over real sockets: time-outs, limits, keep-alive. How they end stands in `ending_tests`.

use std::time::Duration;

use http_body_util::BodyExt;

use super::ConnectionSettings;
use super::test_support::{TestServer, patient, text, within};

const SHORT: Duration = Duration::from_millis(250);

/// Answers every request with its method, path and body.
fn echo(settings: ConnectionSettings) -> TestServer {
    TestServer::start(settings, |request| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        text(format!("<{} {} {}>", parts.method, parts.uri, String::from_utf8_lossy(&body)))
    })
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let server = echo(patient());
    let mut client = server.connect().await;
    for number in 0..3 {
        client.send(format!("PUT /{number} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody")).await;
        let answer = client.until(&format!("<PUT /{number} body>")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(!answer.contains("connection:"), "{answer}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = echo(patient());
    let mut client = server.connect().await;
    let get = |path| format!("GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n");
    client.send([get("a"), get("b"), "PUT /c HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nC".into()].concat()).await;
    let answers = client.until("<PUT /c C>").await;
    let order: Vec<_> = ["<GET /a >", "<GET /b >", "<PUT /c C>"].iter().map(|part| answers.find(part)).collect();
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{answers}");
    // What begins in the same packet as a whole request may end in a later one.
    client.send([get("d"), "GET /e HT".into()].concat()).await;
    client.until("<GET /d >").await;
    client.send("TP/1.1\r\nhost: x\r\n\r\n").await;
    client.until("<GET /e >").await;
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_its_answer_and_the_end() {
    let server = echo(patient());
    let answer = server.exchange("GET /old HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("<GET /old >"), "{answer}");

    let mut client = server.connect().await;
    for _ in 0..2 {
        client.send("GET /kept HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
        assert!(client.until("<GET /kept >").await.contains("connection: keep-alive"));
    }
}

#[tokio::test]
async fn a_head_that_does_not_end_is_answered_with_408() {
    let server = echo(ConnectionSettings { header_timeout: SHORT, ..patient() });
    let answer = server.exchange("GET / HTTP/1.1\r\nhost: ").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("connection: close"), "{answer}");
    // Also after a request that was whole, and however steadily it trickles.
    let mut client = server.connect().await;
    client.send("GET /1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.until("<GET /1 >").await;
    let (mut reading, mut writing) = client.0.into_split();
    let trickle = async {
        use tokio::io::AsyncWriteExt;
        writing.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 20).await;
        }
    };
    let mut heard = [0; 12];
    tokio::select! {
        () = trickle => {}
        read = within(tokio::io::AsyncReadExt::read_exact(&mut reading, &mut heard)) => {
            read.unwrap();
        }
    }
    assert_eq!(heard, *b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_new_connection_that_stays_silent_is_closed_without_a_word() {
    let server = echo(ConnectionSettings { header_timeout: SHORT, ..patient() });
    assert_eq!(server.exchange("").await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word_after_the_idle_time_out() {
    let server = echo(ConnectionSettings { idle_timeout: SHORT, ..patient() });
    let answer = server.exchange("GET /1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.ends_with("<GET /1 >"), "{answer}");
}

#[tokio::test]
async fn the_header_time_out_does_not_run_while_a_connection_is_idle() {
    let server = echo(ConnectionSettings { header_timeout: SHORT, ..patient() });
    let mut client = server.connect().await;
    client.send("GET /1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.until("<GET /1 >").await;
    tokio::time::sleep(SHORT * 2).await;
    client.send("GET /2 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.until("<GET /2 >").await;
}

#[tokio::test]
async fn no_time_out_of_heads_touches_a_body() {
    let server = echo(ConnectionSettings { header_timeout: SHORT, idle_timeout: SHORT, ..patient() });
    let mut client = server.connect().await;
    client.send("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbo").await;
    tokio::time::sleep(SHORT * 2).await;
    client.send("dy").await;
    client.until("<PUT / body>").await;
}

#[tokio::test]
async fn heads_beyond_the_limits_are_answered_with_431() {
    let server = echo(ConnectionSettings { max_headers: 10, max_header_size: 9000, ..patient() });
    let with = |lines: usize, value: usize| {
        let lines = format!("x-name: {}\r\n", "v".repeat(value)).repeat(lines);
        format!("GET /ok HTTP/1.1\r\nconnection: close\r\n{lines}\r\n")
    };
    assert!(server.exchange(with(9, 900)).await.starts_with("HTTP/1.1 200 "));
    for (lines, value) in [(10, 1), (500, 1), (1, 9000), (9, 1000), (1, 400_000)] {
        let answer = server.exchange(with(lines, value)).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{lines} lines of {value}: {answer}");
    }
    let by_default = echo(patient());
    assert!(by_default.exchange(with(99, 1)).await.starts_with("HTTP/1.1 200 "));
    assert!(by_default.exchange(with(100, 1)).await.starts_with("HTTP/1.1 431 "));
    assert!(by_default.exchange(with(1, 60_000)).await.starts_with("HTTP/1.1 200 "));
    assert!(by_default.exchange(with(1, 70_000)).await.starts_with("HTTP/1.1 431 "));
}
