//! A piece of a body that is being written.

use std::ops::Deref;

use bytes::{Buf as _, Bytes, BytesMut};

/// What is left of it: in the memory of whoever has read it, as long as the peer takes it at once.
#[derive(Debug, Default)]
pub(super) struct Piece {
    lent: Bytes,
    /// Empty while something is lent.
    kept: BytesMut,
}

impl Piece {
    /// Puts another in place of one that was written.
    pub(super) fn set(&mut self, data: Bytes) {
        debug_assert!(self.is_empty(), "something would be lost");
        self.lent = data;
    }

    /// Takes what was written off its beginning.
    pub(super) fn advance(&mut self, count: usize) {
        if self.lent.is_empty() {
            return self.kept.advance(count);
        }
        self.lent.advance(count);
        if self.lent.is_empty() {
            // Whoever reads into its memory may have it again.
            self.lent = Bytes::new();
        }
    }

    /// Moves what is left into memory of our own, because it will take a while. Whoever has read it reads on, and would have to get
    /// other memory for that each time; what the peer did not take is mostly little.
    pub(super) fn keep(&mut self) {
        if !self.lent.is_empty() && !self.lent.is_unique() {
            self.kept.extend_from_slice(&self.lent);
            self.lent = Bytes::new();
        }
    }

    /// Gives back the memory for what is kept.
    pub(super) fn rest(&mut self) {
        if self.kept.is_empty() {
            self.kept = BytesMut::new();
        }
    }
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.lent.is_empty() { &self.kept } else { &self.lent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that is read into, with this in it.
    fn memory(content: &[u8]) -> (BytesMut, Bytes) {
        let mut memory = BytesMut::with_capacity(content.len());
        memory.extend_from_slice(content);
        let piece = memory.split().freeze();
        (memory, piece)
    }

    #[test]
    fn what_is_kept_is_nobody_elses_memory() {
        let mut piece = Piece::default();
        let (mut memory, data) = memory(b"0123456789");
        piece.set(data);
        piece.advance(3);
        assert!(!memory.try_reclaim(10), "it is lent");
        piece.keep();
        assert!(memory.try_reclaim(10), "it was given back");
        memory.extend_from_slice(b"abcdefghij");
        assert_eq!(&*piece, b"3456789");
        piece.advance(2);
        piece.keep();
        assert_eq!(&*piece, b"56789");
        piece.advance(5);
        assert!(piece.is_empty());
    }

    #[test]
    fn what_is_written_at_once_is_given_back() {
        let mut piece = Piece::default();
        let (mut memory, data) = memory(b"0123456789");
        piece.set(data);
        piece.advance(10);
        assert!(piece.is_empty() && memory.try_reclaim(10));
    }

    #[test]
    fn the_memory_for_what_is_kept_is_used_again() {
        let mut piece = Piece::default();
        let mut places = Vec::new();
        for _ in 0..10 {
            let (_memory, data) = memory(&[7; 5000]);
            piece.set(data);
            piece.keep();
            places.push(piece.as_ptr());
            piece.advance(2000);
            piece.advance(3000);
        }
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }

    #[test]
    fn what_nobody_reads_into_stays_where_it_is() {
        let mut piece = Piece::default();
        let data = Bytes::from(vec![7; 5000]);
        let place = data.as_ptr();
        piece.set(data);
        piece.keep();
        assert_eq!(piece.as_ptr(), place);
    }
}
