//! Whose turn it is: one line for each caller, and the callers in turn.
//!
//! Plain bookkeeping. Who waits, and how they hear that it is their turn, is the caller's business.

use std::collections::{HashMap, VecDeque};

use super::CallerKey;

/// Who holds what has been taken, and who waits.
#[derive(Debug)]
pub(super) struct Turns<W> {
    /// How many have been let in and not left.
    running: usize,
    waiting: usize,
    tickets: u64,
    /// Each caller with a line, the one whose turn is next in front.
    order: VecDeque<CallerKey>,
    /// Never an empty one.
    lines: HashMap<CallerKey, VecDeque<(u64, W)>>,
}

/// What becomes of someone who comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came<W> {
    /// They are in.
    In,
    /// They wait; this is their number. Where there was no more room, the one who had to go.
    Waits(u64, Option<W>),
    /// There is no room to wait.
    Full,
}

impl<W> Turns<W> {
    pub(super) fn new() -> Self {
        Self { running: 0, waiting: 0, tickets: 0, order: VecDeque::new(), lines: HashMap::new() }
    }

    /// Someone comes. At most `at_once` are in, and `room` wait.
    ///
    /// A queue that is full with the requests of one caller is not full for another: the newest of the longest line makes room for
    /// who has a shorter one.
    pub(super) fn come(&mut self, who: &CallerKey, at_once: usize, room: usize, wake: impl FnOnce() -> W) -> Came<W> {
        if self.running < at_once {
            self.running += 1;
            return Came::In;
        }
        let mut gone = None;
        if self.waiting >= room {
            let own = self.lines.get(who).map_or(0, VecDeque::len);
            gone = self.make_room(own);
            if gone.is_none() {
                return Came::Full;
            }
        }
        let ticket = self.tickets;
        self.tickets += 1;
        let line = self.lines.entry(who.clone()).or_default();
        if line.is_empty() {
            self.order.push_back(who.clone());
        }
        line.push_back((ticket, wake()));
        self.waiting += 1;
        Came::Waits(ticket, gone)
    }

    /// Someone leaves who was in: the next in turn, who is in now, or none.
    pub(super) fn leave(&mut self) -> Option<W> {
        let next = self.next();
        if next.is_none() {
            self.running = self.running.saturating_sub(1);
        }
        next
    }

    /// Someone does not wait any more.
    pub(super) fn give_up(&mut self, who: &CallerKey, ticket: u64) {
        let Some(line) = self.lines.get_mut(who) else { return };
        let Some(place) = line.iter().position(|(other, _)| *other == ticket) else { return };
        line.remove(place);
        self.waiting -= 1;
        if line.is_empty() {
            self.forget(who);
        }
    }

    fn next(&mut self) -> Option<W> {
        let who = self.order.pop_front()?;
        let line = self.lines.get_mut(&who)?;
        let (_, wake) = line.pop_front()?;
        self.waiting -= 1;
        if line.is_empty() {
            self.lines.remove(&who);
        } else {
            self.order.push_back(who);
        }
        Some(wake)
    }

    /// Takes the newest of the longest line, if that stays no shorter than a line of `own` grown by one.
    fn make_room(&mut self, own: usize) -> Option<W> {
        let (who, line) = self.lines.iter_mut().max_by_key(|(_, line)| line.len())?;
        if line.len() <= own + 1 {
            return None;
        }
        let (_, wake) = line.pop_back()?;
        let emptied = line.is_empty().then(|| who.clone());
        self.waiting -= 1;
        if let Some(who) = emptied {
            self.forget(&who);
        }
        Some(wake)
    }

    fn forget(&mut self, who: &CallerKey) {
        self.lines.remove(who);
        self.order.retain(|other| other != who);
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        let in_lines: usize = self.lines.values().map(VecDeque::len).sum();
        assert_eq!(in_lines, self.waiting);
        assert!(self.lines.values().all(|line| !line.is_empty()));
        assert_eq!(self.order.len(), self.lines.len());
        assert!(self.order.iter().all(|who| self.lines.contains_key(who)));
        (self.running, self.waiting)
    }
}
