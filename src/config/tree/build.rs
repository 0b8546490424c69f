//! The way from a text to its tree: at once from what the parser says, a piece of the file after the other.
//!
//! What is wrong with a text that is no TOML is still for `toml` to say.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::DeTable;
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::lexer::TokenKind;
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, ParseError};

use super::{Array, Integer, Key, Node, Table, Value};
use crate::config::source::Span;

/// How many tokens are parsed at a time, and some more up to the next header.
pub(super) const PIECE: usize = 1024;
/// How deep values, and how long dotted keys, may be: as `toml` has it.
const DEEPEST: usize = 80;

/// Why a text is no TOML.
#[derive(Debug)]
pub(in crate::config) struct Mistake {
    pub(in crate::config) span: Option<Range<usize>>,
    pub(in crate::config) message: String,
}

/// Parses a text.
pub(in crate::config) fn parse(text: &str) -> Result<Table<'_>, Mistake> {
    build(text).map_err(|error| match DeTable::parse(text) {
        Err(error) => Mistake { span: error.span(), message: error.message().to_owned() },
        // Never, as far as tests tell.
        Ok(_) => Mistake {
            span: error.unexpected().map(|span| span.start()..span.end()),
            message: error.description().to_owned(),
        },
    })
}

pub(super) fn build(text: &str) -> Result<Table<'_>, ParseError> {
    let source = toml_parser::Source::new(text);
    let mut builder = Builder {
        source,
        root: Table::default(),
        current: Table::default(),
        header: None,
        header_start: 0,
        open: Vec::new(),
        items: Vec::new(),
        keys: Vec::new(),
    };
    let mut errors: Option<ParseError> = None;
    let mut tokens = Vec::with_capacity(2 * PIECE);
    let (mut depth, mut line_begins) = (0_usize, true);
    for token in source.lex() {
        match token.kind() {
            // What is parsed up to a header by itself would be parsed so with the rest too: a text that is whole is never
            // continued by a new line.
            TokenKind::LeftSquareBracket if depth == 0 && line_begins && tokens.len() >= PIECE => {
                parse_document(&tokens, &mut builder, &mut errors);
                if let Some(error) = errors {
                    return Err(error);
                }
                tokens.clear();
                depth = 1;
            }
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => depth += 1,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => depth = depth.saturating_sub(1),
            _ => {}
        }
        line_begins = token.kind() == TokenKind::Newline;
        tokens.push(token);
    }
    parse_document(&tokens, &mut builder, &mut errors);
    builder.finish_table(&mut errors);
    errors.map_or(Ok(builder.root), Err)
}

/// A header, and the table below it.
struct Header<'a> {
    path: Vec<Key<'a>>,
    key: Key<'a>,
    span: Span,
    of_tables: bool,
}

/// A list or an inline table that is not closed yet.
struct Open<'a> {
    start: usize,
    /// The keys that it is the value of, if it is the value of any.
    keys: Vec<Key<'a>>,
    value: OpenValue<'a>,
}

enum OpenValue<'a> {
    /// Its items are those of [`Builder::items`] from this one on.
    Array(usize),
    Table(Table<'a>),
}

/// Puts together what the parser says. It is as strict as `toml`, and says less of what is wrong.
struct Builder<'a> {
    source: toml_parser::Source<'a>,
    root: Table<'a>,
    /// What stands below the last header.
    current: Table<'a>,
    header: Option<Header<'a>>,
    header_start: usize,
    /// From the outermost in.
    open: Vec<Open<'a>>,
    /// What the lists that are open hold so far.
    items: Vec<Node<'a>>,
    /// Of the header or the value that is being read.
    keys: Vec<Key<'a>>,
}

type Sink<'e> = dyn ErrorSink + 'e;

fn fail(errors: &mut Sink<'_>, message: &'static str, at: Span) {
    errors.report_error(ParseError::new(message).with_unexpected(toml_parser::Span::new_unchecked(at.start, at.end)));
}

const DUPLICATE: &str = "duplicate key";
const TOO_DEEP: &str = "cannot recurse further; max recursion depth met";

impl<'a> Builder<'a> {
    /// A header has been read: what follows is below it.
    fn start_table(&mut self, end: usize, of_tables: bool, errors: &mut Sink<'_>) {
        let Some((key, path)) = self.take_keys(errors) else { return };
        if !of_tables
            && let Some(parent) = descend(&mut self.root, &path, Descent::Header, errors)
            && let Some(before) = parent.remove(&key.text)
        {
            match before.value {
                // So far there was only what is below it.
                Value::Table(table) if table.implicit && !table.dotted => self.current = table,
                _ => fail(errors, DUPLICATE, key.span),
            }
        }
        (self.current.implicit, self.current.dotted) = (false, false);
        self.header = Some(Header { path, key, span: Span { start: self.header_start, end }, of_tables });
    }

    /// The table of the last header is whole: it is put where it belongs.
    fn finish_table(&mut self, errors: &mut Sink<'_>) {
        let mut table = std::mem::take(&mut self.current);
        // In no more memory than it takes; what it grew in serves the next one.
        let mut exact = Vec::with_capacity(table.entries.len());
        exact.append(&mut table.entries);
        self.current.entries = std::mem::replace(&mut table.entries, exact);
        let Some(Header { path, key, span, of_tables }) = self.header.take() else {
            self.root = table;
            return;
        };
        let Some(parent) = descend(&mut self.root, &path, Descent::Header, errors) else { return };
        let node = Node { value: Value::Table(table), span };
        if !of_tables {
            // Nothing has been put there since its header was read.
            parent.push(key, node);
            return;
        }
        let Some(there) = parent.position(&key.text) else {
            let array = Array { items: vec![node], of_tables };
            parent.push(key, Node { value: Value::Array(array), span });
            return;
        };
        match parent.entries.get_mut(there).map(|(_, node)| &mut node.value) {
            Some(Value::Array(array)) if array.of_tables => array.items.push(node),
            _ => fail(errors, DUPLICATE, key.span),
        }
    }

    /// The last of the keys that were read, and those before it.
    fn take_keys(&mut self, errors: &mut Sink<'_>) -> Option<(Key<'a>, Vec<Key<'a>>)> {
        let key = self.keys.pop()?;
        if self.keys.len() >= DEEPEST {
            fail(errors, "recursion limit", key.span);
        }
        // Most keys have no path; what holds them is used on.
        let path = if self.keys.is_empty() { Vec::new() } else { std::mem::take(&mut self.keys) };
        Some((key, path))
    }

    /// A value is whole.
    fn complete(&mut self, node: Node<'a>, errors: &mut Sink<'_>) {
        if let Some(Open { value: OpenValue::Array(_), .. }) = self.open.last() {
            self.items.push(node);
            return;
        }
        let Some((key, path)) = self.take_keys(errors) else { return };
        let (table, way) = match self.open.last_mut() {
            Some(Open { value: OpenValue::Table(table), .. }) => (table, Descent::Inline),
            _ => (&mut self.current, Descent::Dotted),
        };
        let Some(table) = descend(table, &path, way, errors) else { return };
        // A dotted key adds only to what dotted keys began.
        let mixed = !path.is_empty() && !if way == Descent::Inline { table.dotted } else { table.implicit };
        if mixed || table.position(&key.text).is_some() {
            fail(errors, DUPLICATE, key.span);
        } else {
            table.push(key, node);
        }
    }

    fn open(&mut self, span: toml_parser::Span, value: OpenValue<'a>, errors: &mut Sink<'_>) -> bool {
        self.open.push(Open { start: span.start(), keys: std::mem::take(&mut self.keys), value });
        let within = self.open.len() <= DEEPEST;
        if !within {
            fail(errors, TOO_DEEP, place(span));
        }
        within
    }

    fn close(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) {
        let Some(Open { start, keys, value }) = self.open.pop() else { return };
        self.keys = keys;
        let value = match value {
            OpenValue::Array(from) => {
                let items = self.items.drain(from.min(self.items.len())..).collect();
                Value::Array(Array { items, of_tables: false })
            }
            OpenValue::Table(table) => Value::Table(table),
        };
        self.complete(Node { value, span: Span { start, end: span.end() } }, errors);
    }

    fn raw(&self, span: toml_parser::Span, encoding: Option<Encoding>) -> toml_parser::Raw<'a> {
        let text = self.source.input().get(span.start()..span.end()).unwrap_or_default();
        toml_parser::Raw::new_unchecked(text, encoding, span)
    }
}

/// What leads down a path of keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Descent {
    Header,
    /// A dotted key.
    Dotted,
    /// A dotted key in an inline table.
    Inline,
}

/// The table at the end of a path, each of which is made where there is none.
fn descend<'t, 'a>(
    mut table: &'t mut Table<'a>,
    path: &[Key<'a>],
    way: Descent,
    errors: &mut Sink<'_>,
) -> Option<&'t mut Table<'a>> {
    let dotted = way != Descent::Header;
    for key in path {
        let node = if let Some(at) = table.position(&key.text) {
            &mut table.entries[at].1
        } else {
            let new = Table { implicit: true, dotted, inline: way == Descent::Inline, ..Table::default() };
            table.push(key.clone(), Node { value: Value::Table(new), span: key.span })
        };
        let below = match &mut node.value {
            // A header below an array of tables is about the last of them.
            Value::Array(array) if array.of_tables && way != Descent::Inline => {
                array.items.last_mut().and_then(|last| last.value.table_mut())
            }
            // What is written in braces is whole, and a dotted key adds only to what dotted keys or headers below it began.
            Value::Table(table) if (!table.inline || way == Descent::Inline) && (!dotted || table.implicit) => {
                table.dotted |= dotted;
                Some(table)
            }
            _ => None,
        };
        let Some(below) = below else {
            fail(errors, DUPLICATE, key.span);
            return None;
        };
        table = below;
    }
    Some(table)
}

fn place(span: toml_parser::Span) -> Span {
    Span { start: span.start(), end: span.end() }
}

impl EventReceiver for Builder<'_> {
    fn std_table_open(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) {
        self.finish_table(errors);
        self.header_start = span.start();
    }

    fn std_table_close(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) {
        self.start_table(span.end(), false, errors);
    }

    fn array_table_open(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) {
        self.finish_table(errors);
        self.header_start = span.start();
    }

    fn array_table_close(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) {
        self.start_table(span.end(), true, errors);
    }

    fn inline_table_open(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) -> bool {
        self.open(span, OpenValue::Table(Table { inline: true, ..Table::default() }), errors)
    }

    fn inline_table_close(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) {
        self.close(span, errors);
    }

    fn array_open(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) -> bool {
        self.open(span, OpenValue::Array(self.items.len()), errors)
    }

    fn array_close(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) {
        self.close(span, errors);
    }

    fn simple_key(&mut self, span: toml_parser::Span, encoding: Option<Encoding>, errors: &mut Sink<'_>) {
        let mut text = Cow::Borrowed("");
        self.raw(span, encoding).decode_key(&mut text, errors);
        self.keys.push(Key { text, span: place(span) });
    }

    fn scalar(&mut self, span: toml_parser::Span, encoding: Option<Encoding>, errors: &mut Sink<'_>) {
        let mut text = Cow::Borrowed("");
        let value = match self.raw(span, encoding).decode_scalar(&mut text, errors) {
            ScalarKind::String => Value::String(text),
            ScalarKind::Boolean(value) => Value::Boolean(value),
            ScalarKind::DateTime => match text.parse() {
                Ok(moment) => Value::Datetime(moment),
                Err(_) => return fail(errors, "no date or time", place(span)),
            },
            ScalarKind::Float => Value::Float(text),
            ScalarKind::Integer(radix) => Value::Integer(Integer { digits: text, radix: radix.value() }),
        };
        self.complete(Node { value, span: place(span) }, errors);
    }

    fn comment(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) {
        self.raw(span, None).decode_comment(errors);
    }

    fn newline(&mut self, span: toml_parser::Span, errors: &mut Sink<'_>) {
        self.raw(span, None).decode_newline(errors);
    }
}
