//! The jq engine with its allow list: filters that make an identity header, predicates that narrow a rule.
//!
//! Texts are compiled once, at start. What they may use is a list (`jq/prelude.rs`), not all of jq: nothing that reads
//! the process or the clock, nothing that repeats without a bound, nothing that multiplies memory. What a filter reads
//! of the request is known before it runs (`jq/reads.rs`). Nothing here knows what a header or a rule is.
//!
//! jaq's own error texts quote the values at hand, so they never leave this module.

mod check;
mod output;
mod prelude;
mod reads;

#[cfg(test)]
mod tests;

use std::fmt;

use jaq_core::load::parse::Term;
use jaq_core::load::{Lexer, Parser};
use jaq_core::{Ctx, Vars};
use jaq_json::Val;
use serde::Deserialize;
use serde_json::Value;

use self::prelude::Program;
use self::reads::Reads;
use crate::document::Document;

/// The longest filter text in bytes.
pub const MAX_TEXT: usize = 8192;

/// Why a filter text was refused at start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// Byte offset into the filter text where the mistake is.
    pub offset: usize,
    /// Length in bytes of what is wrong; at least 1.
    pub length: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl CompileError {
    /// An error at `part`, which must be a slice of `text`; anything else is reported at the beginning.
    fn at(text: &str, part: &str, message: impl Into<String>) -> Self {
        let offset = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize);
        let offset = offset.filter(|offset| *offset <= text.len()).unwrap_or(0);
        Self { offset, length: part.len().max(1), message: message.into() }
    }
}

/// Why a filter gave no value. No variant holds anything of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It raised an error.
    #[error("the filter failed")]
    Failed,
    /// It yielded a second value.
    #[error("the filter yielded more than one value")]
    ManyValues,
    /// Its value has no JSON form: a number that is not finite, a key that is no string.
    #[error("the filter yielded a value that is no JSON")]
    NotJson,
    /// Its value is longer than allowed.
    #[error("the filter yielded more than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

/// A compiled filter that makes one JSON value of a document.
pub struct Filter(Compiled);

impl Filter {
    /// Compiles a filter.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        Compiled::new(text).map(Self)
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether it may read anything of `request`; if not, its value is the same for all requests of one caller.
    pub fn reads_request(&self) -> bool {
        self.0.reads.request
    }

    /// Runs over a document: compact JSON of at most `limit` bytes, or `None` for `null` and for no value at all.
    pub fn run(&self, document: &Document<'_>, limit: usize) -> Result<Option<String>, FilterError> {
        self.run_value(&serde_json::to_value(document).map_err(|_| FilterError::Failed)?, limit)
    }

    /// Runs over any JSON value, as [`Filter::run`] does over a document.
    pub fn run_value(&self, input: &Value, limit: usize) -> Result<Option<String>, FilterError> {
        self.0.run(input, |values| {
            let value = match values.next() {
                None => return Ok(None),
                Some(value) => value?,
            };
            match values.next() {
                None => {}
                Some(Ok(_)) => return Err(FilterError::ManyValues),
                Some(Err(error)) => return Err(error),
            }
            if matches!(value, Val::Null) { Ok(None) } else { output::compact(&value, limit).map(Some) }
        })
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.0.text).finish()
    }
}

/// A compiled predicate over a document.
pub struct Predicate(Compiled);

impl Predicate {
    /// Compiles a predicate.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        Compiled::new(text).map(Self)
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether it may read `request.method` or `request.reference`, which are null when a token is issued.
    pub fn reads_use_only_facts(&self) -> bool {
        self.0.reads.use_only
    }

    /// Whether it holds; an error when it fails or does not yield exactly one boolean.
    pub fn holds(&self, document: &Document<'_>) -> Result<bool, PredicateFailed> {
        let input = serde_json::to_value(document).map_err(|_| PredicateFailed)?;
        self.0.run(&input, |values| match (values.next(), values.next()) {
            (Some(Ok(Val::Bool(holds))), None) => Ok(holds),
            _ => Err(PredicateFailed),
        })
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Predicate").field(&self.0.text).finish()
    }
}

/// A predicate that failed at run time or did not yield one boolean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the predicate did not yield true or false")]
pub struct PredicateFailed;

impl From<FilterError> for PredicateFailed {
    fn from(_: FilterError) -> Self {
        Self
    }
}

struct Compiled {
    text: String,
    program: Program,
    reads: Reads,
}

impl Compiled {
    fn new(text: &str) -> Result<Self, CompileError> {
        let term = parse(text)?;
        let reads = Reads::of(&term);
        let program = prelude::link(text)?;
        Ok(Self { text: text.to_owned(), program, reads })
    }

    fn run<T, E: From<FilterError>>(
        &self,
        input: &Value,
        take: impl FnOnce(&mut dyn Iterator<Item = Result<Val, FilterError>>) -> Result<T, E>,
    ) -> Result<T, E> {
        let input = Val::deserialize(input).map_err(|_| FilterError::Failed)?;
        let context = Ctx::<jaq_core::data::JustLut<Val>>::new(&self.program.lut, Vars::new([]));
        // `halt` and unfinished breaks come as other exceptions than errors: here everything that is no value failed.
        let mut values =
            self.program.id.run((context, input)).map(|value| value.map_err(|_exception| FilterError::Failed));
        take(&mut values)
    }
}

fn parse(text: &str) -> Result<Term<&str>, CompileError> {
    check::before_lexing(text)?;
    let tokens = Lexer::new(text).lex().map_err(|errors| {
        errors.first().map_or_else(
            || CompileError::at(text, text, "this is no jq"),
            |(expected, found)| {
                // The rest of the text is what jaq found; its first character is where the mistake is.
                let here = found.chars().next().map_or(*found, |first| &found[..first.len_utf8()]);
                CompileError::at(text, here, format!("expected a {} here", expected.as_str()))
            },
        )
    })?;
    check::tokens(text, &tokens)?;
    let term = Parser::new(&tokens).parse(Parser::term).map_err(|errors| {
        errors.into_iter().next().map_or_else(
            || CompileError::at(text, text, "this is no jq"),
            |(expected, found)| {
                let here = jaq_core::load::lex::Token::opt_as_str(found, text);
                CompileError::at(text, here, format!("expected {} here", expected.as_str()))
            },
        )
    })?;
    check::term(text, &term)?;
    Ok(term)
}
