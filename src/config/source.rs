//! The text of a configuration file: offsets to lines and columns, and lines fit to be shown.
//!
//! What must not be shown is marked here before the first line is printed; what is secret is decided in `mask`.

use std::cell::{Cell, OnceCell};
use std::ops::Range;
use std::sync::Arc;

use super::mask::secrets;
use super::report::Place;
use super::tree::Table;

/// A range of bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// The text of a file, with its name as the operator wrote it.
#[derive(Debug)]
pub(super) struct Source<'a> {
    name: Arc<str>,
    text: &'a str,
    /// Where each line begins, once that was asked.
    lines: OnceCell<Vec<usize>>,
    /// The offset that was asked for last, and its line.
    counted: Cell<(usize, usize)>,
    /// What holds the secrets that no line is shown with.
    tree: Option<&'a Table<'a>>,
    /// What is shown as `****`, once that was asked; sorted, not overlapping.
    masks: OnceCell<Vec<Span>>,
}

/// How a masked value is shown: always the same, so that not even its length is told.
pub(super) const MASK: &str = "****";
/// A tab is shown as that many blanks, so that carets stand where they should.
const TAB: &str = "    ";

impl<'a> Source<'a> {
    pub(super) fn new(name: &str, text: &'a str) -> Self {
        Self {
            name: name.into(),
            text,
            lines: OnceCell::new(),
            counted: Cell::new((0, 1)),
            tree: None,
            masks: OnceCell::new(),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The text of a span as it stands in the file.
    pub(super) fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Hides these spans from every line that is shown from now on.
    pub(super) fn mask(&mut self, spans: Vec<Span>) {
        self.masks = OnceCell::from(in_order(spans));
    }

    /// Hides what is secret of this tree from every line that is shown from now on.
    pub(super) fn mask_secrets_of(&mut self, tree: &'a Table<'a>) {
        self.tree = Some(tree);
    }

    fn masks(&self) -> &[Span] {
        self.masks.get_or_init(|| self.tree.map_or_else(Vec::new, |tree| in_order(secrets(tree))))
    }

    fn lines(&self) -> &[usize] {
        let begins = || std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.lines.get_or_init(begins)
    }

    /// The line of an offset, from 1. It counts on from the offset before, since rules are asked for in order.
    pub(super) fn line(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let (from, line) = Some(self.counted.get()).filter(|(before, _)| *before <= offset).unwrap_or((0, 1));
        let between = self.text.as_bytes().get(from..offset).unwrap_or_default();
        // In pieces whose counts fit a byte, of which many are added at once.
        let ends = |piece: &[u8]| usize::from(piece.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>());
        let line = line + between.chunks(usize::from(u8::MAX)).map(ends).sum::<usize>();
        self.counted.set((offset, line));
        line
    }

    /// The bytes of a line (from 1), without its end.
    pub(super) fn line_span(&self, line: usize) -> Span {
        let start = self.lines().get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let end = self.lines().get(line).copied().unwrap_or(self.text.len());
        let text = self.text.get(start..end).unwrap_or_default();
        Span { start, end: start + text.trim_end_matches(['\n', '\r']).len() }
    }

    /// Where a span begins, with its line as it may be shown. A span over several lines is cut at the end of the first.
    pub(super) fn place(&self, span: Span) -> Place {
        let line = self.lines().partition_point(|&start| start <= span.start);
        let whole = self.line_span(line);
        let (mut shown, mut width) = (String::new(), 0);
        let (mut column, mut caret, mut caret_end) = (1, None, 0);
        let mut mask_shown = None;
        for (at, char) in self.slice(whole).char_indices() {
            let at = whole.start + at;
            let piece = match self.mask_at(at) {
                Some(mask) if mask_shown == Some(mask) => "",
                Some(mask) => {
                    mask_shown = Some(mask);
                    MASK
                }
                None if char == '\t' => TAB,
                None if char.is_control() => "\u{fffd}",
                None => self.slice(Span { start: at, end: at + char.len_utf8() }),
            };
            if at < span.start {
                column += 1;
            } else if caret.is_none() {
                // Within a mask that has been shown already, the caret points at that.
                caret = Some(if piece.is_empty() { width - MASK.len() } else { width });
            }
            shown.push_str(piece);
            width += piece.chars().count();
            if at < span.end {
                caret_end = width;
            }
        }
        let caret = caret.unwrap_or(width);
        Place { line, column, text: shown, caret, caret_width: caret_end.saturating_sub(caret).max(1) }
    }

    /// Whether a span begins within what is hidden, so that its text must not be repeated either.
    pub(super) fn is_masked(&self, span: Span) -> bool {
        self.mask_at(span.start).is_some()
    }

    fn mask_at(&self, offset: usize) -> Option<usize> {
        let masks = self.masks();
        let index = masks.partition_point(|mask| mask.end <= offset);
        masks.get(index).is_some_and(|mask| mask.start <= offset).then_some(index)
    }
}

/// Spans in order, none of which overlaps another.
fn in_order(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| span.start);
    let mut end = 0;
    for span in &mut spans {
        span.start = span.start.max(end);
        end = end.max(span.end);
    }
    spans.retain(|span| span.start < span.end);
    spans
}

#[cfg(test)]
mod tests {
    use super::{Source, Span};

    #[test]
    fn columns_count_characters() {
        let text = "a = 1\r\nß = \"x\"\r\n";
        let source = Source::new("f", text);
        let at = text.find('"').unwrap();
        let place = source.place(Span { start: at, end: at + 3 });
        assert_eq!((place.line, place.column, place.text.as_str()), (2, 5, "ß = \"x\""));
        assert_eq!((place.caret, place.caret_width), (4, 3));
    }

    #[test]
    fn a_masked_value_does_not_show_its_length() {
        let text = "p = 'hunter2hunter2', q = 1";
        let mut source = Source::new("f", text);
        source.mask(vec![Span { start: 4, end: 20 }]);
        let place = source.place(Span { start: 22, end: 23 });
        assert_eq!((place.column, place.text.as_str(), place.caret), (23, "p = ****, q = 1", 10));
        let inside = source.place(Span { start: 8, end: 9 });
        assert_eq!((inside.caret, inside.text.as_str()), (4, "p = ****, q = 1"));
    }

    #[test]
    fn lines_are_counted_in_any_order() {
        let text = "a\n\nb\r\nc";
        let source = Source::new("f", text);
        for at in [0, 7, 1, 2, 3, 3, 6, 0, 7, 4, 5] {
            let place = source.place(Span { start: at, end: at });
            assert_eq!(source.line(at), place.line, "{at}");
        }
        assert_eq!(source.line(3), 3);
        let text = "\n".repeat(1000);
        assert_eq!(Source::new("f", &text).line(1000), 1001);
    }

    #[test]
    fn the_end_of_the_file_is_a_place() {
        let source = Source::new("f", "a = ");
        let place = source.place(Span { start: 4, end: 4 });
        assert_eq!((place.line, place.column, place.caret, place.caret_width), (1, 5, 4, 1));
    }
}
