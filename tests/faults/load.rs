//! Very many requests over TLS, while certificate and configuration change under them.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::Full;
use rustix::process::Signal;

use crate::client::{Client, HTTP1, Settings, as_user, get};
use crate::scaled;
use crate::setup::{Secured, With};
use crate::support::pki::Wanted;
use crate::support::process::{descriptors, resident};
use crate::support::site::{ALICE, BOB, blob};
use crate::support::until;

const CLIENTS: usize = 8;
const RELOADS: usize = 10;
/// How many requests a client sends over one connection, and with one token.
const PER_CONNECTION: usize = 500;
/// How long descriptors of connections that are kept may stay.
const SOON: Duration = Duration::from_secs(30);

/// What the clients tell of.
#[derive(Default)]
struct Told {
    done: AtomicUsize,
    /// The certificate that was there first is not shown any more.
    swapped: AtomicBool,
}

/// GET of a blob, with a token.
fn with_token(token: &str) -> http::Request<Full<bytes::Bytes>> {
    let mut request = get(&blob());
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// Sends `count` requests, each of which has to succeed.
async fn ask(client: Client, count: usize, first: Vec<u8>, told: Arc<Told>) {
    let mut left = count;
    while left > 0 {
        let tokens = client.ask(as_user(get("/token?scope=repository:team/app:pull"), ALICE)).await.unwrap();
        let token: serde_json::Value = serde_json::from_slice(tokens.body()).unwrap();
        let token = token["token"].as_str().unwrap();
        let shown = client.connect().await.unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec();
        if shown != first {
            told.swapped.store(true, Ordering::SeqCst);
        }
        let mut open = client.open().await.unwrap();
        for n in 0..PER_CONNECTION.min(left) {
            let request = if n % 2 == 0 { with_token(token) } else { as_user(get(&blob()), ALICE) };
            let answer = open.ask(request).await.unwrap();
            assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"ok"[..]));
            told.done.fetch_add(1, Ordering::SeqCst);
            left -= 1;
            let closes = answer.headers().get("connection").is_some_and(|value| value == "close");
            if closes || matches!(&open, crate::client::Open::Http2(sender) if sender.is_closed()) {
                break;
            }
        }
    }
}

/// Runs all clients, half of them by HTTP/2, with `during` beside them.
fn run(secured: &Secured, total: usize, first: &[u8], during: impl FnOnce(&Told)) -> bool {
    let told = Arc::new(Told::default());
    let clients: Vec<Client> = [secured.client(), Settings { alpn: HTTP1, ..secured.settings() }.client()].into();
    let (first, shared) = (first.to_vec(), Arc::clone(&told));
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..CLIENTS {
                tasks.spawn(ask(clients[n % 2].clone(), total / CLIENTS, first.clone(), Arc::clone(&shared)));
            }
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap();
            }
        });
    });
    during(&told);
    asking.join().unwrap();
    told.swapped.load(Ordering::SeqCst)
}

#[test]
fn no_request_fails_while_certificate_and_configuration_change_and_nothing_is_left_behind() {
    let total = scaled(4_000, 200_000);
    let mut secured = Secured::new(With::default());
    let dir = secured.authority.dir().join("server");
    let first = rustls::pki_types::pem::PemObject::from_pem_file(dir.join("tls.crt"));
    let first: rustls::pki_types::CertificateDer<'static> = first.unwrap();
    let id = secured.site.gateway.id();
    let before = descriptors(id);
    // What it keeps in any case is there after this.
    run(&secured, total / 4, &first, |_| {});
    let memory = resident(id);

    let config = secured.site.gateway.config.clone();
    let text = std::fs::read_to_string(&config).unwrap();
    let signals = secured.site.gateway.signals();
    let start = Instant::now();
    let swapped = run(&secured, total, &first, |told| {
        for n in 1..=RELOADS {
            until("requests go on", Duration::from_secs(1200), || {
                (told.done.load(Ordering::SeqCst) >= n * total / (RELOADS + 2)).then_some(())
            });
            // Another rule each time, whole at once.
            let rule = format!(
                "\n[[access]]\nwho = [\"user:bob\"]\nrepositories = [\"extra-{n}/**\"]\nactions = [\"pull\"]\n"
            );
            let new = config.with_extension("new");
            std::fs::write(&new, format!("{text}{rule}")).unwrap();
            std::fs::rename(&new, &config).unwrap();
            signals(Signal::HUP);
            if n == 2 {
                secured.authority.issue(&Wanted { dns: &["gw.example"], ..Wanted::default() }).write(&dir);
            }
        }
    });
    let took = start.elapsed();
    // The last of them is what counts, so that they have been read.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let last = as_user(get(&blob().replace("team", &format!("extra-{RELOADS}"))), BOB);
    let client = secured.client();
    until("the last rule is in force", SOON, || {
        let answer = runtime.block_on(client.ask(last.clone())).unwrap();
        (answer.status() == 200).then_some(())
    });
    drop(runtime);
    let grown = resident(id).saturating_sub(memory);
    eprintln!(
        "{total} requests with {RELOADS} reloads and a new certificate: {} a second; {} KiB \
         of memory more",
        total as u128 * 1000 / took.as_millis().max(1),
        grown / 1024
    );
    std::io::stderr().flush().unwrap();
    if crate::is_long() {
        assert!(swapped, "the new certificate was shown");
    }
    assert!(grown < 8 << 20, "it has grown by {grown} bytes");
    until("all descriptors are closed again", SOON, || (descriptors(id) <= before).then_some(()));
    assert_eq!(secured.site.gateway.stop().code(), Some(0));
}
