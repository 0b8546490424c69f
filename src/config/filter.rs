//! jq texts within the configuration: where in the file a mistake within such a text stands.

use std::sync::Arc;

use super::item::Item;
use super::source::Span;
use crate::jq::{CompileError, Filter, Predicate};

/// A filter, compiled.
pub(super) fn filter(item: &Item<'_>) -> Option<Arc<Filter>> {
    let text = item.text_as("a jq filter")?;
    Filter::compile(text).map_err(|error| report(item, text, &error, "filter")).map(Arc::new).ok()
}

/// A predicate, compiled.
pub(super) fn predicate(item: &Item<'_>) -> Option<Predicate> {
    let text = item.text_as("a jq predicate")?;
    Predicate::compile(text).map_err(|error| report(item, text, &error, "predicate")).ok()
}

fn report(item: &Item<'_>, text: &str, error: &CompileError, what: &str) {
    let raw = item.reader.source.slice(item.span);
    let span = match (position(raw, text, error.offset), position(raw, text, error.offset + error.length.max(1))) {
        (Some(start), Some(end)) => Span { start: item.span.start + start, end: item.span.start + end },
        _ => item.span,
    };
    item.reader.error("bad-filter", span, format!("this {what} does not compile: {}", error.message), "");
}

/// Where in a TOML string, as it stands in the file, the byte of its value at an offset comes from.
///
/// `None` when the text is written in a way that this does not follow, or the offset is beyond its end.
fn position(raw: &str, value: &str, offset: usize) -> Option<usize> {
    let (open, basic) = ["\"\"\"", "'''", "\"", "'"]
        .iter()
        .find(|open| raw.starts_with(**open))
        .map(|open| (open.len(), open.starts_with('"')))?;
    let body = raw.get(open..raw.len().checked_sub(open)?)?;
    let mut at = 0;
    if open == 3 {
        // TOML 1.0, "String": a line end right after the opening delimiter is no part of the value.
        at = if body.starts_with("\r\n") { 2 } else { usize::from(body.starts_with('\n')) };
    }
    let mut decoded = 0;
    let mut found = (offset == 0).then_some(at);
    while at < body.len() {
        let rest = body.get(at..)?;
        let (taken, made) = if basic { step(rest)? } else { char_step(rest)? };
        if made > 0 && decoded <= offset && offset < decoded + made {
            found = Some(at);
        }
        at += taken;
        decoded += made;
    }
    if offset == value.len() {
        found = Some(body.len());
    }
    // The walk is right only when it ends where the parser ended.
    (decoded == value.len()).then_some(found?).map(|at| open + at)
}

fn char_step(rest: &str) -> Option<(usize, usize)> {
    // A CRLF within a multi-line string may be kept or become LF; such a text fails the final comparison if it was changed.
    let char = rest.chars().next()?;
    Some((char.len_utf8(), char.len_utf8()))
}

/// Bytes of the file and bytes of the value of the next piece of a basic string.
fn step(rest: &str) -> Option<(usize, usize)> {
    let Some(escape) = rest.strip_prefix('\\') else { return char_step(rest) };
    let digits = match escape.chars().next()? {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        'b' | 't' | 'n' | 'f' | 'r' | 'e' | '"' | '\\' => return Some((2, 1)),
        // A backslash at the end of a line swallows the white space up to the next text.
        _ => return Some((1 + escape.len() - escape.trim_start_matches([' ', '\t', '\r', '\n']).len(), 0)),
    };
    let code = u32::from_str_radix(escape.get(1..=digits)?, 16).ok()?;
    Some((2 + digits, char::from_u32(code)?.len_utf8()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toml::de::DeValue;

    use super::position;

    /// What the file shows at the place of the value's byte at this offset.
    fn at(raw: &str, offset: usize) -> Option<&str> {
        let parsed = DeValue::parse(raw).unwrap();
        position(raw, parsed.get_ref().as_str().unwrap(), offset).map(|at| &raw[at..])
    }

    #[test]
    fn every_kind_of_string() {
        assert_eq!(at("'.a == 1'", 3), Some("== 1'"));
        assert_eq!(at("\".a == 1\"", 3), Some("== 1\""));
        assert_eq!(at("'''\n.a ==\n1'''", 6), Some("1'''"));
        assert_eq!(at("\"\"\"\r\n.a == 1\"\"\"", 0), Some(".a == 1\"\"\""));
        assert_eq!(at("\".a == \\\"x\\\" | y\"", 9), Some(" | y\""));
        assert_eq!(at("\"\\u00e9 | y\"", 3), Some("| y\""));
        assert_eq!(at("\"\"\"a \\\n   | y\"\"\"", 2), Some("| y\"\"\""));
        assert_eq!(at("'ab'", 2), Some("'"));
        assert_eq!(at("'ab'", 3), None);
    }

    proptest! {
        #[test]
        fn every_byte_of_a_quoted_text_is_found(text in "[ -~é\\n\\t]{1,20}", offset in 0usize..20) {
            let raw = toml::Value::String(text.clone()).to_string();
            let offset = offset % text.len();
            prop_assume!(text.is_char_boundary(offset));
            let char = text[offset..].chars().next().unwrap();
            let found = at(&raw, offset).unwrap();
            prop_assert!(found.starts_with(char) || found.starts_with('\\'), "{raw} {offset} {found}");
        }
    }
}
