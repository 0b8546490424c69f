//! Workers: one thread and one single-threaded runtime each, accepting from their own sockets.
//!
//! Measured, this costs less processor time per request than one runtime over many threads. What a worker's
//! services share (pools, caches) is decided by who makes them.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::mpsc;
use tower_service::Service;

use super::connection::{self, ConnectionInfo, Inbound, LiveSettings};
use super::entrance::Entrance;
use super::listener::{Acceptor, Bound, Listeners, ListeningSocket, Security};
use super::shutdown::{Shutdown, ShutdownWatch};
use super::stream::{PeerAddr, Stream};
use crate::metrics::Metrics;

/// Running worker threads.
#[derive(Debug)]
pub struct Workers {
    bound: Vec<Bound>,
    threads: Vec<thread::JoinHandle<()>>,
    ended: mpsc::UnboundedReceiver<usize>,
}

impl Workers {
    /// Starts one thread per worker of `listeners`, named `name-0` and so on. They end after `shutdown` says so, once their
    /// connections have.
    ///
    /// `make_worker` is called once on each worker's thread, within its runtime, and yields what makes the service of each
    /// connection there: so a worker can have things of its own that other workers never touch.
    pub fn start<W, M, S, B>(
        name: &str,
        listeners: Listeners,
        settings: impl Into<LiveSettings>,
        shutdown: &Shutdown,
        make_worker: W,
    ) -> io::Result<Self>
    where
        W: Fn(usize) -> M + Send + Sync + 'static,
        M: Fn(&ConnectionInfo) -> S + Send + Sync + 'static,
        S: Service<Request<Inbound>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (ending, ended) = mpsc::unbounded_channel();
        let mut workers = Self { bound: listeners.bound().to_vec(), threads: Vec::new(), ended };
        let make_worker = Arc::new(make_worker);
        let settings = settings.into();
        let entrance = Arc::new(Entrance::default());

        // All runtimes first: once the first worker accepts, nothing should fail any more.
        let security = listeners.security();
        let mut prepared = Vec::new();
        for sockets in listeners.into_workers() {
            prepared.push((tokio::runtime::Builder::new_current_thread().enable_all().build()?, sockets));
        }
        for (index, (runtime, sockets)) in prepared.into_iter().enumerate() {
            let ending = Ending { index, tell: ending.clone() };
            let make_worker = Arc::clone(&make_worker);
            let (settings, security) = (settings.clone(), security.clone());
            let entrance = Arc::clone(&entrance);
            let watch = shutdown.watch();
            let thread = thread::Builder::new().name(format!("{name}-{index}")).spawn(move || {
                let _ending = ending;
                let outcome = runtime.block_on(async {
                    let make_service = make_worker(index);
                    work(index, sockets, security, settings, watch, entrance, make_service).await
                });
                if let Err(error) = outcome {
                    tracing::error!(worker = index, %error, "a worker cannot accept connections");
                }
                // What still runs is cut, and is not waited for: a blocking task may take its time.
                runtime.shutdown_background();
            });
            // Half a server is none: those that run already end again.
            workers.threads.push(thread.inspect_err(|_| shutdown.cut())?);
        }
        Ok(workers)
    }

    /// Where they listen, in configured order.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// The addresses among that.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.bound.iter().filter_map(Bound::tcp).collect()
    }

    /// Waits for the next worker that ends, and returns its number; `None` when none is left.
    pub async fn next_ended(&mut self) -> Option<usize> {
        self.ended.recv().await
    }

    /// Waits until every worker has ended.
    pub async fn all_ended(&mut self) {
        while self.next_ended().await.is_some() {}
    }
}

/// Tells that a worker is gone, also when it panicked.
struct Ending {
    index: usize,
    tell: mpsc::UnboundedSender<usize>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Nobody listens any more when the whole server is gone.
        let _ = self.tell.send(self.index);
    }
}

async fn work<M, S, B>(
    index: usize,
    sockets: Vec<ListeningSocket>,
    security: Security,
    settings: LiveSettings,
    global: ShutdownWatch,
    entrance: Arc<Entrance>,
    make_service: M,
) -> io::Result<()>
where
    M: Fn(&ConnectionInfo) -> S + Send + Sync + 'static,
    S: Service<Request<Inbound>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let acceptors = sockets.into_iter().map(Acceptor::new).collect::<io::Result<Vec<_>>>()?;
    let shutdown = Shutdown::new();
    let following = shutdown.clone();
    tokio::spawn(async move { following.follow(global).await });

    // Every connection holds a sender; the channel ends with the last of them.
    let (alive, mut all_gone) = mpsc::channel::<Infallible>(1);
    let make_service = Arc::new(make_service);
    let begin = |listener: usize, mut stream: Stream, peer: PeerAddr| {
        let settings = settings.now();
        // Fails where the client is gone already.
        let Ok(local) = stream.local_addr() else { return };
        let Some(mut place) = entrance.admit(&settings, listener, peer) else {
            // The end that costs least; it is best effort.
            let _ = stream.reset_when_dropped();
            return;
        };
        let (entrance, make_service) = (Arc::clone(&entrance), Arc::clone(&make_service));
        let (watch, alive, tls) = (shutdown.watch(), alive.clone(), security.of(listener, peer));
        let open = settings.metrics.as_ref().map(Metrics::connection);
        tokio::spawn(async move {
            let identified = entrance.identify(&settings, listener, peer, &mut stream, &mut place, watch.clone()).await;
            let Some(peer) = identified else { return };
            let info = ConnectionInfo { peer, local, listener, worker: index, certificate: None };
            let make_service = |info: &ConnectionInfo| make_service(info);
            connection::serve(stream, info, tls, make_service, settings, watch).await;
            drop((open, place, alive));
        });
    };

    let metrics = settings.now().metrics.clone();
    let mut draining = shutdown.watch();
    tokio::select! {
        () = draining.draining() => {}
        never = accept_all(&acceptors, metrics.as_ref(), &begin) => match never {},
    }
    for acceptor in acceptors {
        let listener = acceptor.address;
        for (stream, peer) in acceptor.close() {
            begin(listener, stream, peer);
        }
    }
    drop(alive);
    // Ends with the last connection; nothing is ever sent.
    let _ = all_gone.recv().await;
    Ok(())
}

async fn accept_all(
    acceptors: &[Acceptor],
    metrics: Option<&Metrics>,
    begin: &impl Fn(usize, Stream, PeerAddr),
) -> Infallible {
    let mut next = 0;
    let mut backoff = Backoff::default();
    loop {
        let (position, outcome) = accept_any(acceptors, next).await;
        next = position + 1;
        match outcome {
            Ok((stream, peer)) => {
                backoff.succeeded();
                begin(acceptors[position].address, stream, peer);
            }
            Err(error) => {
                let failure = backoff.failed(&error);
                if failure.first_of_burst {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                }
                if let Some(pause) = failure.pause {
                    metrics.inspect(|metrics| metrics.accept_failed());
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

/// Accepts from whichever socket has a connection, beginning with the one after the last, so that none starves.
async fn accept_any(acceptors: &[Acceptor], first: usize) -> (usize, io::Result<(Stream, PeerAddr)>) {
    poll_fn(|cx| {
        let count = acceptors.len();
        for position in (0..count).map(|offset| (first + offset) % count) {
            if let Poll::Ready(outcome) = acceptors[position].poll_accept(cx) {
                return Poll::Ready((position, outcome));
            }
        }
        Poll::Pending
    })
    .await
}

/// What to do about errors of `accept`.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct Failure {
    first_of_burst: bool,
    pause: Option<Duration>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(1);

    fn succeeded(&mut self) {
        self.failures = 0;
    }

    fn failed(&mut self, error: &io::Error) -> Failure {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        // These are about one client that has gone away; the next may be in the queue already.
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return Failure { first_of_burst: false, pause: None };
        }
        // The others (no file descriptor, no memory) are about us: the queue stays readable, and asking again at once spins.
        let pause = Self::FIRST.saturating_mul(1 << self.failures.min(8)).min(Self::LONGEST);
        let first_of_burst = self.failures == 0;
        self.failures = self.failures.saturating_add(1);
        Failure { first_of_burst, pause: Some(pause) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::{Backoff, Failure};

    #[test]
    fn running_out_of_descriptors_pauses_longer_and_is_logged_once() {
        let exhausted = io::Error::other("too many open files");
        let mut backoff = Backoff::default();
        let first = backoff.failed(&exhausted);
        assert_eq!(first, Failure { first_of_burst: true, pause: Some(Backoff::FIRST) });
        let mut before = Backoff::FIRST;
        for _ in 0..100 {
            let next = backoff.failed(&exhausted);
            assert!(!next.first_of_burst);
            let pause = next.pause.unwrap();
            assert!(pause >= before && pause <= Backoff::LONGEST);
            before = pause;
        }
        assert_eq!(before, Backoff::LONGEST);
        backoff.succeeded();
        assert!(backoff.failed(&exhausted).first_of_burst);
    }

    #[test]
    fn a_client_that_went_away_costs_no_pause() {
        let mut backoff = Backoff::default();
        let failure = backoff.failed(&io::ErrorKind::ConnectionAborted.into());
        assert_eq!(failure, Failure { first_of_burst: false, pause: None });
        assert_eq!(backoff.failed(&io::Error::other("no buffers")).pause, Some(Duration::from_millis(50)));
    }
}
