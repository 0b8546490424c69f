//! Telling a collector: OTLP over HTTP, in its JSON encoding, from a thread of its own.
//!
//! What a collector does not take in time is dropped and counted in an event. No request ever waits for it.

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::TraceSettings;
use super::spans::text;

/// Requests whose spans may wait.
const WAITING: usize = 2048;
/// Spans of one message.
const BATCH: usize = 512;
/// How long the first span of a message waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end waits for what is to be told.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The thread's other end. Dropping it tells what is left.
#[derive(Debug)]
pub(super) struct Exporter {
    spans: Option<SyncSender<Vec<Value>>>,
    dropped: Arc<AtomicU64>,
    ended: Mutex<Receiver<()>>,
}

impl Exporter {
    pub(super) fn start(settings: TraceSettings) -> io::Result<Self> {
        let (spans, waiting) = sync_channel(WAITING);
        let (ending, ended) = sync_channel(1);
        let dropped = Arc::new(AtomicU64::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut telling = Telling { settings, dropped: Arc::clone(&dropped), reported: 0, failing: false };
        thread::Builder::new().name("traces".to_owned()).spawn(move || {
            telling.run(&waiting, &runtime);
            let _ = ending.send(());
        })?;
        Ok(Self { spans: Some(spans), dropped, ended: Mutex::new(ended) })
    }

    /// Tells of the spans of a request, or drops them where too many wait.
    pub(super) fn tell(&self, spans: Vec<Value>) {
        let sent = self.spans.as_ref().map(|queue| queue.try_send(spans));
        if let Some(Err(TrySendError::Full(spans) | TrySendError::Disconnected(spans))) = sent {
            self.dropped.fetch_add(spans.len() as u64, Relaxed);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.spans = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // A collector that stands still must not keep the process from ending.
        let _ = ended.recv_timeout(LAST_WAIT);
    }
}

struct Telling {
    settings: TraceSettings,
    dropped: Arc<AtomicU64>,
    /// How many of the dropped have been reported.
    reported: u64,
    failing: bool,
}

impl Telling {
    fn run(&mut self, waiting: &Receiver<Vec<Value>>, runtime: &tokio::runtime::Runtime) {
        while let Ok(mut batch) = waiting.recv() {
            let first = Instant::now();
            let mut last = false;
            while batch.len() < BATCH && !last {
                match waiting.recv_timeout(LINGER.saturating_sub(first.elapsed())) {
                    Ok(mut more) => batch.append(&mut more),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => last = true,
                }
            }
            let count = batch.len() as u64;
            let message = message(&self.settings.service, &batch);
            let told = runtime.block_on(async {
                let told = tokio::time::timeout(PATIENCE, self.post(message)).await;
                told.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}").into()))
            });
            self.report(told, count);
        }
    }

    async fn post(&self, message: String) -> Result<(), Box<dyn Error + Send + Sync>> {
        let TraceSettings { host, port, path, .. } = &self.settings;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let request = Request::post(path)
            .header(HOST, format!("{host}:{port}"))
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(message)))?;
        let answer = sender.send_request(request).await?;
        connection.abort();
        match answer.status() {
            StatusCode::OK | StatusCode::ACCEPTED => Ok(()),
            status => Err(format!("it answers {status}").into()),
        }
    }

    fn report(&mut self, told: Result<(), Box<dyn Error + Send + Sync>>, count: u64) {
        match told {
            Ok(()) if std::mem::take(&mut self.failing) => tracing::warn!("the collector takes traces again"),
            Ok(()) => {}
            Err(error) => {
                self.dropped.fetch_add(count, Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!("the collector does not take traces: {error}; they are lost until it does");
                }
            }
        }
        let dropped = self.dropped.load(Relaxed);
        if dropped > self.reported && !self.failing {
            tracing::warn!(spans = dropped - self.reported, "spans of traces were lost");
            self.reported = dropped;
        }
    }
}

fn message(service: &str, spans: &[Value]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    json!({ "resourceSpans": [{
        "resource": { "attributes": [text("service.name", service), text("service.version", version)] },
        "scopeSpans": [{ "scope": { "name": "tidegate", "version": version }, "spans": spans }],
    }] })
    .to_string()
}
