//! Numbers that many threads add to: each thread to a place of its own, which a scrape adds up.
//!
//! To count costs an uncontended atomic addition: where the number is, follows from the position of an enum's value.

use std::array;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::labels::Label;

/// Most places that a number has. More threads than that share them.
const MOST_SHARDS: usize = 16;

/// Labels together: none, or a tuple of them.
pub(super) trait Labels: Copy {
    /// How many combinations there are.
    const COUNT: usize;

    /// The position of a combination.
    fn index(self) -> usize;

    /// Names and values of the combination at a position.
    fn pairs(index: usize) -> Vec<(&'static str, &'static str)>;
}

impl Labels for () {
    const COUNT: usize = 1;

    fn index(self) -> usize {
        0
    }

    fn pairs(_index: usize) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

impl<A: Label> Labels for (A,) {
    const COUNT: usize = A::VALUES.len();

    fn index(self) -> usize {
        self.0.index()
    }

    fn pairs(index: usize) -> Vec<(&'static str, &'static str)> {
        vec![pair::<A>(index)]
    }
}

impl<A: Label, B: Label> Labels for (A, B) {
    const COUNT: usize = A::VALUES.len() * B::VALUES.len();

    fn index(self) -> usize {
        self.0.index() * B::VALUES.len() + self.1.index()
    }

    fn pairs(index: usize) -> Vec<(&'static str, &'static str)> {
        vec![pair::<A>(index / B::VALUES.len()), pair::<B>(index)]
    }
}

impl<A: Label, B: Label, C: Label, D: Label> Labels for (A, B, C, D) {
    const COUNT: usize = <(A, B)>::COUNT * <(C, D)>::COUNT;

    fn index(self) -> usize {
        (self.0, self.1).index() * <(C, D)>::COUNT + (self.2, self.3).index()
    }

    fn pairs(index: usize) -> Vec<(&'static str, &'static str)> {
        let mut pairs = <(A, B)>::pairs(index / <(C, D)>::COUNT);
        pairs.extend(<(C, D)>::pairs(index % <(C, D)>::COUNT));
        pairs
    }
}

fn pair<L: Label>(index: usize) -> (&'static str, &'static str) {
    (L::NAME, L::VALUES.get(index % L::VALUES.len()).copied().unwrap_or_default())
}

/// A cache line, so that no two threads write to the same.
#[derive(Debug)]
#[repr(align(64))]
struct Line([AtomicU64; Line::LEN]);

impl Line {
    const LEN: usize = 8;
}

/// A row of numbers, once for each shard.
#[derive(Debug)]
struct Cells {
    lines: Box<[Line]>,
    /// Lines of one shard.
    stride: usize,
}

impl Cells {
    fn new(count: usize) -> Self {
        let stride = count.div_ceil(Line::LEN);
        let lines = (0..stride * shards()).map(|_| Line(array::from_fn(|_| AtomicU64::new(0)))).collect();
        Self { lines, stride }
    }

    /// Adds to a number, wrapping: to subtract is to add the complement.
    fn add(&self, index: usize, amount: u64) {
        if let Some(number) = self.at(shard(), index) {
            number.fetch_add(amount, Relaxed);
        }
    }

    fn sum(&self, index: usize) -> u64 {
        let numbers = (0..shards()).filter_map(|shard| self.at(shard, index));
        numbers.fold(0, |sum, number| sum.wrapping_add(number.load(Relaxed)))
    }

    fn at(&self, shard: usize, index: usize) -> Option<&AtomicU64> {
        self.lines.get(shard * self.stride + index / Line::LEN)?.0.get(index % Line::LEN)
    }
}

/// How many shards there are: a power of two.
fn shards() -> usize {
    static SHARDS: AtomicUsize = AtomicUsize::new(0);
    match SHARDS.load(Relaxed) {
        0 => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            // The first answer stays, should the machine give another one later.
            let shards = cores.next_power_of_two().min(MOST_SHARDS);
            SHARDS.compare_exchange(0, shards, Relaxed, Relaxed).map_or_else(|first| first, |_| shards)
        }
        shards => shards,
    }
}

/// The shard of the calling thread.
fn shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static SHARD: Cell<usize> = const { Cell::new(usize::MAX) });
    SHARD.with(|own| match own.get() {
        usize::MAX => {
            let shard = THREADS.fetch_add(1, Relaxed) & (shards() - 1);
            own.set(shard);
            shard
        }
        shard => shard,
    })
}

/// Numbers that only grow, one for each combination of labels.
#[derive(Debug)]
pub(super) struct Counters<L> {
    cells: Cells,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Counters<L> {
    pub(super) fn count(&self, labels: L) {
        self.add(labels, 1);
    }

    pub(super) fn add(&self, labels: L, amount: u64) {
        self.cells.add(labels.index(), amount);
    }

    pub(super) fn value(&self, index: usize) -> u64 {
        self.cells.sum(index)
    }
}

impl<L: Labels> Default for Counters<L> {
    fn default() -> Self {
        Self { cells: Cells::new(L::COUNT), labels: PhantomData }
    }
}

/// How many there are of something now.
#[derive(Debug)]
pub(super) struct Level(Cells);

impl Level {
    pub(super) fn rise(&self) {
        self.0.add(0, 1);
    }

    pub(super) fn fall(&self) {
        self.0.add(0, u64::MAX);
    }

    /// What rose on one thread may have fallen on another, whose part is then below zero; and a scrape may see the one and not yet
    /// the other.
    pub(super) fn value(&self) -> u64 {
        u64::try_from(self.0.sum(0).cast_signed()).unwrap_or_default()
    }
}

impl Default for Level {
    fn default() -> Self {
        Self(Cells::new(1))
    }
}

/// The upper bounds of the buckets in seconds, and in nanoseconds: from what a kept decision takes to a large layer over a slow line.
pub(super) const BOUNDS: [(f64, u64); 16] = [
    (0.001, 1_000_000),
    (0.0025, 2_500_000),
    (0.005, 5_000_000),
    (0.01, 10_000_000),
    (0.025, 25_000_000),
    (0.05, 50_000_000),
    (0.1, 100_000_000),
    (0.25, 250_000_000),
    (0.5, 500_000_000),
    (1.0, 1_000_000_000),
    (2.5, 2_500_000_000),
    (5.0, 5_000_000_000),
    (10.0, 10_000_000_000),
    (30.0, 30_000_000_000),
    (120.0, 120_000_000_000),
    (600.0, 600_000_000_000),
];

/// Buckets, the one above the last bound, and the sum.
const WIDTH: usize = BOUNDS.len() + 2;

/// How long things took, for each combination of labels.
#[derive(Debug)]
pub(super) struct Times<L> {
    cells: Cells,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Times<L> {
    pub(super) fn took(&self, labels: L, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().take_while(|(_, bound)| *bound < nanos).count();
        let first = labels.index() * WIDTH;
        self.cells.add(first + bucket, 1);
        self.cells.add(first + WIDTH - 1, nanos);
    }

    /// How many are in each bucket, the last one without a bound.
    pub(super) fn buckets(&self, index: usize) -> [u64; WIDTH - 1] {
        array::from_fn(|bucket| self.cells.sum(index * WIDTH + bucket))
    }

    /// All times together, in nanoseconds.
    pub(super) fn sum(&self, index: usize) -> u64 {
        self.cells.sum(index * WIDTH + WIDTH - 1)
    }
}

impl<L: Labels> Default for Times<L> {
    fn default() -> Self {
        Self { cells: Cells::new(L::COUNT * WIDTH), labels: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::{BOUNDS, Counters, Labels, Level, Times};
    use crate::metrics::labels::{Action, Label, Protocol, Route, Status};

    #[test]
    fn every_combination_has_a_place_of_its_own() {
        type All = (Route, Action, Status, Protocol);
        let mut seen = vec![false; All::COUNT];
        for route in [Route::Registry, Route::Token, Route::None] {
            for action in [Action::Ping, Action::Push, Action::None] {
                for code in [200, 299, 507, 999] {
                    for protocol in [Protocol::Http1, Protocol::Http2] {
                        let index = (route, action, Status::new(code), protocol).index();
                        assert!(!std::mem::replace(&mut seen[index], true));
                        let expected = [
                            ("route", Route::VALUES[route.index()]),
                            ("action", Action::VALUES[action.index()]),
                            ("status", Status::VALUES[Status::new(code).index()]),
                            ("protocol", Protocol::VALUES[protocol.index()]),
                        ];
                        assert_eq!(All::pairs(index), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn what_threads_count_adds_up() {
        let counters = Counters::<(Protocol,)>::default();
        let level = Level::default();
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    (0..1000).for_each(|_| counters.count((Protocol::Http2,)));
                    level.rise();
                });
            }
        });
        // On another thread than they rose.
        (0..18).for_each(|_| level.fall());
        assert_eq!([0, 1].map(|index| counters.value(index)), [0, 20_000]);
        assert_eq!(level.value(), 2);
        (0..3).for_each(|_| level.fall());
        assert_eq!(level.value(), 0);
    }

    #[test]
    fn a_time_is_in_the_first_bucket_that_holds_it() {
        for (bound, nanos) in BOUNDS {
            assert_eq!(Duration::from_secs_f64(bound), Duration::from_nanos(nanos));
        }
        let times = Times::<(Protocol,)>::default();
        let taken = [0, 1_000_000, 1_000_001, 600_000_000_000, 600_000_000_001];
        for nanos in taken {
            times.took((Protocol::Http2,), Duration::from_nanos(nanos));
        }
        let buckets = times.buckets(1);
        assert_eq!((buckets[0], buckets[1], buckets[15], buckets[16]), (2, 1, 1, 1));
        assert_eq!(times.sum(1), taken.iter().sum::<u64>());
        assert_eq!((times.buckets(0).iter().sum::<u64>(), times.sum(0)), (0, 0));
    }
}
