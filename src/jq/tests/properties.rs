//! What holds for all filter texts.

use proptest::prelude::*;

use super::{alice, document};
use crate::document::{Document, Kind, RequestAction, RequestFacts};
use crate::jq::Filter;

/// Filters that use most of the grammar, nested a few levels deep.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        ".",
        ".request",
        ".request.method",
        ".request.reference",
        ".request.action",
        ".subject",
        ".groups",
        ".claims",
        ".[\"request\"]",
        "\"x\"",
        "1",
        "null",
        "true",
        "[]",
        "{}",
        ".[]",
        ".[]?",
        "keys",
        "length",
        "tojson",
        "tostring",
        "first",
        "last",
        "not",
        "to_entries",
        "values",
        "empty",
        "error",
        "type",
        "$x",
        "@json",
        "{request}",
        "{subject}",
        ".method",
        ".request?",
        ".claims.request.method",
        "add",
        "sort",
        "isempty(.)",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone().prop_map(|(a, b)| format!("({a} | {b})")),
            two.clone().prop_map(|(a, b)| format!("({a}, {b})")),
            two.clone().prop_map(|(a, b)| format!("({a} as $x | {b})")),
            two.clone().prop_map(|(a, b)| format!("({a} as [$x] | {b})")),
            two.clone().prop_map(|(a, b)| format!("({a} as {{request: $x}} | {b})")),
            two.clone().prop_map(|(a, b)| format!("({a} // {b})")),
            two.clone().prop_map(|(a, b)| format!("({a} == {b})")),
            two.clone().prop_map(|(a, b)| format!("({a} and {b})")),
            two.clone().prop_map(|(a, b)| format!("({a} + {b})")),
            two.clone().prop_map(|(a, b)| format!("any({a}; {b})")),
            two.clone().prop_map(|(a, b)| format!("IN({a}; {b})")),
            two.clone().prop_map(|(a, b)| format!("(try {a} catch {b})")),
            two.clone().prop_map(|(a, b)| format!("{{a: {a}, ({b} | tostring): 1}}")),
            two.clone().prop_map(|(a, b)| format!("({a})[{b}]")),
            (inner.clone(), two).prop_map(|(a, (b, c))| format!("(if {a} then {b} else {c} end)")),
            inner.clone().prop_map(|a| format!("[{a}]")),
            inner.clone().prop_map(|a| format!("\"-\\({a})-\"")),
            inner.clone().prop_map(|a| format!("map({a})")),
            inner.clone().prop_map(|a| format!("select({a})")),
            inner.clone().prop_map(|a| format!("first({a})")),
            inner.clone().prop_map(|a| format!("error({a})")),
            inner.clone().prop_map(|a| format!("with_entries({a})")),
            inner.clone().prop_map(|a| format!("(if {a} then 1 end)")),
            inner.prop_map(|a| format!("({a})?")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_a_filter_does_not_read_does_not_change_its_value(text in texts()) {
        // Free variables are bound first, so that most texts compile.
        let text = format!(". as $x | {text}");
        let Ok(filter) = Filter::compile(&text) else { return Ok(()) };
        let caller = alice();
        let here = filter.run(&document(&caller), 8160);
        let facts = RequestFacts {
            kind: Kind::Repository,
            repository: Some("team/app"),
            reference: None,
            path: None,
            action: RequestAction::Push,
            method: None,
        };
        if !filter.0.reads.use_only {
            let at_issue = filter.run(&Document::new(&caller, "registry.example", &facts), 8160);
            prop_assert_eq!(&here, &at_issue, "{}", text);
        }
        if !filter.reads_request() {
            let other = RequestFacts { repository: Some("other"), action: RequestAction::Pull, kind: Kind::Catalog, ..facts };
            let elsewhere = filter.run(&Document::new(&caller, "registry.example", &other), 8160);
            prop_assert_eq!(&here, &elsewhere, "{}", text);
        }
    }

    #[test]
    fn no_text_makes_the_compiler_panic(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                ".", "..", "[", "]", "{", "}", "(", ")", "\"", "\\", "\\(", "|", ",", ":", ";", "$", "$x", "as", "if", "then",
                "else", "end", "try", "catch", "a", "1", "1.", "1e", "é", "#", "\n", "?", "//", "=", "==", "-", "+", "@", "@json",
                "@sh", "def", "reduce", "\\u00", "::", " ", "null", "error", "map", "and", "not",
            ]),
            0..20,
        ),
    ) {
        let text = pieces.concat();
        if let Err(error) = Filter::compile(&text) {
            prop_assert!(error.offset <= text.len() && error.length > 0);
            prop_assert!(text.is_char_boundary(error.offset), "{:?} at {}", text, error.offset);
        }
    }
}
