mod properties;

use serde_json::{Value, json};

use super::{CompileError, Filter, FilterError, Predicate};
use crate::document::{Document, Kind, RequestAction, RequestFacts};
use crate::subject::{Caller, GroupName, Subject, UserName};

fn alice() -> Caller {
    let groups = vec![GroupName::parse("dev").unwrap()];
    let mut subject = Subject::new(UserName::parse("alice").unwrap(), groups, "users".into());
    subject.claims.insert("ref".into(), json!("refs/heads/main"));
    Caller::Known(subject.into())
}

fn document(caller: &Caller) -> Document<'_> {
    Document::new(
        caller,
        "registry.example",
        &RequestFacts {
            kind: Kind::Repository,
            repository: Some("team/app"),
            reference: Some("v1"),
            path: None,
            action: RequestAction::Push,
            method: Some(&http::Method::PUT),
        },
    )
}

fn run(text: &str) -> Result<Option<String>, FilterError> {
    Filter::compile(text).unwrap().run(&document(&alice()), 8160)
}

fn refused(text: &str) -> CompileError {
    match Filter::compile(text) {
        Err(error) => error,
        Ok(_) => panic!("{text} was accepted"),
    }
}

#[test]
fn filters_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Filter>();
    shared::<Predicate>();
}

#[test]
fn the_documents_filters_yield_what_pulp_expects() {
    assert_eq!(
        run("{identity: {user: {username: .subject}}}").unwrap().unwrap(),
        r#"{"identity":{"user":{"username":"alice"}}}"#
    );
    let elevated = r#"{identity: {user: {username: (if (.request.action | IN("push", "delete")) then "registry-writer" else .subject end)}}}"#;
    assert_eq!(run(elevated).unwrap().unwrap(), r#"{"identity":{"user":{"username":"registry-writer"}}}"#);
}

#[test]
fn null_and_empty_are_no_value_and_two_are_an_error() {
    assert_eq!(run("null"), Ok(None));
    assert_eq!(run("empty"), Ok(None));
    assert_eq!(run("select(.anonymous)"), Ok(None));
    assert_eq!(run(".subject, .service"), Err(FilterError::ManyValues));
    assert_eq!(run(".subject, error(\"x\")"), Err(FilterError::Failed));
    assert_eq!(run(".subject.name"), Err(FilterError::Failed));
    assert_eq!(run("1 / 0"), Err(FilterError::NotJson));
    assert_eq!(run("{(1): 2}").unwrap_err(), FilterError::NotJson);
    assert_eq!(Filter::compile(".").unwrap().run(&document(&alice()), 20), Err(FilterError::TooLong { limit: 20 }));
}

#[test]
fn errors_hold_nothing_of_the_document() {
    let error = run("error(.claims)").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("refs/heads"));
}

#[test]
fn the_functions_that_are_offered_work() {
    for (text, value) in [
        (r#".groups | any(. == "dev")"#, "true"),
        (r#"any(.groups[]; startswith("de"))"#, "true"),
        (r#".groups | all(endswith("v"))"#, "true"),
        (r#".groups | join(",")"#, "\"dev\""),
        (r#"["a", null, 1] | join("-")"#, "\"a--1\""),
        (r#"[] | join("-")"#, "\"\""),
        (r#".claims.ref | ltrimstr("refs/heads/") | ascii_upcase"#, "\"MAIN\""),
        (r#".request.repository | split("/") | first"#, "\"team\""),
        (r#".request.repository | split("/") | last"#, "\"app\""),
        (r#"first(.groups[], "none")"#, "\"dev\""),
        (r#"IN(.groups[]; "dev", "ops")"#, "true"),
        (r#""a" | inside("abc")"#, "true"),
        (".claims.missing // \"none\"", "\"none\""),
        (".subject as $who | {user: $who, $who}", r#"{"user":"alice","who":"alice"}"#),
        (".claims | to_entries | from_entries | keys", r#"["ref"]"#),
        (".claims | with_entries(select(.key == \"none\"))", "{}"),
        (r#""\(.subject)@\(.service)""#, "\"alice@registry.example\""),
        (r#"@base64 "x\(.subject)""#, "\"xYWxpY2U=\""),
        ("[3, 1, 3] | unique | tojson", "\"[1,3]\""),
        ("[(.groups | map(length)[]), (.claims | length)] | add", "4"),
        ("{def: 1, reduce: 2} | .def", "1"),
        ("try error(\"x\") catch .", "\"x\""),
        (".request | type", "\"object\""),
        (
            "[null, true, 1, \"\", []] | map(type) | tojson",
            r#""[\"null\",\"boolean\",\"number\",\"string\",\"array\"]""#,
        ),
    ] {
        assert_eq!(run(text), Ok(Some(value.to_owned())), "{text}");
    }
}

#[test]
fn what_is_refused_is_refused_with_its_position() {
    for (text, offset, part) in [
        ("def f: f; f", 0, "def"),
        ("{a: (.subject * 1000000)}", 14, "*"),
        (".groups | recurse", 10, "recurse"),
        ("[range(1000)]", 1, "range"),
        (".. | .subject", 0, ".."),
        ("$ENV", 0, "$ENV"),
        (".a | env.HOME", 5, "env"),
        ("input", 0, "input"),
        ("halt", 0, "halt"),
        ("now", 0, "now"),
        ("1 | debug", 4, "debug"),
        ("$__loc__", 0, "$__loc__"),
        ("@sh \"x\"", 0, "@sh"),
        (".a = 1", 3, "="),
        (".a |= 1", 3, "|="),
        ("reduce .[] as $x (0; . + 1)", 0, "reduce"),
        ("label $x | 1", 0, "label"),
        ("import \"a\" as a; .", 0, "import"),
        (".subject | test(\"a\")", 11, "test"),
        ("\"\\(.subject * 3)\"", 12, "*"),
        ("limit(3; .groups[])", 0, "limit"),
        ("error_empty", 0, "error_empty"),
        ("ascii_downcase(1)", 0, "ascii_downcase"),
        ("{a: nothing}", 4, "nothing"),
        (".a as $x | $y", 11, "$y"),
        ("x::y", 0, "x::y"),
        (".groups[repeat(1)]", 8, "repeat"),
        (". as {a: $x, (halt): $y} | 1", 14, "halt"),
    ] {
        let error = refused(text);
        assert_eq!((error.offset, &text[error.offset..error.offset + error.length]), (offset, part), "{text}: {error}");
    }
}

#[test]
fn syntax_errors_have_positions_inside_the_text() {
    for text in [
        "",
        "{",
        "{a:",
        "(.a",
        ".a |",
        "if . then",
        "\"abc",
        "\"\\q\"",
        ".a..b",
        "é",
        ".a & .b",
        "1 +",
        "[",
        "[1,",
        "{a b}",
    ] {
        let error = refused(text);
        assert!(error.offset <= text.len() && error.length >= 1, "{text}: {error:?}");
        assert!(!error.message.is_empty());
    }
    assert_eq!(refused(".a & .b").offset, 3);
}

#[test]
fn texts_that_would_exhaust_stack_or_memory_are_refused() {
    refused(&"[".repeat(100_000));
    refused(&format!("{}1{}", "(".repeat(65), ")".repeat(65)));
    refused(&". |".repeat(1100));
    refused(&format!(".subject{}", " | . + .".repeat(40)));
    refused(&format!(".subject{}", " | (., .)".repeat(40)));
    refused(&format!(".subject{}", " | [., .]".repeat(40)));
    refused(&format!(".subject{}", " | {a: ., b: .}".repeat(40)));
    refused(&format!(".subject{}", " | tojson".repeat(40)));
    refused(&format!(".subject{}", " | \"\\(.)\\(.)\"".repeat(40)));
    refused(&format!("{}1", "(1, 2) as $x | ".repeat(40)));
    refused(&format!("{}1", ". as {(\"a\", \"b\"): $x} | ".repeat(40)));
    refused(&format!(".subject{}", " | select((true, true))".repeat(40)));
    refused(&format!(".subject{}", " | (try (., error(1)) catch 2)".repeat(40)));
    refused(&format!("{{a: 1}}{}", " | .[(\"a\", \"a\")], 1".repeat(40)));
    refused(&format!("1{}", " | if (true, true) then . else . end".repeat(40)));
    refused(&format!("{}$x", ". as $x | [$x, $x] | ".repeat(40)));
}

#[test]
fn the_longest_texts_that_are_accepted_run_on_a_small_stack() {
    for text in [
        format!("{}1", "- ".repeat(95)),
        format!("{}1", ". | ".repeat(95)),
        format!("{}1", ". as $x | ".repeat(47)),
        format!("{}1", "try ".repeat(95)),
        format!("1{}", " // 1".repeat(250)),
        format!("first(1{})", ", 1".repeat(250)),
        format!("1{}", " + 1".repeat(250)),
        format!("{}1{}", "if . then ".repeat(90), " else 1 end".repeat(90)),
        format!("{}1{}", "map(".repeat(60), ")".repeat(60)),
        format!(".a{}", ".a".repeat(1000)),
    ] {
        let filter = Filter::compile(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let _ = filter.run(&document(&alice()), 8160);
    }
}

#[test]
fn predicates_yield_exactly_one_boolean() {
    let holds = |text| Predicate::compile(text).unwrap().holds(&document(&alice()));
    assert_eq!(holds(r#".claims.ref == "refs/heads/main""#), Ok(true));
    assert_eq!(holds(r#".request.repository | startswith("x/")"#), Ok(false));
    for text in ["1", "null", "empty", "true, true", "error", ".subject[0]", "true, error"] {
        assert!(holds(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_read_of_the_request_is_known() {
    for (text, request, use_only) in [
        (".subject", false, false),
        ("{identity: {user: {username: .subject}}}", false, false),
        ("{subject, groups}", false, false),
        (".claims.request.method", false, false),
        (r#"any(.groups[]; . == "dev")"#, false, false),
        (".request.repository", true, false),
        (r#".request.action | IN("push", "delete")"#, true, false),
        (".request | .action", true, false),
        (".request as $r | $r.kind", true, false),
        (". as $d | $d.request.repository", true, false),
        (".[\"request\"].kind", true, false),
        (".request.method", true, true),
        (".request.reference == null", true, true),
        (".request | .method", true, true),
        (". as {request: {method: $m}} | $m", true, true),
        (".", true, true),
        ("tojson", true, true),
        ("{request}", true, true),
        (".request | keys", true, true),
        (".[\"re\" + \"quest\"]", true, true),
        ("[.[]]", true, true),
        ("\"\\(.)\"", true, true),
        ("@text", true, true),
        (".subject as $s | . as $d | if $s then $d else 1 end", true, true),
        ("if . then true else false end", true, true),
        ("(. // 1) | .subject", true, true),
        ("try error catch .", true, true),
        ("first(.)", true, true),
        ("select(.subject)", true, true),
        ("select(.subject) | .groups", false, false),
        ("map(.) | length", true, true),
        ("\"a\" | IN(\"b\")", false, false),
    ] {
        let filter = Filter::compile(text).unwrap();
        assert_eq!(filter.reads_request(), request, "{text}");
        assert_eq!(Predicate::compile(text).unwrap().reads_use_only_facts(), use_only, "{text}");
    }
}

#[test]
fn a_path_into_a_value_can_be_evaluated() {
    let filter = Filter::compile(".identity.user.username").unwrap();
    let value: Value = json!({"identity": {"user": {"username": "alice"}}});
    assert_eq!(filter.run_value(&value, 100).unwrap().as_deref(), Some("\"alice\""));
}
