//! Request bodies that are kept until they are whole, so that a slow client never holds one of the upstream's workers.
//!
//! The first bytes are kept in memory, the rest in a file without a name that goes with its last handle, however the process ends. No
//! file is touched on a worker's own thread. What is kept comes from a [`RequestBody`], whatever that checks on its way, and becomes
//! one again.

mod kept;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};

use super::body::{BodyError, RequestBody};
pub(crate) use kept::Kept;

/// How bodies are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Bytes of a body that are kept in memory; what is longer goes to a file.
    pub memory: usize,
    /// Where the files are.
    pub directory: PathBuf,
    /// The longest body.
    pub limit: Option<u64>,
}

impl SpoolSettings {
    /// Makes the directory, which nobody else may enter, and tries whether files can be made in it.
    pub fn prepare(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.directory)?;
        tempfile::tempfile_in(&self.directory).map(drop)
    }
}

/// Why a body was not kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The client's side of it.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The client sent nothing for too long.
    #[error("the client sent no more of the request body for {limit:?}")]
    Idle {
        /// The bound.
        limit: Duration,
    },
    /// The body is longer than may be kept.
    #[error("the request body is longer than the {limit} bytes that are taken here")]
    TooLong {
        /// The bound.
        limit: u64,
    },
    /// The disk, or the share of it that is ours, is full.
    #[error("there is no room for a request body in {directory}: {source}")]
    Full {
        /// Where.
        directory: Arc<Path>,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("a request body cannot be kept in {directory}: {source}")]
    Storage {
        /// Where.
        directory: Arc<Path>,
        /// What the system said.
        source: io::Error,
    },
}

/// Takes a body whole. `idle` bounds each standstill of the client.
pub(crate) async fn keep(
    mut body: RequestBody,
    settings: &SpoolSettings,
    idle: Duration,
) -> Result<RequestBody, SpoolError> {
    let limit = settings.limit.unwrap_or(u64::MAX);
    let announced = body.announced();
    if announced > limit {
        return Err(SpoolError::TooLong { limit });
    }
    let mut keeper = Keeper::new(settings, announced);
    let progress = Arc::clone(body.progress());
    let mut crawls = pin!(progress.crawls(idle));
    while let Some(data) = next(&mut body, idle, crawls.as_mut()).await? {
        if data.len() as u64 > limit - keeper.length {
            return Err(SpoolError::TooLong { limit });
        }
        keeper.take(data).await.map_err(|source| storage(settings, source))?;
    }
    let kept = keeper.finish().await.map_err(|source| storage(settings, source))?;
    Ok(RequestBody::kept(kept, body.framing()))
}

async fn next(
    body: &mut RequestBody,
    idle: Duration,
    crawls: Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<Bytes>, SpoolError> {
    let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
    let frame = tokio::select! {
        biased;
        frame = tokio::time::timeout(idle, frame) => frame.ok(),
        () = crawls => None,
    };
    let Some(frame) = frame else { return Err(SpoolError::Idle { limit: idle }) };
    // A request body has no trailers any more.
    Ok(frame.transpose()?.and_then(|frame: Frame<Bytes>| frame.into_data().ok()))
}

fn storage(settings: &SpoolSettings, source: io::Error) -> SpoolError {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let directory = Arc::from(settings.directory.as_path());
    if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
        return SpoolError::Full { directory, source };
    }
    SpoolError::Storage { directory, source }
}

/// A body that is being taken.
#[derive(Debug)]
struct Keeper<'a> {
    settings: &'a SpoolSettings,
    /// What is in no file yet. Copied together: a piece of a body may keep a far larger buffer alive.
    buffer: Vec<u8>,
    file: Option<File>,
    length: u64,
}

impl<'a> Keeper<'a> {
    fn new(settings: &'a SpoolSettings, announced: u64) -> Self {
        let capacity = usize::try_from(announced).map_or(settings.memory, |length| length.min(settings.memory));
        Self { settings, buffer: Vec::with_capacity(capacity), file: None, length: 0 }
    }

    async fn take(&mut self, data: Bytes) -> io::Result<()> {
        self.length += data.len() as u64;
        if self.buffer.len() + data.len() <= self.settings.memory {
            self.buffer.extend_from_slice(&data);
            return Ok(());
        }
        self.write(data, false).await
    }

    /// Writes the buffer and what follows it; the `last` time the file goes back to its beginning.
    async fn write(&mut self, data: Bytes, last: bool) -> io::Result<()> {
        let (file, mut buffer) = (self.file.take(), std::mem::take(&mut self.buffer));
        let directory = file.is_none().then(|| self.settings.directory.clone());
        let written = tokio::task::spawn_blocking(move || {
            let mut file = match (file, directory) {
                (Some(file), _) => file,
                (None, directory) => tempfile::tempfile_in(directory.unwrap_or_default())?,
            };
            file.write_all(&buffer)?;
            file.write_all(&data)?;
            if last {
                file.rewind()?;
            }
            buffer.clear();
            Ok::<_, io::Error>((file, buffer))
        });
        let (file, buffer) = written.await.map_err(io::Error::other)??;
        (self.file, self.buffer) = (Some(file), buffer);
        Ok(())
    }

    async fn finish(mut self) -> io::Result<Kept> {
        if self.file.is_some() {
            self.write(Bytes::new(), true).await?;
        }
        match self.file {
            Some(file) => Ok(Kept::in_file(file, self.length)),
            None => Ok(Kept::in_memory(self.buffer.into())),
        }
    }
}
