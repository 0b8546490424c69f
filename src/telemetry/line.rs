//! One line of a log: fields in order, in JSON or for eyes, with everything escaped that could look like something else.

use std::cell::Cell;
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::subject::Origin;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Time, kind, then `key=value`, values quoted where they are not plain words.
    Human,
    /// One JSON object.
    Json,
}

/// A line that is being written to the end of a buffer. [`Line::end`] ends it with a newline, and nothing else in it can
/// hold one.
#[derive(Debug)]
pub struct Line<'a> {
    buf: &'a mut Vec<u8>,
    style: Style,
    longest: usize,
}

impl<'a> Line<'a> {
    /// Begins a line with its time and its kind. Texts are cut after `longest` bytes.
    pub fn begin(buf: &'a mut Vec<u8>, style: Style, longest: usize, time: SystemTime, kind: &'static str) -> Self {
        let line = Self { buf, style, longest };
        match style {
            Style::Json => line.buf.extend_from_slice(b"{\"time\":\""),
            Style::Human => {}
        }
        timestamp(line.buf, time);
        match style {
            Style::Json => {
                line.buf.extend_from_slice(b"\",\"kind\":\"");
                line.buf.extend_from_slice(kind.as_bytes());
                line.buf.push(b'"');
            }
            Style::Human => {
                line.buf.push(b' ');
                line.buf.extend_from_slice(kind.as_bytes());
            }
        }
        line
    }

    /// A text, whoever wrote it.
    pub fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        self.value(value);
    }

    /// A text, if there is one.
    pub fn maybe(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// Bytes that should be UTF-8; what is not is replaced.
    pub fn bytes(&mut self, key: &'static str, value: &[u8]) {
        match std::str::from_utf8(value) {
            Ok(text) => self.text(key, text),
            Err(_) => self.text(key, &String::from_utf8_lossy(value)),
        }
    }

    /// Several texts.
    pub fn list<'t>(&mut self, key: &'static str, values: impl Iterator<Item = &'t str>) {
        self.key(key);
        self.buf.push(b'[');
        for (at, value) in values.enumerate() {
            if at > 0 {
                self.buf.push(b',');
            }
            // Words of a list are always quoted: the comma stands between them.
            self.quoted(value);
        }
        self.buf.push(b']');
    }

    /// A value that is explicitly none.
    pub fn none(&mut self, key: &'static str) {
        self.key(key);
        self.buf.extend_from_slice(if self.style == Style::Json { b"null" } else { b"-" });
    }

    /// A whole number.
    pub fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        digits(self.buf, value, 1);
    }

    /// A time span in milliseconds, to the microsecond.
    pub fn millis(&mut self, key: &'static str, value: Duration) {
        self.key(key);
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        digits(self.buf, micros / 1000, 1);
        self.buf.push(b'.');
        digits(self.buf, micros % 1000, 3);
    }

    /// A word of ours, which needs no escapes.
    pub fn word(&mut self, key: &'static str, value: &'static str) {
        self.plain(key, |buf| buf.extend_from_slice(value.as_bytes()));
    }

    /// Where a request comes from.
    pub fn origin(&mut self, key: &'static str, value: Origin) {
        self.plain(key, |buf| match value {
            Origin::Ip(IpAddr::V4(address)) => {
                let [first, others @ ..] = address.octets();
                digits(buf, first.into(), 1);
                for octet in others {
                    buf.push(b'.');
                    digits(buf, octet.into(), 1);
                }
            }
            // Writing to a vector cannot fail.
            other => drop(write!(buf, "{other}")),
        });
    }

    /// Something of ours whose text needs no escapes.
    fn plain(&mut self, key: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        let quote = self.style == Style::Json;
        if quote {
            self.buf.push(b'"');
        }
        write(self.buf);
        if quote {
            self.buf.push(b'"');
        }
    }

    /// Ends the line.
    pub fn end(self) {
        self.buf.extend_from_slice(if self.style == Style::Json { b"}\n" } else { b"\n" });
    }

    fn key(&mut self, key: &'static str) {
        match self.style {
            Style::Json => {
                self.buf.extend_from_slice(b",\"");
                self.buf.extend_from_slice(key.as_bytes());
                self.buf.extend_from_slice(b"\":");
            }
            Style::Human => {
                self.buf.push(b' ');
                self.buf.extend_from_slice(key.as_bytes());
                self.buf.push(b'=');
            }
        }
    }

    fn value(&mut self, value: &str) {
        let word = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'=' | b'[' | b',');
        if self.style == Style::Human
            && !value.is_empty()
            && value != "-"
            && value.len() <= self.longest
            && value.bytes().all(word)
        {
            self.buf.extend_from_slice(value.as_bytes());
        } else {
            self.quoted(value);
        }
    }

    fn quoted(&mut self, value: &str) {
        let shown = cut(value, self.longest);
        self.buf.push(b'"');
        // Without an early end many bytes are looked at at once.
        let is_plain = |ok, b: u8| ok & matches!(b, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
        if shown.bytes().fold(true, is_plain) {
            self.buf.extend_from_slice(shown.as_bytes());
        } else {
            shown.chars().for_each(|c| escaped(self.buf, c));
        }
        if shown.len() < value.len() {
            self.buf.extend_from_slice("…".as_bytes());
        }
        self.buf.push(b'"');
    }
}

/// As much of a text as fits into so many bytes.
fn cut(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

/// One character inside quotes, as JSON has it. Escaped is also what is legal there but moves the cursor, hides, or
/// turns the reading direction where a line is looked at.
fn escaped(buf: &mut Vec<u8>, c: char) {
    match c {
        c if c.is_control() && !matches!(c, '\n' | '\r' | '\t') => unicode_escape(buf, c),
        '"' => buf.extend_from_slice(b"\\\""),
        '\\' => buf.extend_from_slice(b"\\\\"),
        '\n' => buf.extend_from_slice(b"\\n"),
        '\r' => buf.extend_from_slice(b"\\r"),
        '\t' => buf.extend_from_slice(b"\\t"),
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => unicode_escape(buf, c),
        c => buf.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

fn unicode_escape(buf: &mut Vec<u8>, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a vector cannot fail.
        let _ = write!(buf, "\\u{unit:04x}");
    }
}

/// RFC 3339 in UTC with milliseconds. What lies before 1970 or after 9999 is shown as those ends.
pub(super) fn timestamp(buf: &mut Vec<u8>, time: SystemTime) {
    const LAST: Duration = Duration::new(253_402_300_799, 999_000_000);
    thread_local! {
        /// The last second, and its text: most lines are written in the same one as the line before.
        static SECOND: Cell<(u64, [u8; 20])> = const { Cell::new((u64::MAX, [0; 20])) };
    }
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
    let (second, text) = SECOND.get();
    if second == since.as_secs() {
        buf.extend_from_slice(&text);
    } else {
        let begin = buf.len();
        seconds(buf, since);
        if let Some(text) = buf.get(begin..).and_then(|text| text.try_into().ok()) {
            SECOND.set((since.as_secs(), text));
        }
    }
    digits(buf, u64::from(since.subsec_millis()), 3);
    buf.push(b'Z');
}

/// The time of day and the date, to the dot before the milliseconds.
fn seconds(buf: &mut Vec<u8>, since: Duration) {
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    digits(buf, year, 4);
    buf.push(b'-');
    digits(buf, month, 2);
    buf.push(b'-');
    digits(buf, day, 2);
    buf.push(b'T');
    digits(buf, second / 3600, 2);
    buf.push(b':');
    digits(buf, second / 60 % 60, 2);
    buf.push(b':');
    digits(buf, second % 60, 2);
    buf.push(b'.');
}

/// Year, month and day of a number of days since 1970, counted in years that begin in March, so that the leap day is the
/// last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    // 1970-01-01 is day 719,468 of the calendar that begins on 0000-03-01; an era of 400 years has 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let in_next_year = u64::from(month >= 10);
    (era * 400 + year + in_next_year, (month + 2) % 12 + 1, of_month)
}

/// A number in decimal, with at least `width` digits.
fn digits(buf: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut text = [b'0'; 20];
    let mut at = text.len();
    while value > 0 || text.len() - at < width {
        at -= 1;
        text[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    buf.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::{Line, Origin, Style};

    fn line(style: Style, longest: usize, fill: impl FnOnce(&mut Line<'_>)) -> String {
        let mut buf = Vec::new();
        let mut line = Line::begin(&mut buf, style, longest, UNIX_EPOCH + Duration::from_millis(1_234), "test");
        fill(&mut line);
        line.end();
        String::from_utf8(buf).unwrap()
    }

    #[test]
    fn both_styles_show_all_kinds_of_fields() {
        let fill = |line: &mut Line<'_>| {
            line.text("word", "a/b:c");
            line.text("words", "a b");
            line.text("dash", "-");
            line.maybe("missing", None);
            line.none("nobody");
            line.number("zero", 0);
            line.number("most", u64::MAX);
            line.millis("ms", Duration::from_micros(12_005));
            line.origin("ip", Origin::Ip(std::net::Ipv4Addr::LOCALHOST.into()));
            line.word("own", "yes");
            line.list("list", ["a", "b c"].into_iter());
            line.list("empty", std::iter::empty());
        };
        assert_eq!(
            line(Style::Json, 100, fill),
            "{\"time\":\"1970-01-01T00:00:01.234Z\",\"kind\":\"test\",\"word\":\"a/b:c\",\"words\":\"a b\",\"dash\":\"-\",\
             \"nobody\":null,\"zero\":0,\"most\":18446744073709551615,\"ms\":12.005,\"ip\":\"127.0.0.1\",\
             \"own\":\"yes\",\"list\":[\"a\",\"b c\"],\"empty\":[]}\n"
        );
        assert_eq!(
            line(Style::Human, 100, fill),
            "1970-01-01T00:00:01.234Z test word=a/b:c words=\"a b\" dash=\"-\" nobody=- zero=0 \
             most=18446744073709551615 ms=12.005 ip=127.0.0.1 own=yes list=[\"a\",\"b c\"] empty=[]\n"
        );
    }

    #[test]
    fn what_hides_or_moves_is_escaped() {
        let text = line(Style::Human, 100, |line| line.text("t", "a\u{202e}\u{9b}31m\u{1b}[0m\u{200b}\u{e0041}é\r\n"));
        assert!(text.ends_with(" t=\"a\\u202e\\u009b31m\\u001b[0m\\u200b\\udb40\\udc41é\\r\\n\"\n"), "{text}");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = line(Style::Json, 4, |line| line.text("t", "abcéé"));
        assert!(text.ends_with("\"t\":\"abc…\"}\n"), "{text}");
    }

    proptest! {
        #[test]
        fn hostile_text_stays_one_json_value(value in ".{0,40}|[\\x00-\\x1f\"\\\\}{\u{2028}\u{7f}\u{85}]{0,40}") {
            let text = line(Style::Json, 4096, |line| line.text("t", &value));
            prop_assert_eq!(text.matches('\n').count(), 1);
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(parsed["t"].as_str().unwrap(), &value);
            prop_assert_eq!(parsed.as_object().unwrap().len(), 3);
        }

        #[test]
        fn hostile_bytes_stay_one_json_value(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let text = line(Style::Json, 4096, |line| line.bytes("t", &value));
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(parsed["t"].as_str().unwrap(), String::from_utf8_lossy(&value));
        }

        #[test]
        fn a_human_line_is_one_line_and_no_value_makes_a_field(value in "\\PC{0,20}|[ =a\"\n\r\\\\]{0,20}") {
            let text = line(Style::Human, 4096, |line| line.text("t", &value));
            prop_assert_eq!(text.matches('\n').count(), 1);
            let shown = text.trim_end().split_once(" t=").unwrap().1;
            if shown.starts_with('"') {
                prop_assert_eq!(serde_json::from_str::<String>(shown).unwrap(), value);
            } else {
                prop_assert_eq!(shown, &value);
                prop_assert!(!shown.contains([' ', '=', '"']));
            }
        }

        #[test]
        fn times_agree_with_the_calendar(seconds in 0u64..253_402_300_800, millis in 0u64..1000) {
            let mut buf = Vec::new();
            super::timestamp(&mut buf, UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis));
            let text = String::from_utf8(buf).unwrap();
            let parsed = OffsetDateTime::parse(&text, &Rfc3339).unwrap();
            prop_assert_eq!(parsed.unix_timestamp_nanos(), i128::from(seconds * 1000 + millis) * 1_000_000);
            prop_assert_eq!(text.len(), 24);
        }
    }
}
