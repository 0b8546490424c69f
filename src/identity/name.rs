//! What the upstream would read as the caller's name: held against what it would choke on, misread, or believe too much of.

use serde_json::Value;

use crate::document::Document;
use crate::jq::Filter;
use crate::pulp;
use crate::subject::UserName;

/// What names may be told to an upstream.
#[derive(Clone, Debug, Default)]
pub struct NameRules {
    /// Folded names that only the filter may produce.
    reserved: Vec<String>,
    /// Whether it is a Pulp: there has to be a name, and it has to be one that Pulp can store.
    pulp: bool,
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// Pulp would take the request for one without credentials.
    #[error("it has no name at `identity.username`, and a Pulp would take the caller for nobody")]
    Missing,
    /// A number, `true`, a list or an object: Pulp would make a user of it.
    #[error("what it has at `identity.username` is no string")]
    NotText,
    /// The empty string.
    #[error("its name is empty")]
    Empty,
    /// Longer than Pulp can store.
    #[error("its name is longer than {} characters", pulp::LONGEST_NAME)]
    TooLong,
    /// A control character, or white space at an end, which some would cut off and others not.
    #[error("its name has a control character, or white space at an end")]
    BadCharacter,
    /// `admin`, or one of `identity.elevated`, and it came with the caller or the request.
    #[error("its name is reserved, and comes from the caller or the request instead of the filter")]
    Reserved,
}

impl NameRules {
    /// Names of `reserved`, in any case, only ever come from a filter's own text. `pulp` says whether the upstream is a Pulp.
    pub fn new<'a>(reserved: impl IntoIterator<Item = &'a UserName>, pulp: bool) -> Self {
        Self { reserved: reserved.into_iter().map(|name| name.as_str().to_lowercase()).collect(), pulp }
    }

    /// Checks the name that was found; `None` when a path found nothing. `filter` is the one that made it.
    pub(super) fn check(
        &self,
        found: Option<&Value>,
        filter: &Filter,
        document: &Document<'_>,
    ) -> Result<(), NameProblem> {
        let name = match found {
            // Of a caller without a name nothing else is true.
            None | Some(Value::Null) if document.is_anonymous() || !self.pulp => return Ok(()),
            None | Some(Value::Null) => return Err(NameProblem::Missing),
            Some(Value::String(name)) => name,
            Some(_) => return Err(NameProblem::NotText),
        };
        if name.is_empty() {
            return Err(NameProblem::Empty);
        }
        if name.chars().any(char::is_control) || name.trim().len() != name.len() {
            return Err(NameProblem::BadCharacter);
        }
        if self.pulp && name.chars().count() > pulp::LONGEST_NAME {
            return Err(NameProblem::TooLong);
        }
        let folded = name.to_lowercase();
        let is_filters = || serde_json::to_string(name).is_ok_and(|literal| filter.text().contains(&literal));
        // A filter that reads nothing of the request cannot have it from there.
        let is_given =
            || document.tells_of_caller(&folded) || filter.reads_request() && document.tells_of_request(&folded);
        if self.reserved.contains(&folded) && is_given() && !is_filters() {
            return Err(NameProblem::Reserved);
        }
        Ok(())
    }
}
