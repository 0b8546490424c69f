//! Authorization: rules to decisions (stub: the rule types hold, the decisions are being written).

mod pattern;
mod rule;

pub use pattern::{PathPattern, PatternError, RepositoryPattern, Split, Variables, Who};
pub use rule::{Effect, Methods, Rule, Source, Target};
