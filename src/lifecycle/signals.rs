//! What signals mean.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// A signal that means something to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    ReopenLogs,
}

/// The signals of this process, from now on.
pub(super) fn listen() -> io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for (kind, meaning) in [
        (SignalKind::terminate(), Signal::End),
        (SignalKind::interrupt(), Signal::End),
        (SignalKind::hangup(), Signal::Reload),
        (SignalKind::user_defined1(), Signal::ReopenLogs),
    ] {
        let mut source = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move { while source.recv().await.is_some() && sender.send(meaning).is_ok() {} });
    }
    Ok(receiver)
}
