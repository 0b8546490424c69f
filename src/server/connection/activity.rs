//! What a connection is doing, and how long it may take to begin its next request.
//!
//! hyper has one time-out for both "no request yet" and "a request head that does not end". It asks a timer for it though, when
//! it begins to wait for a head, and drops the timer's future when the head is complete. [`HeadTimer`] uses that to
//! know exactly when a connection waits, and to time the two apart.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt;
use tokio::time::Instant;

use super::ConnectionSettings;
use crate::server::alarm::Alarm;

/// What one connection is doing. Shared by the parts of one task, so the atomics only have to satisfy `Send`.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    waiting: AtomicBool,
    arrived: AtomicBool,
    draining: AtomicBool,
    moved: AtomicBool,
    /// Something waits to be taken by the client.
    unsent: AtomicBool,
    /// Until when it may be idle, once that has lasted for long enough to be parked.
    parking: Mutex<Option<Instant>>,
    requests: AtomicU64,
}

impl Activity {
    /// The socket has read something.
    pub(crate) fn bytes_arrived(&self) {
        self.arrived.store(true, Relaxed);
    }

    /// The socket has written something.
    pub(crate) fn bytes_left(&self) {
        self.moved.store(true, Relaxed);
    }

    /// Whether the client has to take something before more can be written.
    pub(crate) fn unsent(&self, is_unsent: bool) {
        self.unsent.store(is_unsent, Relaxed);
    }

    /// Until when it may be idle, where it is worth parking: it has been idle for a while, and nothing waits to be sent.
    pub(crate) fn parking_until(&self) -> Option<Instant> {
        if !self.is_idle() || self.unsent.load(Relaxed) {
            return None;
        }
        *self.parking()
    }

    /// Whether it has written something since this was asked last.
    pub(crate) fn has_moved(&self) -> bool {
        self.moved.swap(false, Relaxed)
    }

    /// The gateway is ending: answers from now on are the last on this connection.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Whether the gateway is ending.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// No request is being answered, and nothing of the next one has come.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.load(Relaxed) && !self.arrived.load(Relaxed)
    }

    /// A part of a request head has come, and its end has not.
    pub(crate) fn is_within_head(&self) -> bool {
        self.waiting.load(Relaxed) && self.arrived.load(Relaxed)
    }

    /// Counts a request, and says how many there were with it.
    pub(crate) fn count_request(&self) -> u64 {
        self.requests.fetch_add(1, Relaxed) + 1
    }

    fn parking(&self) -> MutexGuard<'_, Option<Instant>> {
        self.parking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_head(&self) {
        self.arrived.store(false, Relaxed);
        *self.parking() = None;
        self.waiting.store(true, Relaxed);
    }

    fn head_is_complete(&self) {
        self.waiting.store(false, Relaxed);
    }
}

/// The first head that a timer is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FirstHead {
    /// It must have come by then: a client that has just connected has a request to send; only later ones may take their time.
    Due(Instant),
    /// It may begin until then.
    Idle(Instant),
}

/// The timer of one connection.
#[derive(Debug)]
pub(crate) struct HeadTimer {
    activity: Arc<Activity>,
    first_head: FirstHead,
    header_timeout: Duration,
    idle_timeout: Duration,
    park_after: Duration,
    used: AtomicBool,
    alarm: Arc<Mutex<Alarm>>,
}

impl HeadTimer {
    pub(crate) fn new(activity: &Arc<Activity>, first_head: FirstHead, settings: &ConnectionSettings) -> Self {
        Self {
            activity: Arc::clone(activity),
            first_head,
            header_timeout: settings.header_timeout,
            idle_timeout: settings.idle_timeout,
            park_after: settings.park_after,
            used: AtomicBool::new(false),
            alarm: Arc::default(),
        }
    }

    fn wait(&self) -> Pin<Box<dyn rt::Sleep>> {
        self.activity.wait_for_head();
        let now = Instant::now();
        let (deadline, head_begun) = match self.first_head {
            _ if self.used.swap(true, Relaxed) => (now + self.idle_timeout, false),
            FirstHead::Due(deadline) => (deadline, true),
            FirstHead::Idle(deadline) => (deadline, false),
        };
        Box::pin(HeadDeadline {
            activity: Arc::clone(&self.activity),
            alarm: Arc::clone(&self.alarm),
            deadline,
            park_at: (!head_begun).then(|| now + self.park_after),
            header_timeout: self.header_timeout,
            head_begun,
        })
    }
}

/// hyper's server asks for nothing but the deadline of the next head; the durations are ours.
impl rt::Timer for HeadTimer {
    fn sleep(&self, _duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.wait()
    }

    fn sleep_until(&self, _deadline: std::time::Instant) -> Pin<Box<dyn rt::Sleep>> {
        self.wait()
    }
}

/// Lives from the moment a connection waits for a head until that is complete.
struct HeadDeadline {
    activity: Arc<Activity>,
    alarm: Arc<Mutex<Alarm>>,
    deadline: Instant,
    /// When it has been idle for long enough to be parked.
    park_at: Option<Instant>,
    header_timeout: Duration,
    head_begun: bool,
}

impl rt::Sleep for HeadDeadline {}

impl Future for HeadDeadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // Where the beginning of a head was read together with the end of the request before it, nothing arrives until the
        // rest of it does: such a head has the idle time-out for its first part, which bounds it as well.
        if !this.head_begun && this.activity.is_within_head() {
            this.head_begun = true;
            this.deadline = Instant::now() + this.header_timeout;
            this.park_at = None;
        }
        let mut alarm = this.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(park_at) = this.park_at.filter(|park_at| *park_at < this.deadline) {
            ready!(alarm.poll(cx, park_at));
            this.park_at = None;
            *this.activity.parking() = Some(this.deadline);
        }
        alarm.poll(cx, this.deadline)
    }
}

impl Drop for HeadDeadline {
    fn drop(&mut self) {
        self.activity.head_is_complete();
    }
}
