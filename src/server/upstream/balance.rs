//! Which address gets a request: of those that should get any, the one with the fewest under way; those with equally many take turns.
//!
//! Plain choice over what is told of each address.

/// Most addresses of one upstream.
pub(super) const MOST: usize = 64;

/// What counts about one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Requests under way.
    pub(super) load: usize,
    /// Whether it should get requests.
    pub(super) is_in: bool,
}

/// Which addresses one request has been sent to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried(u64);

impl Tried {
    /// Notes an address.
    pub(super) fn add(&mut self, index: usize) {
        self.0 |= 1 << (index % MOST);
    }

    /// How many there were.
    pub(super) fn count(self) -> u32 {
        self.0.count_ones()
    }

    fn has(self, index: usize) -> bool {
        self.0 >> (index % MOST) & 1 == 1
    }
}

/// Chooses by `turn`, a number that grows by one with each choice. None when all have been tried.
///
/// Those that should get no requests come last, but they come: when nobody is in, the request is worth a try with anybody, since
/// what took them out may be wrong, or over.
pub(super) fn choose(count: usize, turn: usize, tried: Tried, of: impl Fn(usize) -> Candidate) -> Option<usize> {
    let mut best: Option<(bool, usize, usize)> = None;
    for step in 0..count {
        let index = (turn.wrapping_add(step)) % count;
        if tried.has(index) {
            continue;
        }
        let Candidate { load, is_in } = of(index);
        let better = best.is_none_or(|(out, least, _)| (!is_in, load) < (out, least));
        if better {
            best = Some((!is_in, load, index));
        }
    }
    best.map(|(_, _, index)| index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Candidate, MOST, Tried, choose};

    fn all(candidates: &[(usize, bool)], turn: usize, tried: Tried) -> Option<usize> {
        choose(candidates.len(), turn, tried, |index| {
            let (load, is_in) = candidates[index];
            Candidate { load, is_in }
        })
    }

    #[test]
    fn the_least_loaded_gets_it_and_equals_take_turns() {
        let none = Tried::default();
        assert_eq!(all(&[(3, true), (1, true), (2, true)], 0, none), Some(1));
        let turns: Vec<_> = (0..6).map(|turn| all(&[(1, true), (1, true), (1, true)], turn, none).unwrap()).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
        // Of equals the busy one is left out.
        let turns: Vec<_> = (0..4).map(|turn| all(&[(1, true), (2, true), (1, true)], turn, none).unwrap()).collect();
        assert_eq!(turns, [0, 2, 2, 0]);
    }

    #[test]
    fn who_is_out_gets_nothing_while_somebody_is_in() {
        let none = Tried::default();
        assert_eq!(all(&[(0, false), (9, true)], 0, none), Some(1));
        assert_eq!(all(&[(2, false), (1, false)], 0, none), Some(1), "when nobody is in, anybody is tried");
    }

    #[test]
    fn nobody_is_tried_twice() {
        let mut tried = Tried::default();
        tried.add(1);
        assert_eq!(all(&[(5, false), (0, true)], 1, tried), Some(0), "better one that is out than one that has failed");
        tried.add(0);
        assert_eq!((all(&[(5, false), (0, true)], 1, tried), tried.count()), (None, 2));
        assert_eq!(all(&[], 7, Tried::default()), None);
    }

    proptest! {
        #[test]
        fn the_choice_is_the_best_there_is(
            candidates in prop::collection::vec((0_usize..4, any::<bool>()), 1..MOST),
            turn in any::<usize>(),
            out in prop::collection::vec(0..MOST, 0..5),
        ) {
            let mut tried = Tried::default();
            for index in &out {
                tried.add(*index);
            }
            let chosen = all(&candidates, turn, tried);
            let open = |index: &usize| !out.contains(index);
            match chosen {
                None => prop_assert!((0..candidates.len()).all(|index| !open(&index))),
                Some(index) => {
                    prop_assert!(open(&index));
                    let key = |index: usize| (!candidates[index].1, candidates[index].0);
                    prop_assert!((0..candidates.len()).filter(open).all(|other| key(index) <= key(other)));
                }
            }
        }
    }
}
