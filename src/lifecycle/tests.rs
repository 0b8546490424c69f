//! The drain, with signals that tests send through a channel. That real ones arrive is shown where processes are tested.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tower_service::Service;

use super::notify::Notifier;
use super::{Configuration, Ended, Running, Signal, Timing, until_the_end};
use crate::access_log::LogWriter;
use crate::metrics::Metrics;
use crate::server::admin::{AdminServer, Pages};
use crate::server::connection::{ConnectionInfo, ConnectionSettings, Inbound};
use crate::server::listener::Listeners;
use crate::server::shutdown::Shutdown;
use crate::server::worker::Workers;
use crate::status::Status;
use crate::watch::Watch;

/// Long enough for the slowest machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says that it was asked, and answers when it may.
#[derive(Clone)]
struct Gate {
    asked: Arc<Semaphore>,
    may_answer: Arc<Semaphore>,
}

impl Service<Request<Inbound>> for Gate {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Inbound>) -> Self::Future {
        let gate = self.clone();
        Box::pin(async move {
            gate.asked.add_permits(1);
            let _permit = gate.may_answer.acquire().await;
            Ok(Response::new("done".to_owned()))
        })
    }
}

/// Counts what is asked of it, and takes its time when it reads again.
#[derive(Clone)]
struct Asked {
    reloads: Arc<Semaphore>,
    reopened: Arc<Semaphore>,
    timing: Arc<Mutex<Timing>>,
    watch: Watch,
}

impl Configuration for Asked {
    fn reload(&mut self) -> Result<Timing, String> {
        self.reloads.add_permits(1);
        Ok(*self.timing.lock().unwrap())
    }

    fn reopen_logs(&mut self) {
        self.reopened.add_permits(1);
    }

    fn watch(&self) -> Watch {
        self.watch.clone()
    }
}

struct Gateway {
    gate: Gate,
    asked: Asked,
    address: SocketAddr,
    admin: SocketAddr,
    signals: mpsc::UnboundedSender<Signal>,
    end: tokio::task::JoinHandle<Ended>,
}

fn start(drain_timeout: Duration, worker_panics: bool) -> Gateway {
    start_with(
        Timing { drain_delay: Duration::ZERO, drain_timeout },
        worker_panics,
        Watch::new([]),
        Notifier::default(),
    )
}

fn start_with(timing: Timing, worker_panics: bool, watch: Watch, notifier: Notifier) -> Gateway {
    let gate = Gate { asked: Arc::new(Semaphore::new(0)), may_answer: Arc::new(Semaphore::new(0)) };
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listeners = Listeners::bind(&[loopback], NonZeroUsize::new(2).unwrap()).unwrap();
    let address = listeners.local_addrs()[0];
    let shutdown = Shutdown::new();
    let service = gate.clone();
    let workers = Workers::start("test", listeners, ConnectionSettings::default(), &shutdown, move |worker| {
        assert!(!(worker_panics && worker == 1), "as the test wants it");
        let service = service.clone();
        move |_: &ConnectionInfo| service.clone()
    })
    .unwrap();
    let status = Status::new();
    let pages = Pages { status: status.clone(), metrics: Metrics::new(), log: LogWriter::off() };
    let admin = AdminServer::start(loopback, ConnectionSettings::default(), pages).unwrap();
    let admin_address = admin.local_addr();
    let (signals, receiver) = mpsc::unbounded_channel();
    let (reloads, reopened) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let asked = Asked { reloads, reopened, timing: Arc::new(Mutex::new(timing)), watch };
    let configuration = Box::new(asked.clone());
    let running = Running { workers, shutdown, admin: Some(admin), status, timing, configuration };
    let end = tokio::spawn(until_the_end(running, receiver, notifier));
    Gateway { gate, asked, address, admin: admin_address, signals, end }
}

impl Gateway {
    /// A client whose request is being served.
    async fn busy_client(&self) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        timeout(PATIENCE, self.gate.asked.acquire()).await.unwrap().unwrap().forget();
        client
    }

    /// Waits until the admin listener says `wanted` of readiness.
    async fn until_ready_says(&self, wanted: &str) {
        let asking = async {
            loop {
                let mut client = TcpStream::connect(self.admin).await.unwrap();
                client.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
                if rest(client).await.unwrap().contains(wanted) {
                    return;
                }
            }
        };
        timeout(PATIENCE, asking).await.unwrap();
    }

    async fn ended(self) -> Ended {
        timeout(PATIENCE, self.end).await.unwrap().unwrap()
    }
}

async fn rest(mut client: TcpStream) -> io::Result<String> {
    let mut heard = String::new();
    timeout(PATIENCE, client.read_to_string(&mut heard)).await.unwrap()?;
    Ok(heard)
}

#[tokio::test]
async fn the_first_signal_drains_and_readiness_says_so() {
    let gateway = start(PATIENCE * 2, false);
    gateway.until_ready_says("\r\n\r\nready\n").await;
    let client = gateway.busy_client().await;
    gateway.signals.send(Signal::End).unwrap();
    gateway.until_ready_says("\r\n\r\nnot ready\ndraining").await;
    gateway.gate.may_answer.add_permits(1);
    let answer = rest(client).await.unwrap();
    assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    let admin = gateway.admin;
    let ended = gateway.ended().await;
    assert_eq!((ended, ended.exit_code()), (Ended::Drained, 0));
    assert!(TcpStream::connect(admin).await.is_err());
}

#[tokio::test]
async fn requests_that_outlast_the_drain_are_cut() {
    let gateway = start(Duration::from_millis(60), false);
    let client = gateway.busy_client().await;
    gateway.signals.send(Signal::End).unwrap();
    assert_eq!(rest(client).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let ended = gateway.ended().await;
    assert_eq!((ended, ended.exit_code()), (Ended::Cut, 1));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let gateway = start(PATIENCE * 2, false);
    let client = gateway.busy_client().await;
    gateway.signals.send(Signal::End).unwrap();
    gateway.signals.send(Signal::End).unwrap();
    assert_eq!(rest(client).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(gateway.ended().await, Ended::Cut);
}

/// Waits until something was done once more.
async fn once(done: &Semaphore) {
    timeout(PATIENCE, done.acquire()).await.unwrap().unwrap().forget();
}

#[tokio::test]
async fn sighup_reloads_and_sigusr1_opens_logs_anew() {
    let gateway = start(PATIENCE * 2, false);
    gateway.signals.send(Signal::Reload).unwrap();
    once(&gateway.asked.reloads).await;
    gateway.signals.send(Signal::ReopenLogs).unwrap();
    once(&gateway.asked.reopened).await;
    let client = gateway.busy_client().await;
    gateway.signals.send(Signal::End).unwrap();
    gateway.until_ready_says("draining").await;
    // Logs go on; the configuration is settled.
    gateway.signals.send(Signal::Reload).unwrap();
    gateway.signals.send(Signal::ReopenLogs).unwrap();
    once(&gateway.asked.reopened).await;
    assert_eq!(gateway.asked.reloads.available_permits(), 0);
    gateway.gate.may_answer.add_permits(1);
    assert!(rest(client).await.unwrap().ends_with("done"));
    assert_eq!(gateway.ended().await, Ended::Drained);
}

#[tokio::test]
async fn files_that_change_together_are_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["one", "two", "three"].map(|name| dir.path().join(name));
    let timing = Timing { drain_delay: Duration::ZERO, drain_timeout: PATIENCE };
    let gateway = start_with(timing, false, Watch::new(files.clone()), Notifier::default());
    for file in &files {
        std::fs::write(file, "new").unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    once(&gateway.asked.reloads).await;
    // A signal after it makes the next one; another between them would have been seen.
    gateway.signals.send(Signal::Reload).unwrap();
    once(&gateway.asked.reloads).await;
    assert_eq!(gateway.asked.reloads.available_permits(), 0);
    gateway.signals.send(Signal::End).unwrap();
    assert_eq!(gateway.ended().await, Ended::Drained);
}

#[tokio::test]
async fn who_leaves_serves_on_until_the_delay_is_over() {
    let timing = Timing { drain_delay: PATIENCE * 2, drain_timeout: PATIENCE * 2 };
    let gateway = start_with(timing, false, Watch::new([]), Notifier::default());
    gateway.signals.send(Signal::End).unwrap();
    gateway.until_ready_says("\r\n\r\nnot ready\ndraining").await;
    gateway.gate.may_answer.add_permits(2);
    // Each answer is the last of its connection.
    for _ in 0..2 {
        let answer = rest(gateway.busy_client().await).await.unwrap();
        assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    }
    // A second signal does not wait for the rest of the delay.
    gateway.signals.send(Signal::End).unwrap();
    assert_eq!(gateway.ended().await, Ended::Cut);
}

#[tokio::test]
async fn a_delay_ends_in_a_drain_as_the_last_reload_said() {
    let late = Timing { drain_delay: PATIENCE * 2, drain_timeout: PATIENCE * 2 };
    let soon = Timing { drain_delay: Duration::from_millis(20), ..late };
    let gateway = start_with(late, false, Watch::new([]), Notifier::default());
    *gateway.asked.timing.lock().unwrap() = soon;
    // When the second begins, what the first said counts.
    for _ in 0..2 {
        gateway.signals.send(Signal::Reload).unwrap();
        once(&gateway.asked.reloads).await;
    }
    gateway.signals.send(Signal::End).unwrap();
    assert_eq!(gateway.ended().await, Ended::Drained);
}

#[tokio::test]
async fn a_service_manager_hears_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
    let heard = async || {
        let mut buffer = [0; 512];
        let length = timeout(PATIENCE, manager.recv(&mut buffer)).await.unwrap().unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let timing = Timing { drain_delay: Duration::ZERO, drain_timeout: PATIENCE };
    let gateway = start_with(timing, false, Watch::new([]), Notifier::to(path.as_os_str()).unwrap());
    assert_eq!(heard().await, "READY=1\nSTATUS=serving");
    gateway.signals.send(Signal::Reload).unwrap();
    assert!(heard().await.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(heard().await, "READY=1\nSTATUS=serving");
    gateway.signals.send(Signal::End).unwrap();
    assert_eq!(heard().await, "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\nSTATUS=draining");
    assert_eq!(gateway.ended().await, Ended::Drained);
}

#[tokio::test]
async fn a_lost_worker_ends_the_others() {
    let gateway = start(PATIENCE * 2, true);
    let ended = gateway.ended().await;
    assert_eq!((ended, ended.exit_code()), (Ended::WorkerLost, 1));
}
