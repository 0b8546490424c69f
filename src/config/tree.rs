//! The parsed file: a tree of values, each with its place.
//!
//! `toml` keeps the tokens and the events of a whole file beside its tree, whose nodes are large: that is most of what the start with very
//! many users and rules takes. So this one is our own, and small; `build` makes it.

mod build;

use std::borrow::Cow;
use std::collections::HashMap;

use toml::value::Datetime;

pub(super) use build::{Mistake, parse};

use super::source::Span;

/// A value of the file.
#[derive(Debug)]
pub(super) enum Value<'a> {
    String(Cow<'a, str>),
    Integer(Integer<'a>),
    /// As it was written, without underscores.
    Float(Cow<'a, str>),
    Boolean(bool),
    Datetime(Datetime),
    Array(Array<'a>),
    Table(Table<'a>),
}

/// A whole number of any size.
#[derive(Debug)]
pub(super) struct Integer<'a> {
    /// Without underscores and prefix.
    pub(super) digits: Cow<'a, str>,
    pub(super) radix: u32,
}

/// A value, and where it stands: of a table with a header, the header.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) value: Value<'a>,
    pub(super) span: Span,
}

/// A key, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Key<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) span: Span,
}

#[derive(Debug, Default)]
pub(super) struct Array<'a> {
    pub(super) items: Vec<Node<'a>>,
    /// Whether it was written as `[[name]]`.
    of_tables: bool,
}

/// Keys and values, in no order.
#[derive(Debug, Default)]
pub(super) struct Table<'a> {
    entries: Vec<(Key<'a>, Node<'a>)>,
    /// Where in `entries` a key is, once there are many.
    index: Option<Box<Index<'a>>>,
    /// Whether there is only what is below it.
    implicit: bool,
    /// Whether it was begun by a dotted key.
    dotted: bool,
    /// Whether it stands in braces.
    inline: bool,
}

/// Where in a table each key is.
#[derive(Debug)]
struct Index<'a>(HashMap<Cow<'a, str>, usize>);

/// A table of so many keys has an index.
const MANY: usize = 16;

impl<'a> Value<'a> {
    fn table_mut(&mut self) -> Option<&mut Table<'a>> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }
}

impl<'a> Table<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&(Key<'a>, Node<'a>)> {
        self.position(key).and_then(|at| self.entries.get(at))
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, (Key<'a>, Node<'a>)> {
        self.entries.iter()
    }

    fn position(&self, key: &str) -> Option<usize> {
        if self.entries.len() < MANY {
            return self.entries.iter().position(|(other, _)| other.text == key);
        }
        self.index.as_ref()?.0.get(key).copied()
    }

    /// Adds an entry whose key is not there yet.
    fn push(&mut self, key: Key<'a>, node: Node<'a>) -> &mut Node<'a> {
        let at = self.entries.len();
        if at + 1 >= MANY {
            let others = &self.entries;
            let all = || others.iter().enumerate().map(|(at, (key, _))| (key.text.clone(), at)).collect();
            self.index.get_or_insert_with(|| Box::new(Index(all()))).0.insert(key.text.clone(), at);
        }
        self.entries.push((key, node));
        &mut self.entries[at].1
    }

    fn remove(&mut self, key: &str) -> Option<Node<'a>> {
        let at = self.position(key)?;
        let (_, node) = self.entries.swap_remove(at);
        if self.entries.len() < MANY {
            self.index = None;
        }
        if let Some(index) = &mut self.index {
            index.0.remove(key);
            if let Some((moved, _)) = self.entries.get(at) {
                index.0.insert(moved.text.clone(), at);
            }
        }
        Some(node)
    }
}

#[cfg(test)]
mod tests;
