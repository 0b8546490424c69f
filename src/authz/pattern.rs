//! Patterns of rules: who, which repositories, which paths. Parsed once; matched without regular expressions.
//!
//! In repositories and paths `*` stays within one segment and `**` stands for one or more segments, so `x/**` does not
//! match `x`, and `**` alone matches every name. `${user}` and `${group}` are data: what a name holds is compared,
//! never interpreted, and a value that is no component of a repository name matches nothing.

mod segments;
mod who;

use std::fmt;
use std::str::FromStr;

use self::segments::{Segments, Style};
use crate::registry::is_component;
use crate::subject::Caller;

pub use self::who::{NameGlob, Who};

/// Why a pattern was refused, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub String);

/// One entry of `repositories`.
#[derive(Clone, PartialEq, Eq)]
pub struct RepositoryPattern {
    text: Box<str>,
    segments: Segments,
}

/// One entry of `paths`: the same globs over the segments of a decoded path.
///
/// A slash at the end counts: it begins one more segment, which is empty. So `/a/**` matches `/a/`, `/a/b` and
/// `/a/b/`, but not `/a`; `/a/*` matches `/a/b` alone, since `*` as a whole segment is never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    segments: Segments,
}

/// A name or a path, split once for all patterns that it is held against.
#[derive(Clone, Debug)]
pub struct Split<'a>(Vec<&'a str>);

impl<'a> Split<'a> {
    /// Splits a repository name.
    pub fn repository(name: &'a str) -> Self {
        Self(name.split('/').collect())
    }

    /// Splits a decoded path, which begins with a slash; one that does not matches nothing.
    pub fn path(path: &'a str) -> Self {
        Self(path.strip_prefix('/').map(|rest| rest.split('/').collect()).unwrap_or_default())
    }
}

/// What `${user}` and `${group}` stand for, for one caller.
#[derive(Clone, Debug, Default)]
pub struct Variables<'a> {
    user: Option<&'a str>,
    groups: Vec<&'a str>,
    /// Values that are no components of repository names and so match nothing.
    unfit: Vec<&'a str>,
}

impl<'a> Variables<'a> {
    /// The values of a caller; an anonymous one has none.
    pub fn of(caller: &'a Caller) -> Self {
        let Some(subject) = caller.subject() else { return Self::default() };
        let mut variables = Self::default();
        match subject.name.as_str() {
            name if is_component(name) => variables.user = Some(name),
            name => variables.unfit.push(name),
        }
        for group in &subject.groups {
            match group.as_str() {
                name if is_component(name) => variables.groups.push(name),
                name => variables.unfit.push(name),
            }
        }
        variables
    }

    /// Names of the caller that stand for nothing, since they are no components of repository names.
    pub fn unfit(&self) -> &[&'a str] {
        &self.unfit
    }
}

impl RepositoryPattern {
    /// Whether a name matches.
    pub fn matches(&self, name: &Split<'_>, variables: &Variables<'_>) -> bool {
        self.segments.matches(&name.0, variables.user, &variables.groups)
    }

    /// Whether the pattern names `${user}` or `${group}`.
    pub fn has_variables(&self) -> bool {
        self.segments.has_user() || self.segments.has_group()
    }

    /// Whether this is `**`, which matches every name.
    pub fn matches_all(&self) -> bool {
        &*self.text == "**"
    }

    /// The text up to the first wildcard or variable: what every name that matches begins with.
    pub(super) fn literal_prefix(&self) -> &str {
        literal_prefix(&self.text)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PathPattern {
    /// Whether a decoded path matches.
    pub fn matches(&self, path: &Split<'_>, variables: &Variables<'_>) -> bool {
        self.segments.matches(&path.0, variables.user, &variables.groups)
    }

    /// Whether the pattern names `${user}` or `${group}`.
    pub fn has_variables(&self) -> bool {
        self.segments.has_user() || self.segments.has_group()
    }

    /// Whether this is `/**`, which matches every path.
    pub fn matches_all(&self) -> bool {
        &*self.text == "/**"
    }

    /// The text up to the first wildcard or variable: what every path that matches begins with.
    pub(super) fn literal_prefix(&self) -> &str {
        literal_prefix(&self.text)
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn literal_prefix(text: &str) -> &str {
    text.find(['*', '$']).map_or(text, |end| &text[..end])
}

impl FromStr for RepositoryPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.starts_with('/') || text.ends_with('/') {
            let bare = text.trim_matches('/');
            return Err(PatternError(format!("a repository pattern neither begins nor ends with `/`; write `{bare}`")));
        }
        let segments = Segments::parse(text, Style::Repository)?;
        Ok(Self { text: text.into(), segments })
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PatternError(format!("a path pattern begins with `/`; write `/{text}`")));
        };
        let segments = Segments::parse(rest, Style::Path)?;
        Ok(Self { text: text.into(), segments })
    }
}

macro_rules! shown_as_text {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    )*};
}

shown_as_text!(RepositoryPattern, PathPattern);

#[cfg(test)]
mod tests;
