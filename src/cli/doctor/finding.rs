//! What the doctor found: one sentence each, with what mends it.

use std::io::{self, Write};

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing, or not checked.
    Note,
    /// It works, and should be otherwise.
    Warning,
    /// It does not work, or it is open.
    Error,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) severity: Severity,
    /// What kind of thing it is; never changes between releases.
    pub(super) code: &'static str,
    /// What was seen.
    pub(super) seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

impl Finding {
    pub(super) fn ok(code: &'static str, seen: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, code, seen: seen.into(), mend: None }
    }

    pub(super) fn note(code: &'static str, seen: impl Into<String>) -> Self {
        Self { severity: Severity::Note, code, seen: seen.into(), mend: None }
    }

    pub(super) fn warning(code: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, code, seen: seen.into(), mend: Some(mend.into()) }
    }

    pub(super) fn error(code: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, seen: seen.into(), mend: Some(mend.into()) }
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.severity >= Severity::Warning
    }
}

/// The findings about one part of the set-up.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    /// Which part.
    pub(super) about: String,
    /// In the order in which they were found.
    pub(super) findings: Vec<Finding>,
}

impl Group {
    pub(super) fn new(about: String) -> Self {
        Self { about, findings: Vec::new() }
    }

    /// Adds what was not said before: two routes to one upstream meet the same things.
    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }
}

/// Whether nothing is wrong.
pub(super) fn is_well(groups: &[Group]) -> bool {
    !groups.iter().flat_map(|group| &group.findings).any(Finding::is_wrong)
}

/// For people: a line for each finding, and one for what mends it.
pub(super) fn text(groups: &[Group], out: &mut dyn Write) -> io::Result<()> {
    for group in groups {
        writeln!(out, "{}", group.about)?;
        for finding in &group.findings {
            writeln!(out, "  {:<8}{}: {}", finding.severity.word(), finding.code, finding.seen)?;
            if let Some(mend) = &finding.mend {
                writeln!(out, "          hint: {mend}")?;
            }
        }
        writeln!(out)?;
    }
    let count =
        |severity| groups.iter().flat_map(|group| &group.findings).filter(|one| one.severity == severity).count();
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    writeln!(out, "{}, {}", counted(errors, "error"), counted(warnings, "warning"))
}

/// For programs: one JSON object.
pub(super) fn json(groups: &[Group], out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Examined<'a> {
        ok: bool,
        groups: &'a [Group],
    }
    serde_json::to_writer_pretty(&mut *out, &Examined { ok: is_well(groups), groups })?;
    writeln!(out)
}

/// A text that somebody else wrote, fit for a line of output: escaped, and not too long.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut line: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{Finding, Group, is_well, json, shown, text};

    fn groups() -> Vec<Group> {
        let mut group = Group::new("upstream pulp".to_owned());
        let error = Finding::error("unreachable", "nothing listens", "start it");
        group.add([Finding::ok("clock", "agrees"), error.clone(), error]);
        vec![group]
    }

    #[test]
    fn a_finding_is_told_once_with_its_mend() {
        let mut out = Vec::new();
        text(&groups(), &mut out).unwrap();
        let expected = "upstream pulp\n  ok      clock: agrees\n  error   unreachable: nothing listens\n          hint: start \
                        it\n\n1 error, 0 warnings\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn programs_read_the_same() {
        let mut out = Vec::new();
        json(&groups(), &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["ok"], false);
        assert_eq!(value["groups"][0]["findings"][1]["code"], "unreachable");
        assert_eq!(value["groups"][0]["findings"][0].get("mend"), None);
    }

    #[test]
    fn notes_are_nothing_wrong() {
        let group = |finding| vec![Group { about: String::new(), findings: vec![finding] }];
        assert!(is_well(&group(Finding::note("x", "x"))));
        assert!(!is_well(&group(Finding::warning("x", "x", "x"))));
    }

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        assert_eq!(shown("a\x1b[31m\"b"), "a\\u{1b}[31m\\\"b");
        assert_eq!(shown(&"ä".repeat(200)).chars().count(), 121);
    }
}
