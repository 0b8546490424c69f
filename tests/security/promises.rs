//! `docs/threat-model.md` names a test for each promise, and the tests that it names are there.
//!
//! A test is named as `` `path/of/a/file.rs: name_of_a_test, another` ``. Under the headings of [`HELD`] each row of a table names one.

use std::fs;
use std::path::{Path, PathBuf};

/// The sections whose rows are promises.
const HELD: [&str; 3] = ["## Promises", "## Invariants", "## What went wrong elsewhere"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn page() -> String {
    fs::read_to_string(root().join("docs/threat-model.md")).unwrap()
}

/// The tests that a line names: file and function.
fn named(line: &str) -> Vec<(String, String)> {
    let spans = line.split('`').skip(1).step_by(2);
    let tests = spans
        .filter_map(|span| span.split_once(".rs: "))
        .flat_map(|(file, names)| names.split(", ").map(move |name| (format!("{file}.rs"), name.to_owned())));
    tests.collect()
}

/// Whether a file holds this function under an attribute of a test, or within a `proptest!`.
fn holds(text: &str, name: &str) -> bool {
    let mut before = "";
    for line in text.lines().map(str::trim) {
        let declared =
            line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ").and_then(|rest| rest.split_once('('));
        if declared.is_some_and(|(own, _)| own == name) && before.contains("test") {
            return true;
        }
        // Attributes may stand between the one of a test and its function.
        if !(before.contains("test") && line.starts_with("#[")) {
            before = line;
        }
    }
    false
}

#[test]
fn every_test_that_is_named_is_there() {
    let (mut count, mut wrong) = (0, Vec::new());
    for (number, line) in page().lines().enumerate() {
        for (file, name) in named(line) {
            count += 1;
            let text = fs::read_to_string(root().join(&file)).unwrap_or_default();
            if !holds(&text, &name) {
                wrong.push(format!("docs/threat-model.md:{}: {file} has no test {name}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 100, "only {count} tests are named");
}

#[test]
fn every_promise_names_a_test() {
    let (mut rows, mut without) = (0, Vec::new());
    let page = page();
    for heading in HELD {
        let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no section {heading}"));
        let section = &page[start + 1..];
        let section = section.find("\n## ").map_or(section, |end| &section[..end]);
        // The line above a rule is the head of a table.
        let (all, rule) = (section.lines(), |line: &str| line.starts_with("|--"));
        let below = section.lines().skip(1).chain([""]);
        let table = all.zip(below).filter(|(line, below)| line.starts_with('|') && !rule(line) && !rule(below));
        let table: Vec<&str> = table.map(|(line, _)| line).collect();
        assert!(!table.is_empty(), "{heading} has no table");
        for row in table {
            rows += 1;
            if named(row).is_empty() {
                without.push(row.to_owned());
            }
        }
    }
    assert!(without.is_empty(), "these promises name no test:\n{}", without.join("\n"));
    assert!(rows >= 40, "only {rows} promises");
}

#[test]
fn tests_are_told_from_other_functions() {
    let text = "#[test]\nfn one() {}\nfn two() {}\n#[tokio::test]\n#[ignore]\nasync fn three() {}\n    #[test]\n    fn four(x in 0..1) {}\n";
    let found = ["one", "two", "three", "four", "on", "five"].map(|name| holds(text, name));
    assert_eq!(found, [true, false, true, true, false, false]);
    let line = "| a | `src/a/b.rs: one, two` and `c`, `tests/d.rs: three` |";
    let expected = [("src/a/b.rs", "one"), ("src/a/b.rs", "two"), ("tests/d.rs", "three")];
    assert_eq!(named(line), expected.map(|(file, name)| (file.to_owned(), name.to_owned())));
}
