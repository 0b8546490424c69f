//! Real signals to a real process: this one. It holds one test only, since signals reach all of a process.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail like the test")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::process::Command;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tidegate::access_log::LogWriter;
use tidegate::lifecycle::{self, Configuration, Ended, Running, Timing};
use tidegate::metrics::Metrics;
use tidegate::server::admin::{AdminServer, Pages};
use tidegate::server::connection::{ConnectionInfo, ConnectionSettings};
use tidegate::server::listener::Listeners;
use tidegate::server::shutdown::Shutdown;
use tidegate::server::worker::Workers;
use tidegate::status::Status;
use tidegate::watch::Watch;
use tower_service::Service;

#[derive(Clone)]
struct Hello;

impl<B> Service<Request<B>> for Hello {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        ready(Ok(Response::new("hello".to_owned())))
    }
}

struct Asked(std::sync::mpsc::Sender<&'static str>);

impl Configuration for Asked {
    fn reload(&mut self) -> Result<Timing, String> {
        self.0.send("reload").unwrap();
        Err("nothing to read".to_owned())
    }

    fn reopen_logs(&mut self) {
        self.0.send("reopen logs").unwrap();
    }

    fn watch(&self) -> Watch {
        Watch::new([])
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    write!(client, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

fn send_to_self(signal: &str) {
    // The shell's own `kill`, and the shell's parent is this process.
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} $PPID")]).status().unwrap();
    assert!(status.success());
}

#[test]
fn sighup_and_sigusr1_are_heard_and_sigterm_ends_with_0() {
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listeners = Listeners::bind(&[loopback], NonZeroUsize::new(2).unwrap()).unwrap();
    let shutdown = Shutdown::new();
    let workers =
        Workers::start("test", listeners, ConnectionSettings::default(), &shutdown, |_| |_: &ConnectionInfo| Hello)
            .unwrap();
    let address = workers.local_addrs()[0];
    let status = Status::new();
    let pages = Pages { status: status.clone(), metrics: Metrics::new(), log: LogWriter::off() };
    let admin = AdminServer::start(loopback, ConnectionSettings::default(), pages).unwrap();
    let admin_address = admin.local_addr();
    let timing = Timing { drain_delay: Duration::ZERO, drain_timeout: Duration::from_secs(60) };
    let (reloaded, reloads) = std::sync::mpsc::channel();
    let configuration = Box::new(Asked(reloaded));
    let running = Running { workers, shutdown, admin: Some(admin), status, timing, configuration };
    let ending = std::thread::spawn(move || lifecycle::run(running).unwrap());

    while !get(admin_address, "/readyz").starts_with("HTTP/1.1 200 ") {}
    for (signal, task) in [("HUP", "reload"), ("USR1", "reopen logs")] {
        send_to_self(signal);
        assert_eq!(reloads.recv_timeout(Duration::from_secs(60)), Ok(task));
    }
    assert!(get(address, "/").ends_with("hello"));
    send_to_self("TERM");
    let ended = ending.join().unwrap();
    assert_eq!((ended, ended.exit_code()), (Ended::Drained, 0));
    assert!(TcpStream::connect(address).is_err());
}
