//! Which facts of a request a filter may read, found without running it.
//!
//! The analysis follows where in the document each value comes from. It errs on the safe side: whatever lets the
//! document or its `request` out as a whole counts as reading all of it.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::{Part, Path};

use super::check::indexes;

/// What may be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// Anything of `request`.
    pub(super) request: bool,
    /// `request.method` or `request.reference`, which are known only at use.
    pub(super) use_only: bool,
}

impl Reads {
    /// What a term may read when it runs over the document.
    pub(super) fn of(term: &Term<&str>) -> Self {
        let mut walk = Walk { reads: Self::default(), variables: Vec::new() };
        walk.consume(term, Origin::Document);
        walk.reads
    }
}

/// Where a value comes from; ordered, so that the larger of two covers both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// Constants, parts of the document outside `request`, and facts whose reading was noted already.
    Plain,
    /// The `request` object.
    Request,
    /// The document, which holds the request.
    Document,
}

struct Walk<'a> {
    reads: Reads,
    variables: Vec<(&'a str, Origin)>,
}

impl<'a> Walk<'a> {
    /// A value is used as a whole.
    fn whole(&mut self, origin: Origin) {
        if origin != Origin::Plain {
            self.reads = Reads { request: true, use_only: true };
        }
    }

    fn consume(&mut self, term: &Term<&'a str>, input: Origin) {
        let origin = self.origin(term, input);
        self.whole(origin);
    }

    fn origin(&mut self, term: &Term<&'a str>, input: Origin) -> Origin {
        match term {
            Term::Id => input,
            Term::Var(name) => {
                let bound = self.variables.iter().rev().find(|(variable, _)| variable == name);
                bound.map_or(Origin::Document, |(_, origin)| *origin)
            }
            Term::Num(_) | Term::Arr(None) | Term::Break(_) => Origin::Plain,
            Term::Str(format, parts) => {
                if format.is_some() && parts.is_empty() {
                    self.whole(input);
                }
                for part in parts {
                    if let StrPart::Term(inner) = part {
                        self.consume(inner, input);
                    }
                }
                Origin::Plain
            }
            Term::Arr(Some(inner)) | Term::Neg(inner) => {
                self.consume(inner, input);
                Origin::Plain
            }
            Term::Obj(entries) => {
                for (key, value) in entries {
                    match (key, value) {
                        (Term::Str(None, parts), None) => {
                            let origin = self.field(input, constant(parts));
                            self.whole(origin);
                        }
                        (key, value) => {
                            self.consume(key, input);
                            if let Some(value) = value {
                                self.consume(value, input);
                            }
                        }
                    }
                }
                Origin::Plain
            }
            Term::BinOp(left, operator, right) => self.operator(left, operator, right, input),
            Term::TryCatch(body, handler) => {
                let body = self.origin(body, input);
                // What a handler sees was raised by `error`, which counts as reading its argument.
                let handler = handler.as_ref().map_or(Origin::Plain, |handler| self.origin(handler, Origin::Plain));
                body.max(handler)
            }
            Term::IfThenElse(branches, otherwise) => {
                let mut result = Origin::Plain;
                for (condition, branch) in branches {
                    self.consume(condition, input);
                    result = result.max(self.origin(branch, input));
                }
                result.max(otherwise.as_ref().map_or(input, |otherwise| self.origin(otherwise, input)))
            }
            Term::Call(name, arguments) => self.call(name, arguments, input),
            Term::Path(head, path) => {
                let head = self.origin(head, input);
                self.path(head, path, input)
            }
            Term::Recurse | Term::Label(..) | Term::Fold(..) | Term::Def(..) => {
                self.whole(Origin::Document);
                Origin::Document
            }
        }
    }

    fn operator(
        &mut self,
        left: &Term<&'a str>,
        operator: &BinaryOp<&'a str>,
        right: &Term<&'a str>,
        input: Origin,
    ) -> Origin {
        match operator {
            BinaryOp::Pipe(None) => {
                let left = self.origin(left, input);
                self.origin(right, left)
            }
            BinaryOp::Pipe(Some(pattern)) => {
                let value = self.origin(left, input);
                let before = self.variables.len();
                self.bind(pattern, value, input);
                let result = self.origin(right, input);
                self.variables.truncate(before);
                result
            }
            BinaryOp::Comma => self.origin(left, input).max(self.origin(right, input)),
            BinaryOp::Alt => {
                // Which side is taken depends on the left one.
                self.consume(left, input);
                self.origin(right, input)
            }
            _ => {
                self.consume(left, input);
                self.consume(right, input);
                Origin::Plain
            }
        }
    }

    fn call(&mut self, name: &str, arguments: &[Term<&'a str>], input: Origin) -> Origin {
        match (name, arguments) {
            ("true" | "false" | "null" | "empty", []) => Origin::Plain,
            ("select", [condition]) => {
                self.consume(condition, input);
                input
            }
            ("first" | "last", [generator]) => self.origin(generator, input),
            ("any" | "all", [generator, condition]) => {
                let each = self.origin(generator, input);
                self.consume(condition, each);
                Origin::Plain
            }
            ("isempty" | "error", [argument]) => {
                self.consume(argument, input);
                Origin::Plain
            }
            ("IN", [left, right]) => {
                self.consume(left, input);
                self.consume(right, input);
                Origin::Plain
            }
            _ => {
                self.whole(input);
                for argument in arguments {
                    self.consume(argument, input);
                }
                Origin::Plain
            }
        }
    }

    fn path(&mut self, head: Origin, Path(parts): &Path<Term<&'a str>>, input: Origin) -> Origin {
        let mut here = head;
        for (part, _) in parts {
            match part {
                Part::Index(Term::Str(None, name)) if constant(name).is_some() => {
                    here = self.field(here, constant(name));
                }
                _ => {
                    self.whole(here);
                    for index in indexes(part) {
                        self.consume(index, input);
                    }
                    here = Origin::Plain;
                }
            }
        }
        here
    }

    fn field(&mut self, of: Origin, name: Option<&str>) -> Origin {
        match (of, name) {
            (Origin::Document, Some("request")) => Origin::Request,
            (Origin::Request, Some(name)) => {
                self.reads.request = true;
                self.reads.use_only |= matches!(name, "method" | "reference");
                Origin::Plain
            }
            (Origin::Document, Some(_)) | (Origin::Plain, _) => Origin::Plain,
            (_, None) => {
                self.whole(of);
                Origin::Plain
            }
        }
    }

    fn bind(&mut self, pattern: &Pattern<&'a str>, value: Origin, input: Origin) {
        if let Pattern::Var(name) = pattern {
            self.variables.push((name, value));
            return;
        }
        self.whole(value);
        match pattern {
            Pattern::Var(_) => {}
            Pattern::Arr(items) => items.iter().for_each(|item| self.bind(item, Origin::Plain, input)),
            Pattern::Obj(entries) => {
                for (key, item) in entries {
                    self.consume(key, input);
                    self.bind(item, Origin::Plain, input);
                }
            }
        }
    }
}

/// The text of a string without escapes and interpolations.
fn constant<'s, T>(parts: &[StrPart<&'s str, T>]) -> Option<&'s str> {
    match parts {
        [StrPart::Str(text)] => Some(text),
        _ => None,
    }
}
