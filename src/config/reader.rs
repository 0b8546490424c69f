//! Walking a parsed file: sections that know their keys, values that know where they stand.
//!
//! Nothing here stops at the first problem: a getter reports what is wrong and yields nothing, and the caller goes on.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::report::{Diagnostic, Severity};
use super::source::{Source, Span};
use super::units::{parse_duration, parse_size};
use crate::secret::Secret;

/// Looks up an environment variable.
pub(super) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What is being read, and what was found to tell.
pub(super) struct Reader<'a> {
    pub(super) source: Source<'a>,
    base: &'a Path,
    environment: &'a Environment<'a>,
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// The first secret that stands in the file itself.
    inline_secret: Cell<Option<Span>>,
    /// Files that hold secrets, and where they are named.
    secret_files: RefCell<Vec<(PathBuf, Span)>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: Source<'a>, base: &'a Path, environment: &'a Environment<'a>) -> Self {
        Self {
            source,
            base,
            environment,
            diagnostics: RefCell::default(),
            inline_secret: Cell::new(None),
            secret_files: RefCell::default(),
        }
    }

    pub(super) fn error(&self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.tell(Severity::Error, code, span, message.into(), hint.into());
    }

    pub(super) fn warn(&self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.tell(Severity::Warning, code, span, message.into(), hint.into());
    }

    fn tell(&self, severity: Severity, code: &'static str, span: Span, message: String, hint: String) {
        self.diagnostics.borrow_mut().push(Diagnostic {
            severity,
            code,
            message,
            file: self.source.name().clone(),
            place: Some(self.source.place(span)),
            hint: (!hint.is_empty()).then_some(hint),
        });
    }

    pub(super) fn has_errors(&self) -> bool {
        self.diagnostics.borrow().iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    pub(super) fn inline_secret(&self) -> Option<Span> {
        self.inline_secret.get()
    }

    /// Notes a file whose content nobody but the gateway should read.
    pub(super) fn note_secret_file(&self, path: &Path, span: Span) {
        self.secret_files.borrow_mut().push((path.to_owned(), span));
    }

    pub(super) fn secret_files(&self) -> Vec<(PathBuf, Span)> {
        self.secret_files.borrow().clone()
    }

    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics.into_inner()
    }

    /// A path of the file, which is relative to the file.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }
}

/// A table whose keys are known.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// As the operator writes it: `[server]`, `[[route]]`, `[users.alice]`.
    pub(super) title: String,
    /// Its header, or the whole of an inline table.
    pub(super) header: Span,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn new(reader: &'a Reader<'a>, title: impl Into<String>, header: Span, table: &'a DeTable<'a>) -> Self {
        Self { reader, title: title.into(), header, table, known: Vec::new() }
    }

    /// The value of a key, which is known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        let (name, value) = self.table.get_key_value(key)?;
        Some(Item {
            reader: self.reader,
            name: key,
            key: name.span().into(),
            value: value.get_ref(),
            span: value.span().into(),
        })
    }

    /// The value of a key that must be there. `example` shows how it is written.
    pub(super) fn require(&mut self, key: &'static str, example: &str) -> Option<Item<'a>> {
        let item = self.take(key);
        if item.is_none() {
            self.missing(key, example);
        }
        item
    }

    pub(super) fn missing(&self, key: &str, example: &str) {
        let message = format!("{} needs the key `{key}`", self.title);
        self.reader.error("missing-key", self.header, message, format!("add, for example, `{key} = {example}`"));
    }

    /// Refuses a key that the design names and this version does not do yet.
    pub(super) fn not_built(&mut self, key: &'static str, instead: &str) {
        if let Some(item) = self.take(key) {
            let message = format!("`{key}` in {} is not built yet", self.title);
            self.reader.error("not-built", item.key, message, instead);
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let mut unknown: Vec<_> = self.table.keys().filter(|key| !self.known.contains(&&**key.get_ref())).collect();
        unknown.sort_by_key(|key| key.span().start);
        for key in unknown {
            let name: &str = key.get_ref();
            let hint = match nearest(name, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            self.reader.error(
                "unknown-key",
                key.span().into(),
                format!("unknown key `{}` in {}", shown(name), self.title),
                hint,
            );
        }
    }

    /// Every entry of a table whose keys are names, in file order.
    pub(super) fn entries(&self) -> Vec<(&'a str, Item<'a>)> {
        let mut entries: Vec<_> = self
            .table
            .iter()
            .map(|(key, value)| {
                let (name, span): (&'a str, Span) = (key.get_ref(), key.span().into());
                (name, Item { reader: self.reader, name, key: span, value: value.get_ref(), span: value.span().into() })
            })
            .collect();
        entries.sort_by_key(|(_, item)| item.key.start);
        entries
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.take(key).and_then(|item| item.duration(range)).unwrap_or(default)
    }

    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        self.take(key).and_then(|item| item.boolean()).unwrap_or(default)
    }

    pub(super) fn number(&mut self, key: &'static str, default: usize, range: RangeInclusive<usize>) -> usize {
        self.take(key).and_then(|item| item.number(range)).unwrap_or(default)
    }

    pub(super) fn size(&mut self, key: &'static str, default: usize, range: RangeInclusive<usize>) -> usize {
        self.take(key).and_then(|item| item.size(range)).unwrap_or(default)
    }
}

/// A value, with its key and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// The key, or of an element of a list the key of the list.
    pub(super) name: &'a str,
    pub(super) key: Span,
    pub(super) value: &'a DeValue<'a>,
    pub(super) span: Span,
}

impl<'a> Item<'a> {
    /// Reports this value.
    pub(super) fn fail(&self, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.reader.error(code, self.span, message, hint);
    }

    fn wrong_type(&self, expected: &str) {
        let message = format!("`{}` must be {expected}, not {}", shown(self.name), found(self.value));
        self.fail("wrong-type", message, "");
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.text_as("a string")
    }

    pub(super) fn text_as(&self, expected: &str) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => {
                self.wrong_type(expected);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let list = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
            let hint = match nearest(text, words.iter().map(|(word, _)| *word)) {
                Some(word) => format!("did you mean \"{word}\"?"),
                None => format!("it is one of {list}"),
            };
            self.fail("wrong-value", format!("`{}` cannot be \"{}\"", self.name, shown(text)), hint);
        }
        found.map(|(_, value)| value.clone())
    }

    /// A string that a type's parser takes; its error is the hint.
    pub(super) fn parse<T: FromStr>(&self, what: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.text()?;
        text.parse()
            .map_err(|error| {
                self.fail("wrong-value", format!("\"{}\" is no {what}", shown(text)), T::Err::to_string(&error))
            })
            .ok()
    }

    fn list(&self) -> Option<Vec<Item<'a>>> {
        match self.value {
            DeValue::Array(items) => Some(
                items.iter().map(|item| Item { value: item.get_ref(), span: item.span().into(), ..*self }).collect(),
            ),
            _ => {
                self.wrong_type("a list");
                None
            }
        }
    }

    /// The elements of a list, or the one value that stands for a list of one.
    pub(super) fn list_or_one(&self) -> Vec<Item<'a>> {
        match self.value {
            DeValue::Array(_) => self.list().unwrap_or_default(),
            _ => vec![*self],
        }
    }

    /// The elements of a list, or the one value, but not nothing.
    pub(super) fn nonempty_list(&self) -> Option<Vec<Item<'a>>> {
        let items = self.list_or_one();
        if items.is_empty() {
            self.fail("empty-list", format!("`{}` must not be empty", self.name), "");
            return None;
        }
        Some(items)
    }

    pub(super) fn section(&self, title: impl Into<String>) -> Option<Section<'a>> {
        match self.value {
            // A table that only its sub-tables open has no header of its own.
            DeValue::Table(table) if self.span.end > self.span.start => {
                Some(Section::new(self.reader, title, self.span, table))
            }
            DeValue::Table(table) => Some(Section::new(self.reader, title, self.key, table)),
            _ => {
                self.wrong_type("a table");
                None
            }
        }
    }

    /// The elements of `[[name]]`.
    pub(super) fn sections(&self) -> Vec<Section<'a>> {
        match self.value {
            DeValue::Array(_) => {
                let items = self.list().unwrap_or_default();
                items.iter().filter_map(|item| item.section(format!("[[{}]]", self.name))).collect()
            }
            _ => {
                let message = format!("`{}` must be a list of tables, not {}", self.name, found(self.value));
                self.fail("wrong-type", message, format!("write its header as [[{}]]", self.name));
                Vec::new()
            }
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                self.wrong_type("true or false");
                None
            }
        }
    }

    pub(super) fn number(&self, range: RangeInclusive<usize>) -> Option<usize> {
        let DeValue::Integer(digits) = self.value else {
            self.wrong_type("a whole number");
            return None;
        };
        let value = usize::from_str_radix(digits.as_str(), digits.radix()).ok();
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            self.fail(
                "out-of-range",
                format!("`{}` is out of range", self.name),
                format!("from {} to {}", range.start(), range.end()),
            );
        }
        value
    }

    pub(super) fn size(&self, range: RangeInclusive<usize>) -> Option<usize> {
        if let DeValue::Integer(_) = self.value {
            return self.number(range);
        }
        let text = self.text_as("a size such as \"64KiB\"")?;
        let bytes = parse_size(text)
            .map_err(|error| self.fail("wrong-value", format!("\"{}\" is no size", shown(text)), error.to_string()))
            .ok()?;
        let bytes = usize::try_from(bytes).ok().filter(|bytes| range.contains(bytes));
        if bytes.is_none() {
            let show = |bytes: usize| super::units::format_size(bytes as u64);
            self.fail(
                "out-of-range",
                format!("`{}` is out of range", self.name),
                format!("from {} to {}", show(*range.start()), show(*range.end())),
            );
        }
        bytes
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text_as("a duration such as \"90s\"")?;
        let duration = parse_duration(text)
            .map_err(|error| self.fail("wrong-value", format!("\"{}\" is no duration", shown(text)), error.to_string()))
            .ok()?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let show = super::units::format_duration;
        self.fail(
            "out-of-range",
            format!("`{}` is out of range", self.name),
            format!("from {} to {}", show(*range.start()), show(*range.end())),
        );
        None
    }

    /// A path, relative to the file.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let text = self.text_as("a path")?;
        if text.is_empty() || text.contains('\0') {
            self.fail("wrong-value", format!("`{}` must be a path", self.name), "");
            return None;
        }
        Some(self.reader.resolve(text))
    }

    /// A secret: inline, `{ env = "NAME" }` or `{ file = "path" }`. One line end at the end of a file is not part of it.
    pub(super) fn secret(&self) -> Option<Secret> {
        if let DeValue::String(text) = self.value {
            if self.reader.inline_secret.get().is_none() {
                self.reader.inline_secret.set(Some(self.key));
            }
            return self.filled(Secret::new(&**text));
        }
        let DeValue::Table(_) = self.value else {
            self.wrong_type("a string, { env = \"NAME\" } or { file = \"path\" }");
            return None;
        };
        let mut section = self.section(format!("`{}`", self.name))?;
        let (env, file) = (section.take("env"), section.take("file"));
        section.finish();
        match (env, file) {
            (Some(env), None) => self.filled(env.from_environment()?),
            (None, Some(file)) => self.filled(file.from_file()?),
            _ => {
                let message = format!("`{}` needs either `env` or `file`", self.name);
                self.fail("wrong-value", message, "write { env = \"NAME\" } or { file = \"path\" }");
                None
            }
        }
    }

    fn filled(&self, secret: Secret) -> Option<Secret> {
        if secret.is_empty() {
            self.fail("empty-secret", format!("`{}` is empty", self.name), "");
            return None;
        }
        Some(secret)
    }

    fn from_environment(&self) -> Option<Secret> {
        let name = self.text_as("the name of an environment variable")?;
        let value = (self.reader.environment)(name);
        if value.is_none() {
            self.fail(
                "no-such-variable",
                format!("the environment variable `{}` is not set", shown(name)),
                "set it where the gateway is started",
            );
        }
        value.map(Secret::new)
    }

    fn from_file(&self) -> Option<Secret> {
        let path = self.path()?;
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                self.reader.note_secret_file(&path, self.span);
                let text = Secret::new(text);
                let line = text.expose();
                Some(Secret::new(line.strip_suffix("\r\n").or_else(|| line.strip_suffix('\n')).unwrap_or(line)))
            }
            Err(error) => {
                self.fail("unreadable-file", format!("{} cannot be read: {error}", path.display()), "");
                None
            }
        }
    }
}

/// A text of the file within a message: on one line and not too long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown.replace("\\\"", "\"").replace("\\'", "'")
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
