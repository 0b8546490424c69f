//! While the gateway serves: the configuration is read again when a signal asks for it or its files change, log files are opened anew.
//!
//! One thing happens after the other, off the runtime, because files may be slow. What comes in bursts happens once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::notify::Notifier;
use super::{Configuration, Timing};
use crate::watch::Watch;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// A change is one of several until nothing changed for this long.
const QUIET: Duration = Duration::from_millis(400);
/// How many times that may go on; then what there is is read.
const ROUNDS: usize = 10;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Read the configuration again.
    Reload,
    /// Open log files anew.
    ReopenLogs,
    /// The end has begun: read nothing again any more.
    EndReloads,
}

/// What reads the configuration again, and how the end goes that it last asked for.
pub(super) struct Upkeep {
    configuration: Arc<Mutex<Box<dyn Configuration>>>,
    timing: Arc<Mutex<Timing>>,
    watch: Watch,
    notifier: Notifier,
}

impl Upkeep {
    pub(super) fn new(configuration: Box<dyn Configuration>, timing: Arc<Mutex<Timing>>, notifier: Notifier) -> Self {
        let watch = configuration.watch();
        Self { configuration: Arc::new(Mutex::new(configuration)), timing, watch, notifier }
    }

    /// Does what is asked for, until nobody can ask any more.
    pub(super) async fn run(self, mut tasks: mpsc::UnboundedReceiver<Task>) {
        self.with(Configuration::begin).await;
        let mut reloads = true;
        loop {
            tokio::select! {
                task = tasks.recv() => {
                    let Some(task) = task else { return };
                    let mut asked = vec![task];
                    while let Ok(task) = tasks.try_recv() {
                        asked.push(task);
                    }
                    reloads &= !asked.contains(&Task::EndReloads);
                    if asked.contains(&Task::ReopenLogs) {
                        self.with(Configuration::reopen_logs).await;
                    }
                    if reloads && asked.contains(&Task::Reload) {
                        tracing::info!("SIGHUP: reading the configuration again");
                        self.reload().await;
                    }
                }
                () = self.changed(), if reloads => self.reload().await,
            }
        }
    }

    /// Waits for files to change, and then until they have stopped doing so: several are often written one after the other.
    async fn changed(&self) {
        let mut files = self.watch.changed(EVERY).await;
        for _ in 0..ROUNDS {
            match timeout(QUIET, self.watch.changed(QUIET / 3)).await {
                Ok(more) => files.extend(more),
                Err(_) => break,
            }
        }
        let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        tracing::info!(files = files.join(", "), "changed: reading the configuration again");
    }

    async fn reload(&self) {
        self.notifier.reloading();
        match self.with(Configuration::reload).await {
            Some(Ok(timing)) => {
                *self.timing.lock().unwrap_or_else(PoisonError::into_inner) = timing;
                self.notifier.ready("serving");
            }
            Some(Err(why)) => {
                self.notifier.ready(&format!("serving; the configuration on disk was refused: {}", one_line(&why)));
            }
            None => self.notifier.ready("serving"),
        }
    }

    /// Runs something that may block. Where it panics, which is a defect, the gateway goes on as it was.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Configuration) -> T + Send + 'static,
    ) -> Option<T> {
        let configuration = Arc::clone(&self.configuration);
        let work = move || work(&mut **configuration.lock().unwrap_or_else(PoisonError::into_inner));
        let done = tokio::task::spawn_blocking(work).await;
        done.inspect_err(|_| tracing::error!("a reload broke off; the gateway goes on as it was")).ok()
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
