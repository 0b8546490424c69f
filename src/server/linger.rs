//! Closing without losing the last answer.
//!
//! A socket that is closed while bytes of the client are unread is reset, and a reset throws away what the client has not read
//! yet. A client in the middle of an upload would see a broken pipe instead of the answer that says why. So: send FIN, then
//! go on reading and discarding for a while.

use std::time::Duration;

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
    let end = Instant::now() + settings.total;
    let mut scratch = vec![0; 16 * 1024];
    let mut left = settings.bytes;
    while left > 0 {
        match timeout_at(end, timeout(settings.quiet, socket.read(&mut scratch))).await {
            Ok(Ok(Ok(read))) if read > 0 => left = left.saturating_sub(read as u64),
            _ended_or_too_slow => return,
        }
    }
}
