//! What a filter text may hold, checked before it is compiled.

use jaq_core::load::lex::{StrPart, Tok, Token};
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};

use super::{CompileError, MAX_TEXT, prelude};

/// Brackets within brackets; jaq's lexer and parser recurse for each.
const MAX_DEPTH: usize = 64;
/// Tokens of one filter; the parser and the compiler recurse for some of them.
const MAX_TOKENS: usize = 1024;
/// Words that each take the rest of the text one level deeper.
const MAX_CHAIN: usize = 96;
/// Operators, commas among them: a chain of them is a deep tree too.
const MAX_OPERATORS: usize = 256;
/// How many times larger than its input a filter's value may become by construction.
const MAX_GROWTH: f64 = 4096.0;

/// Bounds that must hold before anything recurses over the text.
pub(super) fn before_lexing(text: &str) -> Result<(), CompileError> {
    if text.len() > MAX_TEXT {
        return Err(CompileError {
            offset: 0,
            length: 1,
            message: format!("a filter must not be over {MAX_TEXT} bytes"),
        });
    }
    let mut depth = 0_usize;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            let message = format!("brackets must not be nested over {MAX_DEPTH} deep");
            return Err(CompileError { offset, length: 1, message });
        }
    }
    Ok(())
}

/// Operators and keywords, which the syntax tree holds without their positions.
pub(super) fn tokens(text: &str, tokens: &[Token<&str>]) -> Result<(), CompileError> {
    walk_tokens(text, tokens, &mut Counts::default())
}

#[derive(Default)]
struct Counts {
    all: usize,
    chained: usize,
    operators: usize,
}

fn walk_tokens(text: &str, tokens: &[Token<&str>], count: &mut Counts) -> Result<(), CompileError> {
    for (n, Token(word, kind)) in tokens.iter().enumerate() {
        count.all += 1;
        count.chained += usize::from(matches!(*word, "|" | "-" | "as" | "try" | "if"));
        count.operators +=
            usize::from(matches!(kind, Tok::Sym) && !word.starts_with('.') || matches!(*word, "and" | "or"));
        if count.all > MAX_TOKENS || count.chained > MAX_CHAIN || count.operators > MAX_OPERATORS {
            return Err(CompileError::at(text, word, "the filter is too long; make it simpler"));
        }
        match kind {
            Tok::Block(inner) => walk_tokens(text, inner, count)?,
            Tok::Str(parts) => {
                for part in parts {
                    if let StrPart::Term(token) = part {
                        walk_tokens(text, std::slice::from_ref(token), count)?;
                    }
                }
            }
            Tok::Sym => {
                if let Some(why) = refused_symbol(word) {
                    return Err(CompileError::at(text, word, format!("`{word}` is refused: {why}")));
                }
            }
            Tok::Word => {
                let is_key = tokens.get(n + 1).is_some_and(|Token(next, _)| *next == ":");
                if let Some(why) = refused_keyword(word).filter(|_| !is_key) {
                    return Err(CompileError::at(text, word, format!("`{word}` is refused: {why}")));
                }
            }
            Tok::Var | Tok::Fmt | Tok::Num => {}
        }
    }
    Ok(())
}

fn refused_symbol(symbol: &str) -> Option<&'static str> {
    match symbol {
        "*" => Some("repeating a text can use up all memory, and identities need no products"),
        ".." => Some("name the field that is meant"),
        "=" => Some("to compare, write `==`; to change a field, add an object with `+`"),
        "|=" | "+=" | "-=" | "*=" | "/=" | "%=" | "//=" => Some("to change a field, add an object with `+`"),
        _ => None,
    }
}

fn refused_keyword(word: &str) -> Option<&'static str> {
    match word {
        "def" => {
            Some("functions of one's own could recurse without end; write the expression in place, or use `as $x`")
        }
        "reduce" | "foreach" => Some("use map, add, any, all or join"),
        "label" | "break" => Some("use first, any or all"),
        "include" | "import" | "module" => Some("a filter stands alone, there are no modules"),
        _ => None,
    }
}

/// Calls, formats and growth, on the syntax tree.
pub(super) fn term(text: &str, term: &Term<&str>) -> Result<(), CompileError> {
    let mut check = Check { text, variables: Vec::new() };
    let growth = check.growth(term)?;
    if growth > MAX_GROWTH {
        return Err(CompileError::at(text, text, "the filter copies its input too many times; make it smaller"));
    }
    Ok(())
}

/// Walks a term and bounds how many copies of its input its outputs can hold.
///
/// Without recursion in the language, only `l | r` multiplies; the bound is a product over the pipeline of sums over
/// what is put together. Loops over the document's own lists are not counted: how many are nested, and how long the
/// lists are, is the operator's to know.
struct Check<'a> {
    text: &'a str,
    variables: Vec<(&'a str, f64)>,
}

impl<'a> Check<'a> {
    fn growth(&mut self, term: &Term<&'a str>) -> Result<f64, CompileError> {
        Ok(match term {
            Term::Id | Term::Num(_) | Term::Arr(None) => 1.0,
            Term::Str(format, parts) => {
                let mut sum = 1.0;
                for part in parts {
                    if let StrPart::Term(inner) = part {
                        sum += self.growth(inner)?;
                    }
                }
                if let Some(format) = format {
                    sum *= self.call(format, 0)?;
                }
                sum
            }
            Term::Arr(Some(inner)) | Term::Neg(inner) => self.growth(inner)?,
            Term::Obj(entries) => {
                let mut object = 1.0;
                for (key, value) in entries {
                    let key = self.growth(key)?;
                    let value = value.as_ref().map_or(Ok(1.0), |value| self.growth(value))?;
                    object = together(object, together(key, value) - 1.0);
                }
                object
            }
            Term::BinOp(left, operator, right) => self.operator(left, operator, right)?,
            Term::TryCatch(body, handler) => {
                let body = self.growth(body)?;
                body + handler.as_ref().map_or(Ok(0.0), |handler| self.growth(handler))?
            }
            Term::IfThenElse(branches, otherwise) => {
                // Each output of a condition runs its branch once.
                let mut conditions = 1.0_f64;
                let mut most = 1.0_f64;
                for (condition, branch) in branches {
                    conditions *= self.growth(condition)?.max(1.0);
                    most = most.max(self.growth(branch)?);
                }
                if let Some(otherwise) = otherwise {
                    most = most.max(self.growth(otherwise)?);
                }
                if branches.iter().all(|(condition, _)| yields_one(condition)) { most } else { most * conditions }
            }
            Term::Call(name, arguments) => {
                let mut most = 1.0_f64;
                for argument in arguments {
                    most = most.max(self.growth(argument)?);
                }
                let own = self.call(name, arguments.len())?;
                // What a condition holds is dropped again, so only its own size is bounded; `select` repeats its input
                // for each output that holds.
                let drops = match *name {
                    "any" | "all" | "IN" | "isempty" => true,
                    "select" => arguments.iter().all(yields_one),
                    _ => false,
                };
                if drops && most <= MAX_GROWTH { own } else { most * own }
            }
            Term::Var(name) => {
                let bound = self.variables.iter().rev().find(|(variable, _)| variable == name);
                let none = || CompileError::at(self.text, name, format!("there is no variable `{name}`"));
                bound.ok_or_else(none)?.1
            }
            Term::Path(head, path) => self.growth(head)? * self.path(path)?,
            Term::Recurse | Term::Def(..) => return Err(self.refused("")),
            Term::Label(word, _) | Term::Break(word) | Term::Fold(word, ..) => return Err(self.refused(word)),
        })
    }

    fn operator(
        &mut self,
        left: &Term<&'a str>,
        operator: &BinaryOp<&'a str>,
        right: &Term<&'a str>,
    ) -> Result<f64, CompileError> {
        let l = self.growth(left)?;
        if let BinaryOp::Pipe(Some(pattern)) = operator {
            let before = self.variables.len();
            let bindings = self.bind(pattern, l)?;
            let r = self.growth(right);
            self.variables.truncate(before);
            // The right side runs for each output of the left and each way to take it apart, over the same input.
            return Ok(r? * bindings * if yields_one(left) { 1.0 } else { l });
        }
        let r = self.growth(right)?;
        match operator {
            BinaryOp::Pipe(_) => Ok(l * r),
            BinaryOp::Comma | BinaryOp::Alt => Ok(l + r),
            BinaryOp::Math(Math::Mul)
            | BinaryOp::Assign
            | BinaryOp::Update
            | BinaryOp::UpdateMath(_)
            | BinaryOp::UpdateAlt => Err(self.refused("")),
            BinaryOp::Or | BinaryOp::And | BinaryOp::Cmp(_) if yields_one(left) && yields_one(right) => Ok(1.0),
            BinaryOp::Or | BinaryOp::And | BinaryOp::Cmp(_) | BinaryOp::Math(_) => Ok(together(l, r)),
        }
    }

    /// Notes variables, and says in how many ways a value can be taken apart: more than one with keys like `("a", "b")`.
    fn bind(&mut self, pattern: &Pattern<&'a str>, growth: f64) -> Result<f64, CompileError> {
        let mut ways = 1.0;
        match pattern {
            Pattern::Var(name) => self.variables.push((name, growth)),
            Pattern::Arr(items) => {
                for item in items {
                    ways *= self.bind(item, growth)?;
                }
            }
            Pattern::Obj(entries) => {
                for (key, item) in entries {
                    let keys = self.growth(key)?;
                    ways *= if yields_one(key) { 1.0 } else { keys };
                    ways *= self.bind(item, growth)?;
                }
            }
        }
        Ok(ways)
    }

    fn path(&mut self, Path(parts): &Path<Term<&'a str>>) -> Result<f64, CompileError> {
        let mut product = 1.0;
        for (part, _) in parts {
            for index in indexes(part) {
                product *= self.growth(index)?;
            }
        }
        Ok(product)
    }

    /// What a call adds by itself: formats and `tojson` can double what they escape, and double it again.
    fn call(&self, name: &'a str, arguments: usize) -> Result<f64, CompileError> {
        match prelude::refusal(name, arguments) {
            Some(message) => Err(CompileError::at(self.text, name, message)),
            None if name == "@uri" => Ok(3.0),
            None if matches!(
                name,
                "tojson" | "@json" | "@base64" | "tostring" | "@text" | "join" | "to_entries" | "with_entries"
            ) =>
            {
                Ok(2.0)
            }
            None => Ok(1.0),
        }
    }

    fn refused(&self, part: &str) -> CompileError {
        let part = if part.is_empty() { self.text } else { part };
        CompileError::at(self.text, part, "this part of jq is not available to filters")
    }
}

/// The terms inside one part of a path.
pub(super) fn indexes<T>(part: &Part<T>) -> impl Iterator<Item = &T> {
    let (first, second) = match part {
        Part::Index(index) => (Some(index), None),
        Part::Range(from, to) => (from.as_ref(), to.as_ref()),
    };
    first.into_iter().chain(second)
}

/// Every output of one side with every output of the other.
fn together(l: f64, r: f64) -> f64 {
    (l + r).max(l * r)
}

/// Whether a term certainly yields at most one value for one input.
fn yields_one(term: &Term<&str>) -> bool {
    match term {
        Term::Id | Term::Num(_) | Term::Arr(_) | Term::Var(_) => true,
        Term::Str(_, parts) => parts.iter().all(|part| !matches!(part, StrPart::Term(inner) if !yields_one(inner))),
        Term::Neg(inner) => yields_one(inner),
        Term::BinOp(_, BinaryOp::Comma, _) => false,
        Term::BinOp(left, _, right) => yields_one(left) && yields_one(right),
        Term::Path(head, Path(parts)) => {
            yields_one(head) && parts.iter().all(|(part, _)| matches!(part, Part::Index(index) if yields_one(index)))
        }
        Term::Call(name, arguments) => {
            matches!(*name, "any" | "all" | "isempty" | "map" | "first" | "last" | "IN")
                || arguments.iter().all(yields_one)
        }
        _ => false,
    }
}
