//! The dashboard and the alert rules of `deploy` use only metrics, labels and values that a running gateway has.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::documented;
use crate::scrape::Scrape;
use crate::site::Site;
use crate::upstream::ok;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

/// Words that are no metrics, beside functions, which stand before a `(`.
const WORDS: &[&str] = &["and", "or", "unless"];

/// A metric in an expression, with what its labels are held against.
#[derive(Debug, PartialEq, Eq)]
struct Used<'a> {
    metric: &'a str,
    matchers: Vec<(&'a str, &'a str)>,
}

/// What an expression of `PromQL` uses.
fn used(expression: &str) -> Vec<Used<'_>> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || matches!(c, '[' | '_')) {
        let opening = &rest[start..];
        if opening.starts_with('[') {
            rest = &opening[opening.find(']').unwrap()..];
            continue;
        }
        let end = opening.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(opening.len());
        let (word, after) = opening.split_at(end);
        let after = after.trim_start();
        if matches!(word, "by" | "without" | "on" | "ignoring") {
            rest = &after[after.find(')').unwrap() + 1..];
        } else if WORDS.contains(&word) || is_called(after) || starts_with_number(&rest[..start]) {
            rest = after;
        } else {
            let mut matchers = Vec::new();
            rest = after;
            if let Some(list) = after.strip_prefix('{') {
                let (inside, behind) = list.split_once('}').unwrap();
                rest = behind;
                matchers.extend(inside.split(',').map(|pair| {
                    let (label, value) = pair.split_once('=').unwrap();
                    (label.trim_end_matches('!'), value.trim_start_matches('~').trim_matches('"'))
                }));
            }
            found.push(Used { metric: word, matchers });
        }
    }
    found
}

/// Whether what stands before this is a function, or an operator such as `sum` with its labels first.
fn is_called(after: &str) -> bool {
    ["(", "by ", "by(", "without ", "without("].iter().any(|start| after.starts_with(start))
}

/// Whether a word is the unit of a number, or the exponent.
fn starts_with_number(before: &str) -> bool {
    before.ends_with(|c: char| c.is_ascii_digit())
}

/// What is wrong with an expression.
fn wrong(expression: &str, scrape: &Scrape) -> Vec<String> {
    let mut wrong = Vec::new();
    let uses = used(expression);
    if uses.is_empty() {
        wrong.push(format!("no metric in {expression}"));
    }
    for Used { metric, matchers } in uses {
        // Prometheus' own, and what it gives to every series.
        let of_prometheus = |label: &str| matches!(label, "job" | "instance");
        if metric == "up" {
            continue;
        }
        let Some(family) = scrape.family_of(metric) else {
            wrong.push(format!("no metric {metric}, in {expression}"));
            continue;
        };
        let labels = scrape.labels(family);
        for (label, value) in matchers.into_iter().filter(|(label, _)| !of_prometheus(label)) {
            match labels.get(label) {
                None => wrong.push(format!("{metric} has no label {label}, in {expression}")),
                // A family that shows only what has occurred cannot tell what may.
                Some(_) if family == "tidegate_requests_total" => {}
                Some(shown) => {
                    for value in value.split('|').filter(|value| !shown.contains(value)) {
                        wrong.push(format!("{metric} has no {label} {value}, in {expression}"));
                    }
                }
            }
        }
    }
    wrong
}

/// A gateway's metrics, with a request so that there is a series of each kind.
fn scrape() -> Scrape {
    let site = Site::new(ok);
    site.get();
    crate::support::until("the request is counted", crate::wire::LIMIT, || {
        let scrape = Scrape::of(&site.gateway);
        (!scrape.labels("tidegate_requests_total").is_empty()).then_some(scrape)
    })
}

/// The alerts: name and expression.
fn alerts(text: &str) -> Vec<(String, String)> {
    let mut alerts: Vec<(String, String)> = Vec::new();
    let mut block = false;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(name) = line.trim_start().strip_prefix("- alert: ") {
            alerts.push((name.to_owned(), String::new()));
            block = false;
        } else if let Some(expression) = line.trim_start().strip_prefix("expr: ") {
            block = expression == "|";
            if !block {
                expression.clone_into(&mut alerts.last_mut().unwrap().1);
            }
        } else if block && indent > 8 {
            let expression = &mut alerts.last_mut().unwrap().1;
            expression.push_str(line.trim());
            expression.push(' ');
        } else {
            block = false;
        }
    }
    alerts
}

#[test]
fn alerts_use_what_there_is() {
    let scrape = scrape();
    let alerts = alerts(&file("prometheus/alerts.yml"));
    assert!(alerts.len() > 10, "{alerts:?}");
    let wrong: Vec<String> = alerts.iter().flat_map(|(_, expression)| wrong(expression, &scrape)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn alerts_are_documented_and_documented_alerts_are_there() {
    let text = documented::text();
    let documented: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| `Tidegate")?.split('`').next()).collect();
    let alerts = alerts(&file("prometheus/alerts.yml"));
    let there: BTreeSet<&str> = alerts.iter().filter_map(|(name, _)| name.strip_prefix("Tidegate")).collect();
    assert_eq!(there, documented);
}

#[test]
fn the_dashboard_uses_what_there_is() {
    let scrape = scrape();
    let dashboard: Value = serde_json::from_str(&file("grafana/tidegate.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 40, "{}", expressions.len());
    let mut wrong: Vec<String> = expressions.iter().flat_map(|expression| wrong(expression, &scrape)).collect();
    // Whatever is counted is shown somewhere.
    let shown: BTreeSet<&str> =
        expressions.iter().flat_map(|text| used(text)).filter_map(|used| scrape.family_of(used.metric)).collect();
    wrong.extend(
        scrape.families.keys().filter(|name| !shown.contains(name.as_str())).map(|name| format!("no panel for {name}")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for list in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = list["query"]["query"].as_str() {
            let inside = query.strip_prefix("label_values(").unwrap();
            let metric = inside.split([',', '{']).next().unwrap();
            assert!(scrape.family_of(metric).is_some(), "{query}");
        }
    }
    let mut ids: Vec<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn what_does_not_exist_would_be_found() {
    let scrape = scrape();
    assert_eq!(
        used("sum by (job, le) (rate(a_total{x=~\"1|2\",y!=\"z\"}[5m])) > 0.05 * b - time() < 14 * 86400"),
        [Used { metric: "a_total", matchers: vec![("x", "1|2"), ("y", "z")] }, Used { metric: "b", matchers: vec![] }]
    );
    for expression in [
        "rate(tidegate_request_total[5m])",
        "tidegate_ready_bucket",
        "histogram_quantile(0.5, rate(tidegate_request_duration_bucket[5m]))",
        "tidegate_upstream_requests_total{outcome=\"5xx|brokn\"}",
        "tidegate_upstream_requests_total{code=\"5xx\"}",
        "time() > 5",
    ] {
        assert_eq!(wrong(expression, &scrape).len(), 1, "{expression}");
    }
}
