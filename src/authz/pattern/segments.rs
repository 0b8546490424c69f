//! Globs over `/`-separated segments: parsing, and matching in time bounded by pattern length times name length.

use super::PatternError;
use crate::registry::is_component;

/// What the segments belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Components of a repository name.
    Repository,
    /// Segments of a decoded path.
    Path,
}

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segments {
    steps: Vec<Step>,
    user: bool,
    group: bool,
}

/// One step over the segments of a name. `**` is one [`Step::Any`] and one [`Step::Rest`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Exactly one segment, whatever it is; it may be empty.
    Any,
    /// Any number of segments, none included.
    Rest,
    /// One segment of this text.
    Plain(Box<str>),
    /// One segment that matches: pieces between the `*`s of it.
    One(Vec<Piece>),
}

/// What stands between two `*`, or at either end: literals and variables in a row. May be empty.
type Piece = Vec<Atom>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Atom {
    Literal(Box<str>),
    User,
    Group,
}

/// The values of the variables while one pattern is tried.
#[derive(Clone, Copy)]
struct Values<'a> {
    user: Option<&'a str>,
    group: Option<&'a str>,
}

impl Segments {
    pub(super) fn has_user(&self) -> bool {
        self.user
    }

    pub(super) fn has_group(&self) -> bool {
        self.group
    }

    /// Whether segments match; all `${group}` of a pattern stand for the same one of the groups.
    pub(super) fn matches(&self, name: &[&str], user: Option<&str>, groups: &[&str]) -> bool {
        if self.user && user.is_none() {
            return false;
        }
        if self.group {
            return groups.iter().any(|group| self.matches_with(name, Values { user, group: Some(group) }));
        }
        self.matches_with(name, Values { user, group: None })
    }

    /// The usual two-pointer walk: of several `**` only the last one ever has to be taken back, so no state multiplies.
    fn matches_with(&self, name: &[&str], values: Values<'_>) -> bool {
        let (mut step, mut at) = (0, 0);
        let mut resume: Option<(usize, usize)> = None;
        loop {
            let advanced = match self.steps.get(step) {
                Some(Step::Rest) => {
                    resume = Some((step, at));
                    step += 1;
                    continue;
                }
                Some(Step::Any) => at < name.len(),
                Some(Step::Plain(text)) => name.get(at).is_some_and(|segment| **segment == **text),
                Some(Step::One(pieces)) => name.get(at).is_some_and(|segment| segment_matches(pieces, segment, values)),
                None if at == name.len() => return true,
                None => false,
            };
            if advanced {
                step += 1;
                at += 1;
                continue;
            }
            match resume {
                Some((rest, from)) if from < name.len() => {
                    resume = Some((rest, from + 1));
                    step = rest + 1;
                    at = from + 1;
                }
                _ => return false,
            }
        }
    }

    /// Parses what stands after the leading slash of a path, or a whole repository pattern.
    pub(super) fn parse(text: &str, style: Style) -> Result<Self, PatternError> {
        if text.is_empty() && style == Style::Repository {
            return Err(PatternError("a pattern must not be empty; `**` stands for every name".into()));
        }
        // A step for each segment, and one more where the last is `**`.
        let steps = text.bytes().filter(|byte| *byte == b'/').count() + 1 + usize::from(text.ends_with("**"));
        let mut parsed = Self { steps: Vec::with_capacity(steps), user: false, group: false };
        let mut segments = text.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment == "**" {
                parsed.steps.extend([Step::Any, Step::Rest]);
                continue;
            }
            if segment.is_empty() {
                if segments.peek().is_some() || style == Style::Repository {
                    return Err(PatternError("there must be no empty segment: write one `/`".into()));
                }
                parsed.steps.push(Step::One(vec![Piece::new()]));
                continue;
            }
            if !segment.contains(['*', '$']) {
                plain_segment(segment, style)?;
                parsed.steps.push(Step::Plain(segment.into()));
                continue;
            }
            let pieces = parse_segment(segment, style)?;
            let atoms = || pieces.iter().flatten();
            parsed.user |= atoms().any(|atom| *atom == Atom::User);
            parsed.group |= atoms().any(|atom| *atom == Atom::Group);
            parsed.steps.push(Step::One(pieces));
        }
        Ok(parsed)
    }
}

fn segment_matches(pieces: &[Piece], segment: &str, values: Values<'_>) -> bool {
    let [first, others @ ..] = pieces else { return false };
    let Some(mut rest) = strip(first, segment, values) else { return false };
    let [middle @ .., last] = others else { return rest.is_empty() };
    // A lone `*` stands for a segment, and an empty one (after the last slash of a path) is not that.
    if segment.is_empty() {
        return false;
    }
    for piece in middle {
        let found = rest.char_indices().map(|(at, _)| at).find_map(|at| strip(piece, &rest[at..], values));
        match found {
            Some(after) => rest = after,
            None if piece.is_empty() => {}
            None => return false,
        }
    }
    let length: usize = last.iter().map(|atom| atom.text(values).map_or(0, str::len)).sum();
    let tail = rest.len().checked_sub(length).and_then(|start| rest.get(start..));
    tail.is_some_and(|tail| strip(last, tail, values) == Some(""))
}

/// What is left of a text after a piece at its beginning.
fn strip<'t>(piece: &Piece, text: &'t str, values: Values<'_>) -> Option<&'t str> {
    piece.iter().try_fold(text, |rest, atom| rest.strip_prefix(atom.text(values)?))
}

impl Atom {
    fn text<'a>(&'a self, values: Values<'a>) -> Option<&'a str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::User => values.user,
            Self::Group => values.group,
        }
    }
}

/// Checks a segment without wildcards and variables.
fn plain_segment(segment: &str, style: Style) -> Result<(), PatternError> {
    plain(segment, style)?;
    match style {
        Style::Repository if !is_component(segment) => Err(never_matches(segment)),
        Style::Path if matches!(segment, "." | "..") => {
            Err(PatternError(format!("`{segment}` never stands in a path: requests with it are refused")))
        }
        Style::Repository | Style::Path => Ok(()),
    }
}

fn parse_segment(segment: &str, style: Style) -> Result<Vec<Piece>, PatternError> {
    if segment.contains("**") {
        let mend = "`**` must be a whole segment, as in `team/**`; within a segment write `*`";
        return Err(PatternError(format!("`{segment}`: {mend}")));
    }
    let mut pieces = Vec::new();
    for part in segment.split('*') {
        pieces.push(parse_piece(part, style)?);
    }
    if style == Style::Repository {
        could_match(segment, &pieces)?;
    }
    Ok(pieces)
}

fn parse_piece(text: &str, style: Style) -> Result<Piece, PatternError> {
    let mut piece = Piece::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        literal(&rest[..start], style, &mut piece)?;
        let after = &rest[start + 2..];
        let Some(end) = after.find('}') else {
            return Err(PatternError("`${` must be closed, as in `${user}`".into()));
        };
        piece.push(match &after[..end] {
            "user" => Atom::User,
            "group" => Atom::Group,
            "account" => return Err(PatternError("there is no `${account}`; write `${user}`".into())),
            other if other.starts_with("labels:") => {
                return Err(PatternError(format!(
                    "there is no `${{{other}}}`; write `${{group}}`, or compare claims in `when`"
                )));
            }
            other => {
                return Err(PatternError(format!(
                    "there is no `${{{other}}}`; the variables are `${{user}}` and `${{group}}`"
                )));
            }
        });
        rest = &after[end + 1..];
    }
    literal(rest, style, &mut piece)?;
    Ok(piece)
}

fn literal(text: &str, style: Style, piece: &mut Piece) -> Result<(), PatternError> {
    plain(text, style)?;
    if !text.is_empty() {
        piece.push(Atom::Literal(text.into()));
    }
    Ok(())
}

/// Refuses characters that never stand in a name or path.
fn plain(text: &str, style: Style) -> Result<(), PatternError> {
    for character in text.chars() {
        let why = match character {
            '?' | '[' | ']' | '{' | '}' | '\\' | '!' => {
                "is no wildcard here; there are `*`, `**`, `${user}` and `${group}`"
            }
            '$' => "stands only in `${user}` and `${group}`",
            '%' if style == Style::Path => "is not decoded here; write the path in its decoded form",
            '#' if style == Style::Path => "never stands in the path of a request",
            'A'..='Z' if style == Style::Repository => "never stands in a repository name; write it in lower case",
            ':' | '@' if style == Style::Repository => {
                "never stands in a repository name; tags and digests are matched with `when`"
            }
            'a'..='z' | '0'..='9' | '.' | '_' | '-' => continue,
            other if style == Style::Path && !other.is_control() => continue,
            _ => "never stands in a name",
        };
        return Err(PatternError(format!("`{}` {why}", character.escape_default())));
    }
    Ok(())
}

fn never_matches(segment: &str) -> PatternError {
    PatternError(format!(
        "`{segment}` can never match: a component of a repository name matches [a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
    ))
}

/// Refuses segments that no component of a repository name could match.
fn could_match(segment: &str, pieces: &[Piece]) -> Result<(), PatternError> {
    // In the place of wildcards and variables a plain letter is as good as anything: separators beside it become whole.
    let mut sample = String::new();
    for (n, piece) in pieces.iter().enumerate() {
        if n > 0 {
            sample.push('a');
        }
        for atom in piece {
            match atom {
                Atom::Literal(text) => sample.push_str(text),
                Atom::User | Atom::Group => sample.push('a'),
            }
        }
    }
    if is_component(&sample) || could_begin_and_end(&sample, pieces) { Ok(()) } else { Err(never_matches(segment)) }
}

/// With a `*` beside them, separators may join others: `a-*` is `a--b` too, and `_*` never anything.
fn could_begin_and_end(sample: &str, pieces: &[Piece]) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = sample.as_bytes();
    pieces.len() > 1
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && !sample.contains("..")
        && !sample.contains("___")
}
