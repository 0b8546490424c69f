//! From "everything listens" to the end of the process: signals and the drain.
//!
//! What is running was put together by `app`. A reload, once there is one, is a function that `app` gives to [`Running`].

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::server::admin::AdminServer;
use crate::server::shutdown::Shutdown;
use crate::server::worker::Workers;
use crate::status::Status;

/// A started gateway.
#[derive(Debug)]
pub struct Running {
    /// The workers that serve clients.
    pub workers: Workers,
    /// The handle that the workers were started with.
    pub shutdown: Shutdown,
    /// The admin listener, where one is configured.
    pub admin: Option<AdminServer>,
    /// Where readiness is reported.
    pub status: Status,
    /// How long requests may take to finish after the first signal.
    pub drain_timeout: Duration,
}

/// How the gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every request was finished.
    Drained,
    /// Requests were still open at the deadline, or when a second signal came, and were cut.
    Cut,
    /// A worker ended by itself, which is a defect.
    WorkerLost,
}

impl Ended {
    /// The exit code of the process: 0 after a clean drain, else 1.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Cut | Self::WorkerLost => 1,
        }
    }
}

/// A signal that means something to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP.
    Reload,
}

/// How long workers may take to end once their connections have been cut.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs until a signal has ended the gateway. Fails only where signals cannot be received.
///
/// `/readyz` turns ready with this call, so what has seen it ready may send a signal.
pub fn run(running: Running) -> io::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = listen_for_signals()?;
        Ok(until_the_end(running, signals).await)
    })
}

/// The signals of this process, from now on.
fn listen_for_signals() -> io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for (kind, meaning) in [
        (SignalKind::terminate(), Signal::End),
        (SignalKind::interrupt(), Signal::End),
        (SignalKind::hangup(), Signal::Reload),
    ] {
        let mut source = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move { while source.recv().await.is_some() && sender.send(meaning).is_ok() {} });
    }
    Ok(receiver)
}

async fn until_the_end(mut running: Running, mut signals: mpsc::UnboundedReceiver<Signal>) -> Ended {
    running.status.set_listening(true);
    let lost = tokio::select! {
        () = next_end(&mut signals) => None,
        worker = running.workers.next_ended() => Some(worker),
    };
    running.status.set_draining();
    running.shutdown.drain();
    if lost.is_some() {
        tracing::error!(worker = ?lost.flatten(), "a worker ended by itself; ending the others");
    } else {
        tracing::info!(timeout = ?running.drain_timeout, "draining: finishing the requests under way");
    }

    let drained = first_of(
        running.workers.all_ended(),
        async {
            tokio::time::sleep(running.drain_timeout).await;
            tracing::warn!("requests were still open at the end of the drain time-out");
        },
        async {
            next_end(&mut signals).await;
            tracing::warn!("a second signal: ending at once");
        },
    )
    .await;
    if !drained {
        running.shutdown.cut();
        // One that waits for room for its audit lines hears of nothing; with the process it ends all the same.
        if tokio::time::timeout(LAST_WAIT, running.workers.all_ended()).await.is_err() {
            tracing::error!("a worker did not end: it waits for its log lines to be written");
        }
    }
    if let Some(admin) = running.admin.take() {
        admin.stop().await;
    }
    match (lost, drained) {
        (Some(_), _) => Ended::WorkerLost,
        (None, true) => Ended::Drained,
        (None, false) => Ended::Cut,
    }
}

/// Whether `wanted` ended before either of the others.
async fn first_of(
    wanted: impl Future<Output = ()>,
    deadline: impl Future<Output = ()>,
    impatience: impl Future<Output = ()>,
) -> bool {
    tokio::select! {
        biased;
        () = wanted => true,
        () = deadline => false,
        () = impatience => false,
    }
}

/// Waits for a signal that ends the process; the others are answered here.
async fn next_end(signals: &mut mpsc::UnboundedReceiver<Signal>) {
    loop {
        match signals.recv().await {
            Some(Signal::End) => return,
            Some(Signal::Reload) => {
                tracing::warn!("SIGHUP is ignored: a changed configuration takes effect after a restart");
            }
            // No signal can come any more; other reasons to end still can.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
