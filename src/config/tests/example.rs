//! The `gateway.toml` at the top of the repository.

use std::path::Path;

use proptest::prelude::*;

use super::super::Config;

const EXAMPLE: &str = include_str!("../../../gateway.toml");

/// The optional key or header that a comment line holds.
fn optional(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("# ")?;
    let key =
        rest.find(" = ").is_some_and(|at| rest[..at].bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
    (key || rest.starts_with('[')).then_some(rest)
}

fn uncommented(wanted: impl Fn(usize, &str) -> bool) -> String {
    let lines = EXAMPLE.lines().enumerate().map(|(n, line)| match optional(line) {
        Some(rest) if wanted(n, rest) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn checked(text: &str) -> (Config, String) {
    let checked = Config::parse_with_warnings(text, "gateway.toml", Path::new(""), &|_| None);
    let (config, warnings) = checked.unwrap_or_else(|report| panic!("{report}"));
    (config, warnings.to_string())
}

#[test]
fn it_is_correct_and_nothing_is_to_be_warned_of() {
    let (config, warnings) = checked(EXAMPLE);
    assert_eq!(warnings, "");
    assert_eq!((config.routes.len(), config.rules.len(), config.authn.len()), (1, 2, 1));
}

#[test]
fn every_optional_line_is_correct_too() {
    let count = EXAMPLE.lines().filter(|line| optional(line).is_some()).count();
    assert!(count > 40, "only {count} optional lines were found");
    let (config, _) = checked(&uncommented(|_, _| true));
    assert_eq!((config.routes.len(), config.rules.len(), config.authn.len()), (2, 3, 3));
    assert!(config.token.listen.is_some());
}

/// A comment in parentheses says what the default is where the line itself does not.
#[test]
fn optional_lines_show_the_defaults() {
    let in_block = |n: usize| {
        let before: Vec<_> = EXAMPLE.lines().take(n + 1).collect();
        before.iter().rev().take_while(|line| line.starts_with('#')).any(|line| line.starts_with("# [["))
    };
    let text = uncommented(|n, rest| !rest.contains("# (") && !in_block(n));
    assert_ne!(text, EXAMPLE.trim_end());
    assert_eq!(format!("{:#?}", checked(&text).0), format!("{:#?}", checked(EXAMPLE).0));
}

/// docs/configuration.md is the reference of every key that the example shows, and of no other.
#[test]
fn the_reference_names_the_same_keys() {
    use std::collections::BTreeSet;
    let reference = include_str!("../../../docs/configuration.md");
    let documented: BTreeSet<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(key, _)| key)
        .filter(|key| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .collect();
    let everything = uncommented(|_, _| true);
    let shown: BTreeSet<&str> = everything
        .lines()
        .filter_map(|line| line.strip_prefix("# ").unwrap_or(line).split_once(" = "))
        .map(|(key, _)| key)
        .filter(|key| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        // A group of the example, not a key.
        .filter(|key| *key != "admins")
        .collect();
    assert_eq!(documented, shown);
}

proptest! {
    /// However the file is broken, what is said points into it, and nothing panics.
    #[test]
    fn a_broken_file_is_still_judged(from in 0usize..10_000, length in 0usize..12, with in "[ -~é\\n\"'\\[\\]={}]{0,6}") {
        let whole = uncommented(|_, _| true);
        let boundary = |mut at: usize| {
            at = at.min(whole.len());
            while !whole.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (boundary(from % whole.len()), boundary(from % whole.len() + length));
        let text = format!("{}{with}{}", &whole[..start], &whole[end..]);
        if let Err(report) = Config::parse(&text, "gateway.toml", Path::new(""), &|_| None) {
            let lines = text.split('\n').count();
            prop_assert!(report.has_errors());
            for diagnostic in report.diagnostics() {
                let place = diagnostic.place.as_ref().unwrap();
                prop_assert!((1..=lines).contains(&place.line) && place.caret <= place.text.chars().count(), "{report}");
            }
        }
    }
}
