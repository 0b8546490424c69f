//! Walking a parsed file: what is being read, what was found, and sections that know their keys.
//!
//! Nothing here stops at the first problem: a getter reports what is wrong and yields nothing, and the caller goes on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::item::Item;
use super::nearest::nearest;
use super::report::{Diagnostic, Severity};
use super::source::{Source, Span};
use super::tls::NamedFile;
use super::tree::Table;

/// Looks up an environment variable.
pub(super) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What a file's values refer to outside of it.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// What its paths are relative to.
    pub(super) base: &'a Path,
    pub(super) environment: &'a Environment<'a>,
    /// Hears of each file that the configuration depends on before that is read.
    pub(super) depends_on: &'a dyn Fn(&Path),
}

/// What is being read, and what was found to tell.
pub(super) struct Reader<'a> {
    pub(super) source: Source<'a>,
    around: Surroundings<'a>,
    findings: RefCell<Vec<Finding>>,
    /// The first secret that stands in the file itself.
    inline_secret: Cell<Option<Span>>,
    /// Files that hold secrets, and where they are named.
    secret_files: RefCell<Vec<(PathBuf, Span)>>,
    /// Files of TLS.
    tls_files: RefCell<Vec<NamedFile>>,
    /// Files whose content the configuration depends on.
    files: RefCell<BTreeSet<PathBuf>>,
}

/// Something to tell. Its line is looked for when it is told.
struct Finding {
    severity: Severity,
    code: &'static str,
    span: Span,
    message: String,
    hint: String,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: Source<'a>, around: Surroundings<'a>) -> Self {
        Self {
            source,
            around,
            findings: RefCell::default(),
            inline_secret: Cell::new(None),
            secret_files: RefCell::default(),
            tls_files: RefCell::default(),
            files: RefCell::default(),
        }
    }

    pub(super) fn error(&self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.tell(Severity::Error, code, span, message.into(), hint.into());
    }

    pub(super) fn warn(&self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.tell(Severity::Warning, code, span, message.into(), hint.into());
    }

    fn tell(&self, severity: Severity, code: &'static str, span: Span, message: String, hint: String) {
        self.findings.borrow_mut().push(Finding { severity, code, span, message, hint });
    }

    pub(super) fn has_errors(&self) -> bool {
        self.findings.borrow().iter().any(|finding| finding.severity == Severity::Error)
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

    /// Notes a file of TLS.
    pub(super) fn note_tls_file(&self, file: NamedFile) {
        self.tls_files.borrow_mut().push(file);
    }

    pub(super) fn tls_files(&self) -> Vec<NamedFile> {
        self.tls_files.borrow().clone()
    }

    /// Notes a file that the configuration is another one without: it is read again with it. Whether the file can be read does not
    /// matter here.
    pub(super) fn note_file(&self, path: &Path) {
        (self.around.depends_on)(path);
        self.files.borrow_mut().insert(path.to_owned());
    }

    /// What was found, and the files that were noted.
    pub(super) fn finish(self) -> (Vec<Diagnostic>, BTreeSet<PathBuf>) {
        let source = self.source;
        let told = |finding: Finding| Diagnostic {
            severity: finding.severity,
            code: finding.code,
            message: finding.message,
            file: source.name().clone(),
            place: Some(source.place(finding.span)),
            hint: (!finding.hint.is_empty()).then_some(finding.hint),
        };
        (self.findings.into_inner().into_iter().map(told).collect(), self.files.into_inner())
    }

    /// The files that were noted, where nobody wants to know what was found.
    pub(super) fn into_files(self) -> BTreeSet<PathBuf> {
        self.files.into_inner()
    }

    /// Notes a secret that stands in the file itself.
    pub(super) fn note_inline_secret(&self, span: Span) {
        if self.inline_secret.get().is_none() {
            self.inline_secret.set(Some(span));
        }
    }

    pub(super) fn environment(&self, name: &str) -> Option<String> {
        (self.around.environment)(name)
    }

    /// A path of the file, which is relative to the file.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.around.base.join(path)
    }
}

/// What a section is called in messages: as the operator writes it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Title<'a> {
    /// In words.
    Text(&'static str),
    /// `[server]`.
    Header(&'a str),
    /// `[users.alice]`.
    Below(&'a str, &'a str),
    /// `[[route]]`.
    Element(&'a str),
    /// The table of a key, which is written in braces as often as not.
    Key(&'a str),
}

impl fmt::Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Header(name) => write!(f, "[{name}]"),
            Self::Below(section, name) => write!(f, "[{section}.{}]", shown(name)),
            Self::Element(name) => write!(f, "[[{name}]]"),
            Self::Key(name) => write!(f, "`{name}`"),
        }
    }
}

/// As many keys as a rule may have; there are more of these than of other sections.
const USUAL_KEYS: usize = 12;

/// A table whose keys are known.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader<'a>,
    title: Title<'a>,
    /// Its header, or the whole of an inline table.
    pub(super) header: Span,
    table: &'a Table<'a>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn new(reader: &'a Reader<'a>, title: Title<'a>, header: Span, table: &'a Table<'a>) -> Self {
        Self { reader, title, header, table, known: Vec::with_capacity(USUAL_KEYS) }
    }

    /// The value of a key, which is known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        let (name, node) = self.table.get(key)?;
        Some(Item { reader: self.reader, name: key, key: name.span, value: &node.value, span: node.span })
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

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let keys = self.table.iter().map(|(key, _)| key);
        let mut unknown: Vec<_> = keys.filter(|key| !self.known.contains(&&*key.text)).collect();
        unknown.sort_by_key(|key| key.span.start);
        for key in unknown {
            let name: &str = &key.text;
            let hint = match nearest(name, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            self.reader.error(
                "unknown-key",
                key.span,
                format!("unknown key `{}` in {}", shown(name), self.title),
                hint,
            );
        }
    }

    /// The keys of a table where they are names.
    pub(super) fn names(&self) -> Names<'a> {
        Names(Some(self.table))
    }

    /// Every entry of a table whose keys are names, in file order.
    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = (&'a str, Item<'a>)> + use<'a> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        let reader = self.reader;
        entries.into_iter().map(move |(key, node)| {
            let name: &'a str = &key.text;
            (name, Item { reader, name, key: key.span, value: &node.value, span: node.span })
        })
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

/// The names that a section is keyed by, also of entries that are wrong. Those of a missing section are none.
#[derive(Clone, Copy, Default)]
pub(super) struct Names<'a>(Option<&'a Table<'a>>);

impl<'a> Names<'a> {
    pub(super) fn contains(self, name: &str) -> bool {
        self.0.is_some_and(|table| table.get(name).is_some())
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a str> {
        self.0.into_iter().flat_map(Table::iter).map(|(key, _)| &*key.text)
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
