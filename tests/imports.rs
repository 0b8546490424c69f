//! Modules only import modules that stand below them: the order of `src/lib.rs`, held over every file of `src`.
//!
//! Comments, string literals and items under `#[cfg(test)]` do not count: documentation may point upwards, and a test may reach for
//! anything.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules from the top to the bottom. The modules of one row may import one another.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["app"],
    &["lifecycle"],
    &["config"],
    &["server"],
    &["identity"],
    &["authz"],
    &["authn"],
    &["token"],
    &["keys"],
    &["document", "jq"],
    &["pulp"],
    &["registry"],
    &["access_log", "audit", "metrics", "status", "telemetry"],
    &["certificate", "clock", "secret", "subject", "watch"],
];

/// Modules that are plain functions over plain types, and crates that they may not know.
const PLAIN: &[&str] = &["pulp", "registry", "token", "authz", "identity"];
const RUNTIME: &[&str] = &["hyper", "hyper_util", "tokio", "tower"];

#[test]
fn the_layers_are_those_of_the_crate() {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let listed: Vec<Vec<&str>> = text
        .split("\n\n")
        .map(|block| block.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect())
        .filter(|layer: &Vec<&str>| !layer.is_empty())
        .collect();
    assert_eq!(listed, LAYERS, "src/lib.rs and this test disagree");
}

#[test]
fn imports_only_go_down() {
    let mut wrong = Vec::new();
    for file in files() {
        let module = file.module();
        let Some(own) = layer(&module) else { continue };
        for import in imports(&file.text, file.depth()) {
            if import != module && layer(&import).is_some_and(|other| other < own) {
                wrong.push(format!("{}: crate::{import}", file.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "these go up the list in src/lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn decisions_know_no_runtime() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| PLAIN.contains(&file.module().as_str())) {
        let code = without_tests(&without_comments(&file.text));
        for name in RUNTIME.iter().filter(|name| paths_from(&code, name).next().is_some()) {
            wrong.push(format!("{}: {name}", file.name()));
        }
    }
    assert!(wrong.is_empty(), "these modules are plain functions over plain types:\n{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_every_way_to_import() {
    let seen = |code: &str, depth| imports(code, depth).into_iter().collect::<Vec<_>>();
    assert_eq!(seen("use crate::server::Gateway;", 1), ["server"]);
    assert_eq!(seen("use crate::{app::run, config, jq::{self, Filter}};", 1), ["app", "config", "jq"]);
    assert_eq!(seen("fn f() -> crate::clock::Clock { crate :: app::run() }", 1), ["app", "clock"]);
    assert_eq!(seen("use super::keys::KeyRing;", 1), ["keys"]);
    assert_eq!(seen("use super::sibling; use super::super::keys;", 2), ["keys"]);
    assert_eq!(seen("macro_rules! m { () => { $crate::audit::line() } }", 1), ["audit"]);
}

#[test]
fn the_scan_passes_over_comments_strings_and_tests() {
    let seen = |code: &str| imports(code, 1);
    assert!(seen("//! See [`crate::cli`].\n/* crate::app /* crate::cli */ */").is_empty());
    let literals = [
        r#"const A: &str = "crate::app";"#,
        "const B: &str = r#\"crate::\"cli\"\"#;",
        r#"const C: &str = "\"crate::app\\";"#,
        r#"const D: u8 = b'"'; const E: char = '\''; const F: &[u8] = br"\crate::cli\";"#,
    ];
    for literal in literals {
        assert!(seen(literal).is_empty(), "{literal}");
    }
    assert!(seen("#[cfg(test)]\nmod tests { use crate::cli; fn f() { { crate::app::run() } } }").is_empty());
    assert!(seen("#[cfg(test)]\n#[allow(x)]\nuse crate::cli::{self, run};").is_empty());
    let lifetimes: Vec<_> =
        seen("fn f<'a>(x: &'a str, y: char) { y == '{'; y == '\\''; crate::app::run() }").into_iter().collect();
    assert_eq!(lifetimes, ["app"]);
    assert!(seen("#[cfg(test)]\npub(crate) fn f(x: [u8; 4]) -> [u8; 4] { crate::cli::run(); x }").is_empty());
    let after: Vec<_> =
        seen("#[cfg(test)]\nmod tests;\nuse crate::app;\n#[cfg(not(test))]\nuse crate::cli;").into_iter().collect();
    assert_eq!(after, ["app", "cli"]);
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// A file of `src` that is not a test's.
struct File {
    /// Relative to `src`.
    path: PathBuf,
    text: String,
}

impl File {
    fn name(&self) -> String {
        format!("src/{}", self.path.display())
    }

    /// The top-level module that the file belongs to.
    fn module(&self) -> String {
        let first = self.path.iter().next().unwrap().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    }

    /// How many modules deep the file is: 1 for a top-level module.
    fn depth(&self) -> usize {
        self.path.iter().count()
    }
}

fn files() -> Vec<File> {
    let mut found = Vec::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap();
            if stem == "tests" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(File { path: path.strip_prefix(source()).unwrap().to_owned(), text });
            }
        }
    }
    assert!(found.len() > LAYERS.len(), "found only {} files", found.len());
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The top-level modules that a file names, in whatever form of path.
fn imports(text: &str, depth: usize) -> BTreeSet<String> {
    let code = without_tests(&without_comments(text));
    let mut found = BTreeSet::new();
    for path in paths_from(&code, "crate").chain(paths_from(&code, &vec!["super"; depth].join("::"))) {
        if let Some(group) = path.strip_prefix('{') {
            found.extend(first_of_group(group));
        } else {
            found.extend(identifier(path));
        }
    }
    found
}

/// What follows `root::`, wherever that begins a path.
fn paths_from<'a>(code: &'a str, root: &str) -> impl Iterator<Item = &'a str> {
    code.match_indices(root).filter_map(move |(at, _)| {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') || code[..at].trim_end().ends_with("::") {
            return None;
        }
        let rest = code[at + root.len()..].trim_start().strip_prefix("::")?;
        Some(rest.trim_start())
    })
}

fn identifier(path: &str) -> Option<String> {
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    (end > 0).then(|| path[..end].to_owned())
}

/// The first segments of the members of `{a::b, c, d::{e, f}}`, whose opening brace is gone.
fn first_of_group(group: &str) -> Vec<String> {
    let (mut level, mut start, mut found) = (0_usize, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => start = true,
            c if start && !c.is_whitespace() => {
                found.extend(identifier(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    found
}

/// The code with comments gone and string and character literals emptied.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let literal = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if c == '"' {
            string(rest)
        } else if c == 'r' && !code.ends_with(|c: char| c.is_alphanumeric() && c != 'b' || c == '_') {
            raw_string(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            0
        };
        if literal == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[literal..];
        }
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut level, mut at) = (0_usize, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (level, at) = (level + 1, at + 2),
            [b'*', b'/', ..] => (level, at) = (level - 1, at + 2),
            _ => at += 1,
        }
        if level == 0 {
            break;
        }
    }
    at
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw string literal, 0 where the `r` begins something else.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    if text.as_bytes().get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let start = hashes + 2;
    let end = format!("\"{}", "#".repeat(hashes));
    text[start..].find(&end).map_or(text.len(), |at| start + at + end.len())
}

/// The length of a character literal, 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            let escaped = chars.next().map_or(text.len(), |(at, c)| at + c.len_utf8());
            text[escaped..].find('\'').map_or(text.len(), |at| escaped + at + 1)
        }
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// The code without the items under `#[cfg(test)]`: each up to its `;` or the end of its braces.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        rest = &rest[at + MARK.len()..];
        rest = &rest[item_end(rest)..];
    }
    kept.push_str(rest);
    kept
}

fn item_end(code: &str) -> usize {
    // The braces of `use a::{b, c};` end no item.
    let item = code.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with("#["));
    let import = item.is_some_and(|line| line.starts_with("use ") || line.starts_with("pub") && line.contains(" use "));
    let mut level = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => level += 1,
            '}' | ')' | ']' => {
                level = level.saturating_sub(1);
                if level == 0 && c == '}' && !import {
                    return at + 1;
                }
            }
            ';' if level == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}
