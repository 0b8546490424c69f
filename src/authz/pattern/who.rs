//! Who a rule is about.

use std::fmt;
use std::str::FromStr;

use super::PatternError;
use crate::subject::{Caller, check_name};

/// One entry of `who`: `user:GLOB`, `group:GLOB`, `authenticated`, `anonymous`, `anyone`.
///
/// A glob is held against the whole name, and `*` stands for any run of characters, `/` among them: the names of users
/// and groups have no segments. Every other character stands for itself, so `user:dependabot[bot]` is one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, whether or not they said who they are.
    Anyone,
    /// Everybody who did not.
    Anonymous,
    /// Everybody who did.
    Authenticated,
    /// Users whose name matches; never an anonymous caller.
    User(NameGlob),
    /// Users in a group whose name matches.
    Group(NameGlob),
}

/// A name, or a pattern over names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameGlob(Box<str>);

impl NameGlob {
    /// The name, when there is no `*` in it.
    pub(in crate::authz) fn exact(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&*self.0)
    }

    fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        // What stands between two `*` may be taken at its first occurrence: that leaves the most for what follows.
        for piece in pieces {
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl Who {
    /// Whether a caller is meant.
    pub fn matches(&self, caller: &Caller) -> bool {
        match (self, caller) {
            (Self::Anyone, _) | (Self::Anonymous, Caller::Anonymous) | (Self::Authenticated, Caller::Known(_)) => true,
            (Self::Anonymous, Caller::Known(_)) | (_, Caller::Anonymous) => false,
            (Self::User(glob), Caller::Known(subject)) => glob.matches(subject.name.as_str()),
            (Self::Group(glob), Caller::Known(subject)) => {
                subject.groups.iter().any(|group| glob.matches(group.as_str()))
            }
        }
    }
}

impl FromStr for Who {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        match text {
            "anyone" => return Ok(Self::Anyone),
            "anonymous" => return Ok(Self::Anonymous),
            "authenticated" => return Ok(Self::Authenticated),
            _ => {}
        }
        let unknown = |mend: String| Err(PatternError(format!("`{text}` names nobody; {mend}")));
        match text.split_once(':') {
            Some(("user", glob)) => Ok(Self::User(name(glob)?)),
            Some(("group", glob)) => Ok(Self::Group(name(glob)?)),
            Some(_) => unknown("write `user:NAME` or `group:NAME`".into()),
            None if matches!(text, "*" | "**" | "all" | "everyone") => {
                unknown("write `anyone`, or `authenticated` for all who said who they are".into())
            }
            None => unknown(format!(
                "write `user:{text}`, `group:{text}`, or one of `authenticated`, `anonymous` and `anyone`"
            )),
        }
    }
}

fn name(glob: &str) -> Result<NameGlob, PatternError> {
    check_name(glob).map_err(|error| PatternError(error.to_string()))?;
    if !glob.contains(['$', '*']) {
        return Ok(NameGlob(glob.into()));
    }
    if glob.contains("${") {
        return Err(PatternError("variables stand in `repositories` and `paths`, not in `who`".into()));
    }
    if glob.contains("**") {
        return Err(PatternError("write `*`: in names of users and groups it stands for any characters".into()));
    }
    Ok(NameGlob(glob.into()))
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Anonymous => f.write_str("anonymous"),
            Self::Authenticated => f.write_str("authenticated"),
            Self::User(glob) => write!(f, "user:{}", glob.0),
            Self::Group(glob) => write!(f, "group:{}", glob.0),
        }
    }
}
