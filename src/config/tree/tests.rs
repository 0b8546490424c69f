use std::fmt::Write as _;

use proptest::prelude::*;
use toml::de::{DeTable, DeValue};

use super::super::source::Span;
use super::build::{PIECE, build};
use super::{MANY, Table, Value, parse};

/// A tree as text: all that is known of it, in the order of keys.
fn ours(table: &Table<'_>) -> String {
    fn value_of(value: &Value<'_>) -> String {
        match value {
            Value::String(text) => format!("{text:?}"),
            Value::Integer(number) => format!("{}/{}", number.digits, number.radix),
            Value::Float(digits) => format!("{digits}f"),
            Value::Boolean(value) => value.to_string(),
            Value::Datetime(moment) => moment.to_string(),
            Value::Array(array) => {
                let items = array.items.iter().map(|item| format!("{:?} {}", item.span, value_of(&item.value)));
                format!("[{}]", items.collect::<Vec<_>>().join(", "))
            }
            Value::Table(table) => ours(table),
        }
    }
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| &key.text);
    let mut text = String::from("{");
    for (key, node) in entries {
        let _ = write!(text, "{:?} {:?} = {:?} {}, ", key.text, key.span, node.span, value_of(&node.value));
    }
    text + "}"
}

/// The same of what `toml` makes of it.
fn theirs(table: &DeTable<'_>) -> String {
    fn value_of(value: &DeValue<'_>) -> String {
        match value {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => format!("{}/{}", number.as_str(), number.radix()),
            DeValue::Float(digits) => format!("{}f", digits.as_str()),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(moment) => moment.to_string(),
            DeValue::Array(items) => {
                let item = |item: &toml::Spanned<DeValue<'_>>| {
                    format!("{:?} {}", Span::from(item.span()), value_of(item.get_ref()))
                };
                format!("[{}]", items.iter().map(item).collect::<Vec<_>>().join(", "))
            }
            DeValue::Table(table) => theirs(table),
        }
    }
    let mut text = String::from("{");
    for (key, value) in table {
        let (at, span) = (Span::from(key.span()), Span::from(value.span()));
        let _ = write!(text, "{:?} {at:?} = {span:?} {}, ", key.get_ref(), value_of(value.get_ref()));
    }
    text + "}"
}

/// Holds what is made of a text against what `toml` makes of it: the same tree, or both find that it is no TOML.
fn compare(text: &str) {
    match (build(text), DeTable::parse(text)) {
        (Ok(tree), Ok(reference)) => assert_eq!(ours(&tree), theirs(reference.get_ref()), "{text}"),
        (Err(_), Err(reference)) => {
            let mistake = parse(text).unwrap_err();
            assert_eq!((mistake.span, &*mistake.message), (reference.span(), reference.message()), "{text}");
        }
        (tree, reference) => panic!("{tree:?}, {reference:?}:\n{text}"),
    }
}

#[test]
fn every_kind_of_value() {
    compare("");
    compare("\u{feff}a = 1 # one\r\n");
    compare("a = 'x'\nb = \"\\u00e9\"\nc = '''\n[x]\n'''\nd = \"\"\"\na \\\n  b\"\"\"\n'é' = 0x_f\n");
    compare(
        "a = 1_000\nb = -0.5e3\nc = +inf\nd = 0b101\ne = true\nf = 1979-05-27T07:32:00Z\ng = 1979-05-27\nh = 07:32:00",
    );
    compare("a = [1, [], ['x', {b = 1, c.d = 2}], # x\n]\nb = {}\n");
    compare("[a]\nb = 1\n[a.b]\n");
}

#[test]
fn tables_of_every_way() {
    for text in [
        "[a.b]\nc = 1\n[a]\nd = 1\n",
        "[a]\nb.c = 1\nb.d = 2\n",
        "[a]\nb.c = 1\n[a.b]\n",
        "[a]\nb.c = 1\n[a.b.e]\n",
        "[a]\n[a]\n",
        "a.b = 1\na.b = 2\n",
        "a.b = 1\na = 2\n",
        "a = 1\na.b = 2\n",
        "a = {b = 1}\na.c = 2\n",
        "a = {b = 1}\n[a.c]\n",
        "a = {b.c = 1, b.d = 2, b.c = 3}\n",
        "a = {b = {}, b.d = 2}\n",
        "a = {b.c = 1, b = 2}\n",
        "[[a]]\nb = 1\n[a.c]\nd = 1\n[[a]]\n[a.c]\n[[a.e]]\n[[a.e]]\nf = 1\n",
        "[[a]]\n[a]\n",
        "[a]\n[[a]]\n",
        "a = []\n[[a]]\n",
        "a = [{}]\n[a.b]\n",
        "[[a.b]]\n[a]\nb.c = 1\n",
        "[a.b.c]\n[a]\nb.d = 1\n",
        "[a.b]\n[a]\nc = 1\n[a.d]\n[a.b]\n",
        "[]\n",
        "[a.]\n",
        "[a\nb = 1\n",
        "[a] b = 1\n",
        "a = \n",
        "= 1\n",
        "a b = 1\n",
        "a = 1 b = 2\n",
        "a = [1\n[b]\n",
        "a = \"x\n[b]\n",
        "a = '''x\n[b]\n",
        "a = {b = 1,\n}\n",
        "a = 1\r",
        "# \u{7}\n",
        "a = 2024-13-01\n",
        "a = 01\n",
        "]\n[a]\n",
    ] {
        compare(text);
    }
    for depth in 78..83 {
        compare(&format!("a = {}{}", "[".repeat(depth), "]".repeat(depth)));
        compare(&format!("a = {}{}", "{a = ".repeat(depth), "}".repeat(depth)));
        compare(&format!("{} = 1", vec!["a"; depth].join(".")));
        compare(&format!("[{}]", vec!["a"; depth].join(".")));
    }
}

#[test]
fn many_keys_are_found_and_told_from_each_other() {
    let users = |count: usize| (0..count).map(|n| format!("[users.u{n}]\na = {n}\n")).collect::<Vec<_>>().concat();
    for count in [MANY - 2, MANY - 1, MANY, MANY + 1, 3 * MANY, PIECE] {
        let text = users(count);
        compare(&text);
        let tree = parse(&text).unwrap();
        let Some((_, super::Node { value: Value::Table(users), .. })) = tree.get("users") else { panic!("{text}") };
        assert!((0..count).all(|n| users.get(&format!("u{n}")).is_some()) && users.get("u").is_none());
        for again in [0, count / 2, count - 1] {
            compare(&format!("{text}[users.u{again}]\n"));
            compare(&format!("{text}[users.u{again}.below]\n[users]\nb = 1\n"));
            compare(&format!("[users.u{again}.below]\n{text}[users.u{again}.other]\n"));
        }
    }
}

#[test]
fn a_text_in_pieces_is_the_same_text() {
    let filler = "[[a]]\nb = ['x', 'y']\n".repeat(PIECE / 8);
    for text in [
        "c = '''\n[x]\ny = '''\n",
        "c = \"\"\"\n[x]\ny\n\"\"\"\n[d]\n",
        "c = [\n[1],\n[2]\n]\n",
        "c = {\n}\n[d]\n",
        "c = [\n[1],\n",
        "c = ]\n[d]\n[e]\n",
    ] {
        compare(&format!("{filler}{text}{filler}"));
        compare(&format!("{text}{filler}{text}{filler}"));
    }
}

proptest! {
    #[test]
    fn any_text_is_judged_as_toml_does(text in "([\\[\\]{}.,=\"'#ab1 \n]|\\[a\\]\n|\\[\\[b\\]\\]\n|a = |b\\.a = ){0,40}") {
        compare(&text);
    }

    #[test]
    fn any_tables_are_put_together_as_toml_does(
        lines in prop::collection::vec("(\\[[ab](\\.[ab]){0,2}\\]|\\[\\[[ab](\\.[ab]){0,2}\\]\\]|[ab](\\.[ab]){0,2} = (1|\\{\\}|\\[\\]|\\{[ab] = 1, [ab](\\.[ab])? = 2\\}))", 0..8)
    ) {
        compare(&lines.join("\n"));
    }
}
