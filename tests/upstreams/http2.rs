//! Upstreams over HTTP/2: shared connections, and the same promises about bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use bytes::Bytes;
use http::{Response, Version};
use tokio::sync::Semaphore;

use crate::backend::{Backend, Speaks, ok, parts, text};
use crate::front::{BROKEN, Front};
use crate::pki::Ca;
use crate::site::{DIGEST, UPLOAD, blob};
use crate::support::until;
use crate::wire::{LIMIT, Wire};

const HTTP2: &str = "http2 = true";

fn plain(backend: &Backend) -> [String; 1] {
    [format!("http://127.0.0.1:{}", backend.port)]
}

#[test]
fn many_requests_share_one_connection() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let waiting = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&waiting);
    let backend = Backend::start(Speaks::Http2, move |_, _| {
        let (gate, waiting) = (Arc::clone(&gate), Arc::clone(&waiting));
        Box::pin(async move {
            waiting.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            text(200, "ok")
        })
    });
    let front = Front::new(&plain(&backend), HTTP2);
    let mut clients: Vec<Wire> = (0..30)
        .map(|_| {
            let mut client = front.connect();
            client.send(format!("{}\r\n", front.begin("GET", &blob())));
            client
        })
        .collect();
    until("all are there at once", LIMIT, || (seen.load(Ordering::SeqCst) == 30).then_some(()));
    opened.add_permits(30);
    for client in &mut clients {
        let (head, body) = client.reply();
        assert_eq!((head.status(), body.text().as_str()), (200, "ok"));
    }
    let records = backend.records();
    assert!(records.iter().all(|record| record.version == Version::HTTP_2), "{records:?}");
    assert!(records.iter().all(|record| record.connection == records[0].connection), "{records:?}");
    assert_eq!(records[0].host, front.gateway.host(), "`:authority` is what the client said");
}

#[test]
fn over_tls_the_peer_chooses() {
    let ca = Ca::new();
    for (alpn, version) in
        [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"], Version::HTTP_11), (&[], Version::HTTP_11)]
    {
        let backend = Backend::start(Speaks::Tls(ca.server(ca.sign(&["localhost"]), alpn, false)), ok);
        let urls = [format!("https://localhost:{}", backend.port)];
        let front = Front::new(&urls, &format!("{HTTP2}\ntls = {{ ca = {:?} }}", ca.file()));
        for _ in 0..3 {
            let (head, body) = front.get();
            assert_eq!((head.status(), body.text().as_str()), (200, "ok"), "{alpn:?}");
        }
        let long = "x".repeat(1 << 20);
        assert_eq!(front.ask("PATCH", UPLOAD, &long).0.status(), 200);
        let records = backend.records();
        assert!(records.iter().all(|record| record.version == version), "{alpn:?}: {records:?}");
        assert!(records.iter().all(|record| record.connection == records[0].connection), "{alpn:?}: {records:?}");
        assert!(backend.bodies().contains(&(1 << 20, true)));
        // Without the setting it is not offered.
        let front = Front::new(&urls, &format!("tls = {{ ca = {:?} }}", ca.file()));
        assert_eq!(front.get().0.status(), 200);
        assert_eq!(backend.records().last().unwrap().version, Version::HTTP_11);
    }
}

#[test]
fn who_does_not_speak_it_is_502() {
    let backend = Backend::start(Speaks::Plain, ok);
    let front = Front::new(&plain(&backend), HTTP2);
    assert_eq!(front.get().0.status(), 502);
    front.wait_for_log("closed the connection or sent no valid response");
}

#[test]
fn an_early_answer_is_heard() {
    let backend = Backend::start(Speaks::Http2, |_, _| Box::pin(async { text(413, "early") }));
    Front::new(&plain(&backend), HTTP2).hears_early_answers();
}

#[test]
fn a_broken_upload_is_reset() {
    let backend = Backend::start(Speaks::Http2, ok);
    let front = Front::new(&plain(&backend), HTTP2);
    for framing in BROKEN {
        front.breaks_an_upload_off(&backend, framing);
        // Only the one request: the connection is good for others.
        assert_eq!(front.get().0.status(), 200);
    }
    let records = backend.records();
    assert!(records.iter().all(|record| record.connection == records[0].connection), "{records:?}");
}

#[test]
fn an_upload_that_was_answered_early_and_given_up_is_reset() {
    let (told, hears) = channel();
    let backend = Backend::start(Speaks::Http2, move |request, seen| {
        let told = told.clone();
        Box::pin(async move {
            tokio::spawn(async move {
                let _ = told.send(seen.read(request.into_body()).await);
            });
            // Long enough that nobody has read it to its end when the client goes away.
            Response::new(parts((0..10_000).map(|_| Ok(Bytes::from(vec![b'x'; 64 * 1024])))))
        })
    });
    let front = Front::new(&plain(&backend), HTTP2);
    let mut client = front.connect();
    client.send(format!("{}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", front.begin("PATCH", UPLOAD)));
    assert_eq!(client.head().status(), 200);
    client.leave(true);
    assert_eq!(hears.recv_timeout(LIMIT), Ok(false), "it must not look whole");
}

/// A server by the protocol library itself, which can end a stream in ways that no HTTP library would. `answer` gets what to answer with.
fn by_hand(answer: impl Fn(h2::server::SendResponse<Bytes>) + Send + Sync + 'static) -> (tokio::runtime::Runtime, u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let agent = request.headers().get("user-agent");
                    if agent.is_some_and(|agent| agent.as_bytes().starts_with(b"tidegate/")) {
                        let _ = respond.send_response(Response::new(()), true);
                    } else {
                        answer(respond);
                    }
                }
            });
        }
    });
    (runtime, port)
}

#[test]
fn an_answer_that_is_cut_off_is_never_whole() {
    for (length, reason) in [
        (None, h2::Reason::NO_ERROR),
        (Some("100"), h2::Reason::NO_ERROR),
        (None, h2::Reason::INTERNAL_ERROR),
        (Some("100"), h2::Reason::CANCEL),
    ] {
        let (_runtime, port) = by_hand(move |mut respond| {
            let mut response = Response::builder();
            if let Some(length) = length {
                response = response.header("content-length", length);
            }
            let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"part"), false).unwrap();
            tokio::spawn(async move {
                // What was sent goes out first.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                stream.send_reset(reason);
            });
        });
        let front = Front::new(&[format!("http://127.0.0.1:{port}")], HTTP2);
        let (head, body) = front.get();
        assert_eq!((head.status(), body.text().as_str(), body.whole), (200, "part", false), "{length:?} {reason:?}");
    }
}

#[test]
fn what_the_peer_has_not_looked_at_is_sent_again() {
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    let (_runtime, port) = by_hand(move |mut respond| {
        // Every third request is turned away.
        if counted.fetch_add(1, Ordering::SeqCst) % 3 == 2 {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            return;
        }
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
    });
    let front = Front::new(&[format!("http://127.0.0.1:{port}")], HTTP2);
    let closing = format!("{UPLOAD}?digest={DIGEST}");
    for (method, target) in
        [("GET", blob().as_str()), ("POST", "/v2/team/app/blobs/uploads/"), ("PUT", &closing), ("DELETE", &blob())]
    {
        for _ in 0..6 {
            assert_eq!(front.ask(method, target, "").0.status(), 200, "{method}");
        }
    }
    assert!(refused.load(Ordering::SeqCst) > 24);
}
