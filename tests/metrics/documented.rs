//! docs/metrics.md tells of every metric that a gateway has, with its type and its labels, and of no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::scrape::Scrape;
use crate::site::Site;
use crate::upstream::ok;

/// The documentation.
pub(crate) fn text() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap()
}

/// Words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Metric to type and labels, as the tables have them.
fn tables(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found = BTreeMap::new();
    let mut common: BTreeSet<String> = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("## ") {
            common.clear();
        }
        if let Some(rest) = line.strip_prefix("All have the label ") {
            common.extend(quoted(rest).map(str::to_owned));
        }
        let Some(rest) = line.strip_prefix("| `") else { continue };
        let cells: Vec<&str> = rest.split('|').collect();
        let (Some((name, _)), Some(kind), Some(labels)) = (cells[0].split_once('`'), cells.get(1), cells.get(2)) else {
            continue;
        };
        if name.starts_with("tidegate_") {
            let labels = quoted(labels).map(str::to_owned).chain(common.iter().cloned()).collect();
            assert!(found.insert(name.to_owned(), (kind.trim().to_owned(), labels)).is_none(), "{name} twice");
        }
    }
    found
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let text = text();
    let documented = tables(&text);
    let process: BTreeSet<&str> = quoted(&text).filter(|word| word.starts_with("process_")).collect();
    let scrape = Scrape::of(&Site::new(ok).gateway);
    let exposed: BTreeSet<&str> = scrape.families.keys().map(String::as_str).collect();
    let known: BTreeSet<&str> = documented.keys().map(String::as_str).chain(process).collect();
    assert_eq!(exposed, known);
    for (name, (kind, labels)) in &documented {
        assert_eq!(scrape.families[name], *kind, "{name}");
        let shown: BTreeSet<String> = scrape.labels(name).into_keys().map(str::to_owned).collect();
        // Of a family without series yet there is nothing to compare.
        if scrape.series.keys().any(|series| scrape.family_of(series.split('{').next().unwrap()) == Some(name)) {
            assert_eq!(shown, *labels, "{name}");
        }
    }
}

#[test]
fn every_value_of_a_label_is_documented() {
    let text = text();
    let words: BTreeSet<&str> = quoted(&text).collect();
    let scrape = Scrape::of(&Site::new(ok).gateway);
    let ours = ["upstream", "address", "member", "version", "status", "name"];
    for family in scrape.families.keys() {
        for (label, values) in scrape.labels(family) {
            if ours.contains(&label) {
                continue;
            }
            for value in values {
                // `2xx` to `5xx` are told by their ends.
                let told = words.contains(value) || matches!(value, "3xx" | "4xx" | "");
                assert!(told, "docs/metrics.md does not tell of {label}=\"{value}\" of {family}");
            }
        }
    }
}
