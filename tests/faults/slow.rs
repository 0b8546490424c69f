//! Many clients that take their time, within heads, within bodies and in reading, and one that does not.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::process::{allow_descriptors, descriptors, resident};
use crate::support::site::{ALICE, SETUP, Setup, Site, blob};
use crate::support::until;
use crate::support::upstream::Then;
use crate::support::wire::{Head, LIMIT, Wire, basic};
use crate::{UNBOUNDED, is_long, scaled};

/// What a slow reader asks for: more than the buffers of its own socket hold.
const BIG: usize = 256 * 1024;
/// Bytes of the bodies that are sent slowly; no client sends the last one before all have been held.
const SMALL: usize = 100;
/// How often each slow client does a little.
const STEP: Duration = Duration::from_secs(2);
/// How many requests tell how long one takes.
const SAMPLE: usize = 1000;

const SETTINGS: Setup = Setup {
    server: "workers = 2",
    upstream: "credentials = \"identity\"\npool_idle_timeout = \"1s\"",
    rest: UNBOUNDED,
    ..SETUP
};

fn answer(head: &Head, wire: &mut Wire) -> Then {
    let body = wire.body(head);
    if !body.whole {
        return Then::Close;
    }
    let length = if head.target().ends_with("/big") { BIG } else { body.bytes.len() };
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + length, b'x');
    if wire.try_send(answer).is_ok() { Then::Keep } else { Then::Close }
}

/// How a client is slow.
#[derive(Clone, Copy)]
enum Slow {
    Head,
    Body,
    Reading,
}

/// What the slow clients share.
struct Hold {
    port: u16,
    authorization: String,
    over: AtomicBool,
    /// Who has begun.
    begun: AtomicUsize,
    /// Heads that the gateway did not wait for any longer.
    cut: AtomicUsize,
}

impl Hold {
    async fn connect(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        // Whoever reads slowly has little room.
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, self.port).into()).await.unwrap()
    }

    fn head(&self, line: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: {}\r\n", self.port, self.authorization)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Is slow until it is over, and then wants what it has asked for.
    async fn run(self: Arc<Self>, slow: Slow) {
        match slow {
            Slow::Head => self.slow_head().await,
            Slow::Body => self.slow_body().await,
            Slow::Reading => self.slow_reading().await,
        }
    }

    async fn slow_head(&self) {
        let mut first = true;
        loop {
            let mut stream = self.connect().await;
            stream.write_all(self.head(&format!("GET {}", blob())).as_bytes()).await.unwrap();
            if std::mem::take(&mut first) {
                self.begun.fetch_add(1, Ordering::SeqCst);
            }
            let mut is_open = true;
            while is_open && !self.is_over() {
                tokio::time::sleep(STEP).await;
                is_open = stream.write_all(b"X-Slow: 1\r\n").await.is_ok();
            }
            if is_open && stream.write_all(b"Connection: close\r\n\r\n").await.is_ok() {
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer).await;
                if answer.starts_with(b"HTTP/1.1 200 ") {
                    return;
                }
            }
            // It took longer than heads may.
            self.cut.fetch_add(1, Ordering::SeqCst);
            if self.is_over() {
                return;
            }
        }
    }

    async fn slow_body(&self) {
        let mut stream = self.connect().await;
        let head = self.head("PATCH /v2/team/app/blobs/uploads/slow");
        let head = format!("{head}Connection: close\r\nContent-Length: {SMALL}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        self.begun.fetch_add(1, Ordering::SeqCst);
        let mut sent = 0;
        while !self.is_over() && sent < SMALL - 1 {
            stream.write_all(b"x").await.unwrap();
            sent += 1;
            tokio::time::sleep(STEP).await;
        }
        stream.write_all(&vec![b'x'; SMALL - sent]).await.unwrap();
        whole(&mut stream, Vec::new(), SMALL).await;
    }

    async fn slow_reading(&self) {
        let mut stream = self.connect().await;
        let head = self.head("GET /v2/team/app/manifests/big");
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        self.begun.fetch_add(1, Ordering::SeqCst);
        let mut read = Vec::new();
        while !self.is_over() {
            tokio::time::sleep(STEP).await;
            let mut some = [0; 1024];
            let count = stream.read(&mut some).await.unwrap();
            assert_ne!(count, 0, "cut after {} bytes", read.len());
            read.extend_from_slice(&some[..count]);
        }
        whole(&mut stream, read, BIG).await;
    }
}

/// Reads to the end: an answer of 200 with this many bytes.
async fn whole(stream: &mut TcpStream, mut read: Vec<u8>, length: usize) {
    stream.read_to_end(&mut read).await.unwrap();
    let head = read.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let answer = String::from_utf8_lossy(&read[..head]);
    assert!(answer.starts_with("HTTP/1.1 200 ") && read.len() - head - 4 == length, "{} bytes: {answer}", read.len());
}

/// How long each of some requests takes, over one connection.
fn times(site: &Site, goes_on: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut client = site.connect();
    let request = format!("{}\r\n", site.begin("GET", &blob()));
    let mut times = Vec::new();
    while goes_on(times.len()) {
        let start = Instant::now();
        client.send(&request);
        assert_eq!(client.reply().0.status(), 200);
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

#[test]
fn many_slow_clients_are_served_and_hold_up_nobody() {
    let (count, hold) = (scaled(150, 2000), Duration::from_secs(scaled(3, 60)));
    allow_descriptors(4 * count as u64);
    // The long version has time for heads that take longer than they may.
    let server = scaled("workers = 2\nheader_timeout = \"1h\"", SETTINGS.server);
    let site = Site::with(&Setup { server, ..SETTINGS }, answer);
    let id = site.gateway.id();
    let before = descriptors(id);
    times(&site, |done| done < SAMPLE);
    let quiet = times(&site, |done| done < SAMPLE);
    let memory = resident(id);

    let authorization = basic(ALICE);
    let (over, begun, cut) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let shared = Arc::new(Hold { port: site.gateway.port, authorization, over, begun, cut });
    let slow = Arc::clone(&shared);
    let holding = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..count {
                tasks.spawn(Arc::clone(&slow).run([Slow::Head, Slow::Body, Slow::Reading][n % 3]));
            }
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap();
            }
        });
    });
    until("all have begun", Duration::from_secs(60), || {
        assert!(!holding.is_finished(), "one of them failed");
        (shared.begun.load(Ordering::SeqCst) == count).then_some(())
    });
    let start = Instant::now();
    let busy = times(&site, |done| start.elapsed() < hold || done < SAMPLE);
    let taken = resident(id).saturating_sub(memory);
    shared.over.store(true, Ordering::SeqCst);
    holding.join().unwrap();
    let again = times(&site, |done| done < SAMPLE);

    // What is quiet depends on who else uses the machine: the worse of before and after.
    let undisturbed = p99(&quiet).max(p99(&again));
    let ratio = p99(&busy).as_secs_f64() / undisturbed.as_secs_f64();
    let cut = shared.cut.load(Ordering::SeqCst);
    eprintln!(
        "{count} slow clients for {hold:?}: p99 {:?} quiet, {:?} after, {:?} among them ({ratio:.2} times, {} requests); \
         {} KiB of memory each; {cut} heads were cut",
        p99(&quiet),
        p99(&again),
        p99(&busy),
        busy.len(),
        taken / count / 1024,
    );
    std::io::stderr().flush().unwrap();
    assert!(taken / count < 128 * 1024, "{taken} bytes for {count} slow clients");
    if is_long() {
        assert!(ratio < 3.0, "{ratio}");
    } else {
        assert_eq!(cut, 0, "no head took as long as heads may");
    }
    until("all descriptors are closed again", LIMIT, || (descriptors(id) <= before).then_some(()));
}
