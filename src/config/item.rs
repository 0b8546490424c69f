//! A value of the file: each getter yields it as one kind of thing, or reports that it is none.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::nearest::nearest;
use super::reader::{Reader, Section, Title, shown};
use super::source::{MASK, Span};
use super::tree::{Node, Value};
use super::units::{format_duration, format_size, parse_duration, parse_size};
use crate::secret::Secret;

/// A value, with its key and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// The key, or of an element of a list the key of the list.
    pub(super) name: &'a str,
    pub(super) key: Span,
    pub(super) value: &'a Value<'a>,
    pub(super) span: Span,
}

impl<'a> Item<'a> {
    /// Reports this value.
    pub(super) fn fail(&self, code: &'static str, message: impl Into<String>, hint: impl Into<String>) {
        self.reader.error(code, self.span, message, hint);
    }

    /// The text of this value, fit to be repeated in a message.
    pub(super) fn shown(&self) -> String {
        if self.reader.source.is_masked(self.span) {
            return MASK.into();
        }
        match self.value {
            Value::String(text) => shown(text),
            _ => shown(self.reader.source.slice(self.span)),
        }
    }

    fn wrong_type(&self, expected: &str) {
        let message = format!("`{}` must be {expected}, not {}", shown(self.name), found(self.value));
        self.fail("wrong-type", message, "");
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.text_as("a string")
    }

    pub(super) fn text_as(&self, expected: &str) -> Option<&'a str> {
        let Value::String(text) = self.value else {
            self.wrong_type(expected);
            return None;
        };
        Some(text)
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
            self.fail("wrong-value", format!("`{}` cannot be \"{}\"", self.name, self.shown()), hint);
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
                self.fail("wrong-value", format!("\"{}\" is no {what}", self.shown()), T::Err::to_string(&error));
            })
            .ok()
    }

    fn list(&self) -> Option<Vec<Item<'a>>> {
        let Value::Array(array) = self.value else {
            self.wrong_type("a list");
            return None;
        };
        Some(array.items.iter().map(|item| self.element(item)).collect())
    }

    /// The elements of a list, or the one value that stands for a list of one.
    pub(super) fn list_or_one(&self) -> Vec<Item<'a>> {
        match self.value {
            Value::Array(_) => self.list().unwrap_or_default(),
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

    pub(super) fn section(&self, title: Title<'a>) -> Option<Section<'a>> {
        match self.value {
            // A table that only its sub-tables open has no header of its own.
            Value::Table(table) if self.span.end > self.span.start => {
                Some(Section::new(self.reader, title, self.span, table))
            }
            Value::Table(table) => Some(Section::new(self.reader, title, self.key, table)),
            _ => {
                self.wrong_type("a table");
                None
            }
        }
    }

    /// The elements of `[[name]]`, each made when it is its turn: there may be very many.
    pub(super) fn sections(&self) -> impl ExactSizeIterator<Item = Option<Section<'a>>> + use<'a> {
        let items = if let Value::Array(array) = self.value {
            array.items.as_slice()
        } else {
            let message = format!("`{}` must be a list of tables, not {}", self.name, found(self.value));
            self.fail("wrong-type", message, format!("write its header as [[{}]]", self.name));
            &[]
        };
        let list = *self;
        items.iter().map(move |item| list.element(item).section(Title::Element(list.name)))
    }

    fn element(&self, node: &'a Node<'a>) -> Self {
        Self { value: &node.value, span: node.span, ..*self }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let Value::Boolean(value) = self.value else {
            self.wrong_type("true or false");
            return None;
        };
        Some(*value)
    }

    pub(super) fn number(&self, range: RangeInclusive<usize>) -> Option<usize> {
        let Value::Integer(number) = self.value else {
            self.wrong_type("a whole number");
            return None;
        };
        let value = usize::from_str_radix(&number.digits, number.radix).ok();
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

    /// A number with or without a fraction.
    pub(super) fn fraction(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let value = match self.value {
            Value::Float(digits) => digits.parse::<f64>().ok(),
            Value::Integer(number) => number.digits.parse::<f64>().ok(),
            _ => {
                self.wrong_type("a number");
                return None;
            }
        };
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
        if let Value::Integer(_) = self.value {
            return self.number(range);
        }
        let text = self.text_as("a size such as \"64KiB\"")?;
        let bytes = parse_size(text)
            .map_err(|error| self.fail("wrong-value", format!("\"{}\" is no size", self.shown()), error.to_string()))
            .ok()?;
        let bytes = usize::try_from(bytes).ok().filter(|bytes| range.contains(bytes));
        if bytes.is_none() {
            let show = |bytes: usize| format_size(bytes as u64);
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
            .map_err(|error| {
                self.fail("wrong-value", format!("\"{}\" is no duration", self.shown()), error.to_string());
            })
            .ok()?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let show = format_duration;
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
        if let Value::String(text) = self.value {
            self.reader.note_inline_secret(self.key);
            return self.filled(Secret::new(&**text));
        }
        let Value::Table(_) = self.value else {
            self.wrong_type("a string, { env = \"NAME\" } or { file = \"path\" }");
            return None;
        };
        let mut section = self.section(Title::Key(self.name))?;
        let (env, file) = (section.take("env"), section.take("file"));
        section.finish();
        match (env, file) {
            (Some(env), None) => self.filled(env.variable()?),
            (None, Some(file)) => self.filled(file.content()?),
            _ => {
                let message = format!("`{}` needs either `env` or `file`", self.name);
                self.fail("wrong-value", message, "write { env = \"NAME\" } or { file = \"path\" }");
                None
            }
        }
    }

    /// What is made of a secret, which is copied only where it is not in the file.
    pub(super) fn secret_as<T>(&self, make: impl FnOnce(&str) -> T) -> Option<T> {
        match self.value {
            Value::String(text) if !text.is_empty() => {
                self.reader.note_inline_secret(self.key);
                Some(make(text))
            }
            _ => self.secret().map(|secret| make(secret.expose())),
        }
    }

    fn filled(&self, secret: Secret) -> Option<Secret> {
        if secret.is_empty() {
            self.fail("empty-secret", format!("`{}` is empty", self.name), "");
            return None;
        }
        Some(secret)
    }

    fn variable(&self) -> Option<Secret> {
        let name = self.text_as("the name of an environment variable")?;
        let value = self.reader.environment(name);
        if value.is_none() {
            self.fail(
                "no-such-variable",
                format!("the environment variable `{}` is not set", shown(name)),
                "set it where the gateway is started",
            );
        }
        value.map(Secret::new)
    }

    fn content(&self) -> Option<Secret> {
        let path = self.path()?;
        self.reader.note_file(&path);
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

fn found(value: &Value<'_>) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}
