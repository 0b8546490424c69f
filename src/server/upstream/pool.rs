//! Kept connections of one worker to one address of an upstream, as long as one request at a time is on each (HTTP/1.1).
//!
//! The newest is used first, so that under falling load the oldest become idle, and a reaper closes them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Permit;
use super::endpoint::{Endpoint, UnderWay};
use super::http1::Connection;
use super::link::Link;
use crate::server::progress::Progress;

/// Most connections that are kept for one worker.
const MOST: usize = 512;

/// The kept connections.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    idle: VecDeque<(Instant, Box<Connection>)>,
    reaping: bool,
}

impl Pool {
    /// Takes the newest connection that can still be used.
    ///
    /// For a request that can be sent only once, `look` first hears of what the kernel knows already: an upstream's FIN may have
    /// come together with the request, and would be read after it.
    pub(super) async fn take(&self, limit: Duration, look: bool) -> Option<Box<Connection>> {
        loop {
            let (since, mut link) = self.lock().idle.pop_back()?;
            if look {
                // The runtime polls its sockets before it comes back here.
                tokio::task::yield_now().await;
            }
            if since.elapsed() < limit && link.is_silent() {
                return Some(link);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what has been idle for too long, and says when to look again.
    fn reap(&self, limit: Duration) -> Option<Instant> {
        let mut kept = self.lock();
        kept.idle.retain_mut(|(since, link)| since.elapsed() < limit && link.is_silent());
        let next = kept.idle.front().map(|(since, _)| *since + limit);
        kept.reaping = next.is_some();
        next
    }
}

/// A link in use, whose connection is kept again once its response has been read to the end. Dropped before, it is closed.
#[derive(Debug)]
pub(super) struct Release {
    under_way: UnderWay,
    link: Link,
    progress: Arc<Progress>,
    /// Passes on after the connection has gone.
    permit: Option<Permit>,
}

impl Release {
    pub(super) fn new(under_way: UnderWay, link: Link, progress: Arc<Progress>, permit: Option<Permit>) -> Self {
        Self { under_way, link, progress, permit }
    }

    /// Whether the request was sent whole.
    pub(super) fn is_sent(&self) -> bool {
        self.progress.is_done()
    }

    /// The link, for what is still under way over it.
    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// The same, to look at.
    pub(super) fn shown(&self) -> &Link {
        &self.link
    }

    /// Keeps the connection, if it can be used again: an upstream that answered before the whole request was read cannot. What is shared
    /// is kept anyway.
    pub(super) fn keep(self) {
        let Self { permit: _permit, under_way, link, progress } = self;
        let worker = under_way.worker();
        let (endpoint, Link::Http1(mut link)) = (under_way.endpoint(), link) else { return };
        let Some(limit) = endpoint.keeps_for() else { return };
        if !progress.is_done() || !link.may_be_kept() {
            return;
        }
        link.rest();
        let mut kept = endpoint.pool(worker).lock();
        if kept.idle.len() < MOST {
            kept.idle.push_back((Instant::now(), link));
        }
        if !kept.reaping {
            kept.reaping = true;
            drop(kept);
            tokio::spawn(reap(Arc::downgrade(endpoint), worker, limit));
        }
    }
}

async fn reap(endpoint: Weak<Endpoint>, worker: usize, limit: Duration) {
    let mut next = Instant::now() + limit;
    loop {
        tokio::time::sleep_until(next).await;
        let Some(endpoint) = endpoint.upgrade() else { return };
        match endpoint.pool(worker).reap(limit) {
            Some(later) => next = later,
            None => return,
        }
    }
}
