//! The drain, with signals that tests send through a channel. That real ones arrive is shown where processes are tested.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tower_service::Service;

use super::{Ended, Running, Signal, until_the_end};
use crate::access_log::LogWriter;
use crate::metrics::Metrics;
use crate::server::admin::{AdminServer, Pages};
use crate::server::connection::{ConnectionInfo, ConnectionSettings};
use crate::server::listener::Listeners;
use crate::server::shutdown::Shutdown;
use crate::server::worker::Workers;
use crate::status::Status;

/// Long enough for the slowest machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says that it was asked, and answers when it may.
#[derive(Clone)]
struct Gate {
    asked: Arc<Semaphore>,
    may_answer: Arc<Semaphore>,
}

impl Service<Request<Incoming>> for Gate {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Incoming>) -> Self::Future {
        let gate = self.clone();
        Box::pin(async move {
            gate.asked.add_permits(1);
            let _permit = gate.may_answer.acquire().await;
            Ok(Response::new("done".to_owned()))
        })
    }
}

struct Gateway {
    gate: Gate,
    address: SocketAddr,
    admin: SocketAddr,
    signals: mpsc::UnboundedSender<Signal>,
    end: tokio::task::JoinHandle<Ended>,
}

fn start(drain_timeout: Duration, worker_panics: bool) -> Gateway {
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
    let running = Running { workers, shutdown, admin: Some(admin), status, drain_timeout };
    let end = tokio::spawn(until_the_end(running, receiver));
    Gateway { gate, address, admin: admin_address, signals, end }
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

#[tokio::test]
async fn sighup_changes_nothing() {
    let gateway = start(PATIENCE * 2, false);
    gateway.signals.send(Signal::Reload).unwrap();
    gateway.until_ready_says("\r\n\r\nready\n").await;
    gateway.gate.may_answer.add_permits(1);
    let client = gateway.busy_client().await;
    gateway.signals.send(Signal::Reload).unwrap();
    gateway.signals.send(Signal::End).unwrap();
    drop(client);
    assert_eq!(gateway.ended().await, Ended::Drained);
}

#[tokio::test]
async fn a_lost_worker_ends_the_others() {
    let gateway = start(PATIENCE * 2, true);
    let ended = gateway.ended().await;
    assert_eq!((ended, ended.exit_code()), (Ended::WorkerLost, 1));
}
