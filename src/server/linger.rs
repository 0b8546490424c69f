//! Closing without losing the last answer.
//!
//! A socket that is closed while bytes of the client are unread is reset, and a reset throws away what the client has not read
//! yet. A client in the middle of an upload would see a broken pipe instead of the answer that says why. So: send FIN, then
//! go on reading and discarding for a while.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::Channel;

/// How much patience a closed connection gets.
#[derive(Clone, Copy, Debug)]
pub struct LingerSettings {
    /// From our FIN until the socket is given up, whatever comes.
    pub total: Duration,
    /// How long the client may be silent.
    pub quiet: Duration,
    /// How many bytes are read and discarded.
    pub bytes: u64,
}

impl LingerSettings {
    /// For a client that broke the protocol: it shall hear so, and is owed no more.
    pub(crate) fn brief(self) -> Self {
        let second = Duration::from_secs(1);
        Self { total: self.total.min(second * 5), quiet: self.quiet.min(second), bytes: self.bytes.min(1024 * 1024) }
    }
}

impl Default for LingerSettings {
    fn default() -> Self {
        Self { total: Duration::from_secs(30), quiet: Duration::from_secs(5), bytes: 64 * 1024 * 1024 }
    }
}

/// Closes `channel` after its last answer was written. The caller cuts it short by dropping the future.
pub(crate) async fn close(mut channel: Channel, settings: LingerSettings) {
    // Nothing is missing from what was sent: giving up below must not reset what the kernel still has to deliver.
    channel.finished();
    if channel.shutdown().await.is_ok() && !channel.saw_eof() {
        // What is discarded need not be decrypted.
        discard(channel.socket(), settings).await;
    }
}

async fn discard(socket: &mut (impl AsyncRead + Unpin), settings: LingerSettings) {
    let mut scratch = vec![0; 16 * 1024];
    let mut patience = Patience::new(settings);
    while let Some(Ok(read)) = patience.with(socket.read(&mut scratch)).await
        && read > 0
    {
        patience.took(read);
    }
}

/// The same of the rest of one request's body, where closing that is a reset of its own.
pub(crate) async fn discard_body(mut body: Incoming, settings: LingerSettings) {
    let mut patience = Patience::new(settings);
    while let Some(Some(Ok(frame))) = patience.with(body.frame()).await {
        patience.took(frame.data_ref().map_or(0, Bytes::len));
    }
}

/// What is left of it.
struct Patience {
    end: Instant,
    quiet: Duration,
    bytes: u64,
}

impl Patience {
    fn new(settings: LingerSettings) -> Self {
        Self { end: Instant::now() + settings.total, quiet: settings.quiet, bytes: settings.bytes }
    }

    /// What comes next; none where it is not waited for any longer.
    async fn with<T>(&self, next: impl Future<Output = T>) -> Option<T> {
        if self.bytes == 0 {
            return None;
        }
        timeout_at(self.end, timeout(self.quiet, next)).await.ok()?.ok()
    }

    fn took(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }
}
