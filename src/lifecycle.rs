//! From "everything listens" to the end of the process: signals, reloads and the drain.
//!
//! What is running was put together by `app`, which also knows what a reload does: see [`Configuration`]. Here is when.

mod notify;
mod signals;
mod upkeep;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::server::admin::AdminServer;
use crate::server::shutdown::Shutdown;
use crate::server::worker::Workers;
use crate::status::Status;
use crate::watch::Watch;
use notify::Notifier;
use signals::Signal;
use upkeep::{Task, Upkeep};

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
    /// How long the end may take, until a reload says otherwise.
    pub timing: Timing,
    /// What it runs by.
    pub configuration: Box<dyn Configuration>,
}

/// How the end goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long to go on serving after the first signal, not ready any more, so that load balancers hear of it.
    pub drain_delay: Duration,
    /// How long requests may take to finish after that.
    pub drain_timeout: Duration,
}

/// What a gateway runs by, as far as it can change while it runs. All of it is called within the runtime of the life cycle, one call at
/// a time, and may block.
pub trait Configuration: Send + 'static {
    /// Begins what runs beside the workers.
    fn begin(&mut self) {}

    /// Reads everything again, and puts it in force or says in the log and the status why not. The error is one line.
    fn reload(&mut self) -> Result<Timing, String>;

    /// Opens log files anew, whose names may now belong to other files.
    fn reopen_logs(&mut self) {}

    /// The files that a change of means a reload. What is watched may change with each reload.
    fn watch(&self) -> Watch;
}

impl fmt::Debug for dyn Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configuration")
    }
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

/// How long workers may take to end once their connections have been cut.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs until a signal has ended the gateway. Fails only where signals cannot be received.
///
/// `/readyz` turns ready with this call, so what has seen it ready may send a signal.
pub fn run(running: Running) -> io::Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let signals = signals::listen()?;
        Ok(until_the_end(running, signals, Notifier::from_environment()).await)
    });
    // A reload that hangs on a file is not waited for.
    runtime.shutdown_background();
    ended
}

async fn until_the_end(running: Running, mut signals: mpsc::UnboundedReceiver<Signal>, notifier: Notifier) -> Ended {
    let Running { mut workers, shutdown, admin, status, timing, configuration } = running;
    let timing = Arc::new(Mutex::new(timing));
    let (tasks, asked) = mpsc::unbounded_channel();
    tokio::spawn(Upkeep::new(configuration, Arc::clone(&timing), notifier.clone()).run(asked));
    let alive = notifier.clone();
    tokio::spawn(async move { alive.keep_alive().await });
    status.set_listening(true);
    notifier.ready("serving");
    let lost = tokio::select! {
        () = next_end(&mut signals, &tasks) => None,
        worker = workers.next_ended() => Some(worker),
    };

    // What runs beside the workers goes on: readiness still says how the upstreams are.
    let _ = tasks.send(Task::EndReloads);
    let timing = *timing.lock().unwrap_or_else(PoisonError::into_inner);
    status.set_draining();
    let drained = if let Some(worker) = lost {
        tracing::error!(?worker, "a worker ended by itself; ending the others");
        drain(&mut workers, &shutdown, timing, &mut signals, &tasks).await
    } else {
        notifier.stopping(timing.drain_delay + timing.drain_timeout + MARGIN);
        leave(&mut workers, &shutdown, timing, &mut signals, &tasks).await
            && drain(&mut workers, &shutdown, timing, &mut signals, &tasks).await
    };
    if !drained {
        shutdown.cut();
        // One that waits for room for its audit lines hears of nothing; with the process it ends all the same.
        if tokio::time::timeout(LAST_WAIT, workers.all_ended()).await.is_err() {
            tracing::error!("a worker did not end: it waits for its log lines to be written");
        }
    }
    if let Some(admin) = admin {
        admin.stop().await;
    }
    match (lost, drained) {
        (Some(_), _) => Ended::WorkerLost,
        (None, true) => Ended::Drained,
        (None, false) => Ended::Cut,
    }
}

/// What the end takes besides waiting.
const MARGIN: Duration = Duration::from_secs(10);

/// Goes on serving for those who have not heard yet. False when a second signal wants the end at once.
async fn leave(
    workers: &mut Workers,
    shutdown: &Shutdown,
    Timing { drain_delay, .. }: Timing,
    signals: &mut mpsc::UnboundedReceiver<Signal>,
    tasks: &mpsc::UnboundedSender<Task>,
) -> bool {
    if drain_delay.is_zero() {
        return true;
    }
    tracing::info!(delay = ?drain_delay, "leaving: not ready any more, and still serving");
    shutdown.leave();
    tokio::select! {
        biased;
        () = next_end(signals, tasks) => {
            tracing::warn!("a second signal: ending at once");
            false
        }
        () = tokio::time::sleep(drain_delay) => true,
        // Those that are left are drained; all of them have to end anyway.
        _ = workers.next_ended() => true,
    }
}

/// Finishes the requests under way; false when some were not finished in time.
async fn drain(
    workers: &mut Workers,
    shutdown: &Shutdown,
    Timing { drain_timeout, .. }: Timing,
    signals: &mut mpsc::UnboundedReceiver<Signal>,
    tasks: &mpsc::UnboundedSender<Task>,
) -> bool {
    tracing::info!(timeout = ?drain_timeout, "draining: finishing the requests under way");
    shutdown.drain();
    first_of(
        workers.all_ended(),
        async {
            tokio::time::sleep(drain_timeout).await;
            tracing::warn!("requests were still open at the end of the drain time-out");
        },
        async {
            next_end(signals, tasks).await;
            tracing::warn!("a second signal: ending at once");
        },
    )
    .await
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

/// Waits for a signal that ends the process; the others become tasks.
async fn next_end(signals: &mut mpsc::UnboundedReceiver<Signal>, tasks: &mpsc::UnboundedSender<Task>) {
    loop {
        let task = match signals.recv().await {
            Some(Signal::End) => return,
            Some(Signal::Reload) => Task::Reload,
            Some(Signal::ReopenLogs) => Task::ReopenLogs,
            // No signal can come any more; other reasons to end still can.
            None => std::future::pending().await,
        };
        // Whoever does it lives as long as anybody can ask.
        let _ = tasks.send(task);
    }
}

#[cfg(test)]
mod tests;
