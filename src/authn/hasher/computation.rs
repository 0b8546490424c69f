//! One computation, in threads of its own that let everybody else go first.
//!
//! It runs under `SCHED_IDLE`, on what others leave over of the processors: whatever wakes while it computes is run before it. Where nothing is left
//! over, that would be for good, and Linux lets no unprivileged thread back out of that policy. So a second thread stands by, and begins the
//! same work with a share once the first has had its time; the first to end has the result.
//!
//! That a thread has to go last does not make it do so at once. The kernel compares it with a thread that wakes, but if the one that computes has waited lately, it is its
//! turn for a moment more; and what was decided then stands until the next tick, 4 ms at 250 Hz, as `perf sched timehist` shows. Whoever woke meanwhile waits as long. Two things
//! prevent that: it gives up what it has gained by waiting before it begins, and the thread that stands by wakes often, so that the kernel
//! compares again.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// How long a computation may live on what others leave over before it is begun once more with a share.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// How often the kernel is made to compare who should run.
const COMPARED_EVERY: Duration = Duration::from_micros(250);

/// Work whose result is wanted once, and which may be done twice for it.
pub(super) struct Computation<T, W> {
    work: W,
    /// How much nicer than others the thread is that has a share.
    niceness: i32,
    end: Mutex<Option<End<T>>>,
}

/// What the first to end does. The permits travel with the work: a client that goes away does not make room for more than the bound.
struct End<T> {
    result: oneshot::Sender<T>,
    permits: [OwnedSemaphorePermit; 2],
    done: Arc<AtomicU64>,
}

impl<T: Send + 'static, W: Fn() -> T + Send + Sync + 'static> Computation<T, W> {
    /// `done` is increased by one when it ends, and `permits` are given back.
    pub(super) fn new(
        work: W,
        niceness: i32,
        permits: [OwnedSemaphorePermit; 2],
        done: &Arc<AtomicU64>,
    ) -> (Arc<Self>, oneshot::Receiver<T>) {
        let (result, receiver) = oneshot::channel();
        let end = Mutex::new(Some(End { result, permits, done: Arc::clone(done) }));
        (Arc::new(Self { work, niceness, end }), receiver)
    }

    /// Begins it: on what others leave over, which takes a `place` until that thread has ended, and with a share after `patience`; or with a share
    /// at once.
    ///
    /// Fails if there is no thread to be had.
    pub(super) fn begin(self: Arc<Self>, place: Option<OwnedSemaphorePermit>, patience: Duration) -> io::Result<()> {
        // Its priority is a thread's for good, so that it does nothing else afterwards.
        in_thread(move || match place {
            Some(place) => self.on_leftovers(place, patience),
            None => self.with_share(),
        })
    }

    fn on_leftovers(self: &Arc<Self>, place: OwnedSemaphorePermit, patience: Duration) {
        let (until_dropped, ended) = mpsc::channel();
        let second = Arc::clone(self);
        // Begun while this thread is as urgent as any, so that the other is too.
        if in_thread(move || second.stand_by(&ended, patience)).is_err() || go_last().is_err() {
            drop(until_dropped);
            return self.with_share();
        }
        thread::yield_now();
        let result = (self.work)();
        // Before others hear of it: the next computation wants the place.
        drop(place);
        self.end(result);
    }

    /// Waits for the end of the first thread, which drops the other half of the channel.
    fn stand_by(&self, ended: &mpsc::Receiver<Infallible>, patience: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if ended.recv_timeout(COMPARED_EVERY) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
        self.with_share();
    }

    fn with_share(&self) {
        // Where it is not allowed, it takes its share as any other.
        let _ = rustix::process::nice(self.niceness);
        self.end((self.work)());
    }

    fn end(&self, result: T) {
        if let Some(end) = self.end.lock().unwrap_or_else(PoisonError::into_inner).take() {
            end.done.fetch_add(1, Ordering::Relaxed);
            drop(end.permits);
            // Nobody may wait for it any more.
            let _ = end.result.send(result);
        }
    }
}

fn in_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("password".to_owned()).spawn(work).map(drop)
}

/// Makes the calling thread run when no other wants the processor.
fn go_last() -> Result<(), thread_priority::Error> {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::sync::{Mutex, mpsc};
    use std::time::Duration;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use rustix::time::{ClockId, clock_gettime};
    use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy};
    use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

    use super::Computation;

    /// Longer than any test.
    const FOR_EVER: Duration = Duration::from_secs(3600);

    /// Begins `work` with a niceness of 7.
    fn begin<T: Send + 'static>(
        place: &Arc<Semaphore>,
        patience: Duration,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> oneshot::Receiver<T> {
        let permit = || -> OwnedSemaphorePermit { Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap() };
        let (computation, result) = Computation::new(work, 7, [permit(), permit()], &Arc::new(AtomicU64::new(0)));
        computation.begin(Arc::clone(place).try_acquire_owned().ok(), patience).unwrap();
        result
    }

    fn goes_last() -> bool {
        thread_schedule_policy().unwrap() == ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle)
    }

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn a_computation_goes_last_while_there_is_a_place_and_has_a_share_when_there_is_none() {
        let (place, before) = (Arc::new(Semaphore::new(1)), niceness());
        assert!(begin(&place, FOR_EVER, goes_last).blocking_recv().unwrap());
        assert_eq!(place.available_permits(), 1, "given back before the result");
        let taken = Arc::clone(&place).try_acquire_owned().unwrap();
        let observed = begin(&place, FOR_EVER, || (goes_last(), niceness())).blocking_recv().unwrap();
        // There is no more than 19.
        assert_eq!(observed, (false, (before + 7).min(19)));
        drop(taken);
        assert_eq!((goes_last(), niceness()), (false, before));
    }

    #[test]
    fn what_does_not_get_on_is_done_with_a_share() {
        let place = Arc::new(Semaphore::new(1));
        let (starve, starving) = mpsc::channel::<()>();
        let starving = Mutex::new(starving);
        let work = move || {
            if goes_last() {
                // Nothing is left over, until the other half is dropped.
                let _ = starving.lock().unwrap().recv();
                return -100;
            }
            niceness()
        };
        let before = niceness();
        let result = begin(&place, Duration::from_millis(1), work).blocking_recv().unwrap();
        assert_eq!(result, (before + 7).min(19));
        assert_eq!(place.available_permits(), 0, "the first thread is still there");
        drop(starve);
        while place.available_permits() == 0 {
            std::thread::yield_now();
        }
    }

    /// How often the calling thread had to make room for another.
    fn made_room() -> u64 {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    }

    #[test]
    fn the_kernel_compares_far_more_often_than_at_each_tick() {
        // A thread that sleeps makes room on its own processor only.
        let all = sched_getaffinity(None).unwrap();
        let mut one = CpuSet::new();
        one.set((0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).unwrap());
        sched_setaffinity(None, &one).unwrap();
        let work = || {
            let computed = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
            let (end, before) = (computed() + Duration::from_millis(20), made_room());
            while computed() < end {}
            made_room() - before
        };
        let times = begin(&Arc::new(Semaphore::new(1)), FOR_EVER, work).blocking_recv().unwrap();
        // At a kernel's tick of 1 ms it would be 20 at most, at 4 ms 5; every 250 us and what the kernel adds: 65.
        assert!(times > 30, "{times} times in 20 ms of computing");
    }
}
