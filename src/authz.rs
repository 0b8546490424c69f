//! Authorization: rules to decisions, and the [`Permit`] without which nothing is forwarded.
//!
//! The union of all rules that match is granted; any deny that matches wins; the order of rules means nothing; where no
//! rule matches, nothing is granted. Rules are asked when a token is issued and again when it is used. Who somebody is
//! was settled before (`authn`); how a refusal becomes a response is settled after (`server`).

mod decide;
mod explain;
mod index;
mod lint;
mod pattern;
mod permit;
mod rule;

#[cfg(test)]
mod tests;

pub use decide::{Ask, Decision, Rules, Stage, Verdict};
pub use explain::{Explanation, RuleExplanation};
pub use lint::{Lint, lint};
pub use pattern::{NameGlob, PathPattern, PatternError, RepositoryPattern, Split, Variables, Who};
pub use permit::{
    PathRequest, Permit, Permitted, Refusal, Request, authorize, authorize_api, depends_on_client, permit_public,
};
pub use rule::{Effect, Methods, Rule, Source, Target};
