//! The configuration: the input is the text of a `gateway.toml`.

use std::fmt::Write as _;
use std::path::Path;

use tidegate::config::{Config, Place, Report};
use toml::de::{DeTable, DeValue};

/// A folder that is not there, so that no file is read.
const NOWHERE: &str = "/nowhere/of/tidegate";
/// What the environment holds, whatever the variable.
const VARIABLE: &str = "Env-Kept-Secret-0451";

/// Holds what is told of a file against the file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Only a path from the root leads to something; what is there does not end, or is not ours to read.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") {
        return;
    }
    let env = |_: &str| Some(VARIABLE.to_owned());
    let checked = Config::parse_with_warnings(text, "gateway.toml", Path::new(NOWHERE), &env);
    let report = match &checked {
        Ok((_, warnings)) => {
            assert!(!warnings.has_errors(), "{warnings}");
            warnings
        }
        Err(report) => {
            assert!(report.has_errors() && !report.is_unreadable(), "{report}");
            report
        }
    };
    points_into(report, text);
    let plain = Config::parse(text, "gateway.toml", Path::new(NOWHERE), &env);
    assert_eq!(plain.is_ok(), checked.is_ok(), "what is warned of is not refused");

    let mut told = format!("{report}\n{}", serde_json::to_string(report.diagnostics()).unwrap());
    if let Ok((config, _)) = &checked {
        let _ = write!(told, "\n{config:?}");
    }
    for secret in secrets(text) {
        // One that stands elsewhere too may be shown there.
        let once = text.matches(&*secret).count() == 1;
        assert!(!once || !told.contains(&*secret), "{secret:?} is told:\n{told}");
    }
    assert!(!told.contains(VARIABLE), "{told}");
}

/// Each place is one of the text, and carets stand under the line that is shown.
fn points_into(report: &Report, text: &str) {
    let lines: Vec<&str> = text.split('\n').collect();
    for diagnostic in report.diagnostics() {
        let Place { line, column, text: shown, caret, caret_width } =
            diagnostic.place.as_ref().expect("the text was read");
        assert!((1..=lines.len()).contains(line), "{diagnostic:?}");
        let own = lines[line - 1].chars().count();
        assert!((1..=own + 1).contains(column), "{diagnostic:?}");
        let width = shown.chars().count();
        assert!(*caret <= width && *caret_width >= 1, "{diagnostic:?}");
        assert!(*caret == width || caret + caret_width <= width, "{diagnostic:?}");
        assert!(!shown.chars().any(char::is_control), "{diagnostic:?}");
    }
    let printed = report.to_string();
    assert!(!printed.chars().any(|char| char.is_control() && char != '\n'), "{printed:?}");
}

/// Values that are secret wherever they stand, each long enough to be told from other words.
fn secrets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    match DeTable::parse(text) {
        Ok(table) => under_secret_keys(table.get_ref(), &mut found),
        // Of a broken file only the plainest lines are sure to be what they look like.
        Err(_) if text.contains("\"\"\"") || text.contains("'''") => {}
        Err(_) => found.extend(text.lines().filter_map(plain_line)),
    }
    found.retain(|secret| secret.len() >= 12);
    found
}

const SECRET_KEYS: [&str; 5] = ["password", "password_hash", "secret", "secret_hash", "hash"];

fn under_secret_keys(table: &DeTable<'_>, found: &mut Vec<String>) {
    for (key, value) in table {
        match value.get_ref() {
            DeValue::String(text) if SECRET_KEYS.contains(&&**key.get_ref()) => found.push(text.clone().into_owned()),
            value => within(value, found),
        }
    }
}

fn within(value: &DeValue<'_>, found: &mut Vec<String>) {
    match value {
        DeValue::Table(table) => under_secret_keys(table, found),
        DeValue::Array(items) => items.iter().for_each(|item| within(item.get_ref(), found)),
        _ => {}
    }
}

/// `key = "value"` and nothing else.
fn plain_line(line: &str) -> Option<String> {
    let (key, value) = line.trim().split_once(" = \"")?;
    let value = value.strip_suffix('"')?;
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (plain && SECRET_KEYS.contains(&key)).then(|| value.to_owned())
}
