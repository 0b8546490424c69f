//! What is wrong with a configuration, as it is told to the operator.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The gateway does not start.
    Error,
    /// It starts, but likely does not do what was meant.
    Warning,
}

/// One thing to tell: what, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable short name such as `unknown-key` or `push-without-pull`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The file as the operator named it.
    pub file: Arc<str>,
    /// Where in the file; `None` when the file could not be read at all.
    pub place: Option<Place>,
    /// What would be right.
    pub hint: Option<String>,
}

/// A place in a file, with its line as it may be shown: secret values in it are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The line, with secret values masked.
    pub text: String,
    /// Characters of `text` before the caret.
    pub caret: usize,
    /// Carets; at least 1.
    pub caret_width: usize,
}

impl Diagnostic {
    /// What is wrong, on one line that begins with where: `gateway.toml:12:5: unknown key …`.
    pub fn headline(&self) -> String {
        let Self { file, message, .. } = self;
        match &self.place {
            Some(Place { line, column, .. }) => format!("{file}:{line}:{column}: {message}"),
            None => format!("{file}: {message}"),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", self.message)?;
        let gutter = self.place.as_ref().map_or(1, |place| place.line.to_string().len());
        match &self.place {
            None => writeln!(f, "{:gutter$}--> {}", "", self.file)?,
            Some(place) => {
                writeln!(f, "{:gutter$}--> {}:{}:{}", "", self.file, place.line, place.column)?;
                writeln!(f, "{:gutter$} |", "")?;
                writeln!(f, "{} | {}", place.line, place.text)?;
                writeln!(
                    f,
                    "{:gutter$} | {:caret$}{:^<width$}",
                    "",
                    "",
                    "",
                    caret = place.caret,
                    width = place.caret_width
                )?;
            }
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "{:gutter$} = hint: {hint}", "")?;
        }
        Ok(())
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut object = serializer.serialize_struct("Diagnostic", 7)?;
        object.serialize_field("severity", &self.severity)?;
        object.serialize_field("code", self.code)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("file", &*self.file)?;
        object.serialize_field("line", &self.place.as_ref().map(|place| place.line))?;
        object.serialize_field("column", &self.place.as_ref().map(|place| place.column))?;
        object.serialize_field("hint", &self.hint)?;
        object.end()
    }
}

/// Everything that was found in one file, in the order of the file. `Display` renders it as compilers do.
#[derive(Clone, Debug, Default)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    files: BTreeSet<PathBuf>,
    unreadable: bool,
}

impl Report {
    pub(super) fn new((mut diagnostics, files): (Vec<Diagnostic>, BTreeSet<PathBuf>)) -> Self {
        diagnostics.sort_by_key(|diagnostic| {
            let position = diagnostic.place.as_ref().map(|place| (place.line, place.column));
            (diagnostic.severity, position)
        });
        diagnostics.dedup();
        Self { diagnostics, files, unreadable: false }
    }

    /// The report of a file that could not be read.
    pub(super) fn unreadable(file: &str, cause: &std::io::Error) -> Self {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            code: "unreadable",
            message: format!("the configuration cannot be read: {cause}"),
            file: file.into(),
            place: None,
            hint: Some("name an existing file with --config, and let the gateway's user read it".into()),
        };
        Self { diagnostics: vec![diagnostic], files: BTreeSet::new(), unreadable: true }
    }

    /// Errors first, then warnings, each in file order.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The files that the file names and depends on, as far as it could be read: once one of them changes, all of this may be otherwise.
    pub fn files(&self) -> &BTreeSet<PathBuf> {
        &self.files
    }

    /// Whether any of it is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// Whether the file itself could not be read.
    pub fn is_unreadable(&self) -> bool {
        self.unreadable
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, diagnostic) in self.diagnostics.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
