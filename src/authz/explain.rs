//! Why a question is answered as it is, rule by rule.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::decide::{Case, Match, Mismatch};
use super::{Ask, Decision, Effect, Rule, Rules, Stage, Target};

/// The answer to a question, and what each rule that concerns it had to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The answer.
    pub decision: Decision,
    /// When it was asked.
    pub stage: Stage,
    /// Rules that name the caller or the resource, in file order; all others have nothing to do with it.
    pub rules: Vec<RuleExplanation>,
    /// Names of the caller for which no variable stands, since they are no components of repository names.
    pub unfit_names: Vec<String>,
}

/// What one rule had to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleExplanation {
    /// Index into [`Rules::rules`].
    pub rule: usize,
    /// File of the rule.
    pub file: Arc<str>,
    /// Line of the rule.
    pub line: usize,
    /// `allow` or `deny`.
    pub effect: Effect,
    /// Whether it matches.
    pub matches: bool,
    /// Whether it is one of those that decided.
    pub decides: bool,
    /// Why it matches or not.
    pub reason: String,
}

impl Rules {
    /// Answers a question and says why. Looks at every rule, so it is for people and not for requests.
    pub fn explain(&self, ask: &Ask<'_>, stage: Stage) -> Explanation {
        let verdict = self.decide(ask, stage);
        let case = Case::new(ask, stage);
        let rules = self.rules().iter().enumerate().filter(|(_, rule)| concerns(&case, rule)).map(|(number, rule)| {
            let judged = case.judge(rule);
            RuleExplanation {
                rule: number,
                file: rule.source.file.clone(),
                line: rule.source.line,
                effect: rule.effect,
                matches: judged.is_ok(),
                decides: verdict.rules.contains(&number),
                reason: match judged {
                    Ok(matched) => why(rule, matched),
                    Err(mismatch) => why_not(&case, rule, &mismatch),
                },
            }
        });
        let rules = rules.collect();
        let unfit_names = case.variables.unfit().iter().map(|name| (*name).to_owned()).collect();
        Explanation { decision: verdict.decision, stage, rules, unfit_names }
    }
}

impl Explanation {
    /// Whether the answer is yes.
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allowed
    }
}

fn concerns(case: &Case<'_>, rule: &Rule) -> bool {
    match case.target(rule) {
        Err(Mismatch::Kind) => false,
        Err(Mismatch::Resource { .. }) => case.who(rule) != Err(Mismatch::Who),
        _ => true,
    }
}

fn why(rule: &Rule, matched: Match) -> String {
    match (matched, rule.effect) {
        (Match::ByFailure, _) => "`when` failed or is not boolean, and a deny then denies".into(),
        (Match::Plain, Effect::Allow) => "allows".into(),
        (Match::Plain, Effect::Deny) => "denies, whatever other rules allow".into(),
    }
}

fn why_not(case: &Case<'_>, rule: &Rule, mismatch: &Mismatch) -> String {
    match mismatch {
        Mismatch::Kind => "is about something else".into(),
        Mismatch::Who => format!("is for {} only", list(&rule.who)),
        Mismatch::ExceptWho(except) => format!("`except_who` takes out `{except}`"),
        Mismatch::Resource { variables } => {
            let patterns = match &rule.target {
                Target::Repositories { patterns, .. } => list(patterns),
                Target::Paths { patterns, .. } => list(patterns),
                Target::Catalog => String::new(),
            };
            let unfit = case.variables.unfit();
            if !variables {
                format!("is about {patterns}")
            } else if unfit.is_empty() {
                format!("is about {patterns}; variables stand for nobody when the caller is anonymous")
            } else {
                let unfit: Vec<_> = unfit.iter().map(|name| name.escape_debug()).collect();
                let unfit = list(&unfit);
                format!(
                    "is about {patterns}; {unfit} is no component of a repository name, so no variable stands for it"
                )
            }
        }
        Mismatch::ExceptRepository(except) => format!("`except_repositories` takes out `{except}`"),
        Mismatch::Action => match &rule.target {
            Target::Repositories { actions, .. } => format!("is about {actions}"),
            Target::Catalog | Target::Paths { .. } => "is about other actions".into(),
        },
        Mismatch::Method => "is about other methods".into(),
        Mismatch::From(Some(client)) => format!("`from` does not hold {client}"),
        Mismatch::From(None) => "has `from`, and the client's address is not known".into(),
        Mismatch::JudgedAtUse if rule.effect == Effect::Deny => {
            "`when` reads the method or the reference, so it is judged when the token is used".into()
        }
        Mismatch::JudgedAtUse => {
            "`when` reads the method or the reference, which are not known when a token is issued".into()
        }
        Mismatch::WhenFalse => "`when` does not hold".into(),
        Mismatch::WhenFailed => "`when` failed or is not boolean, and an allow then grants nothing".into(),
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("`{item}`")).collect();
    items.join(", ")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.decision)?;
        for rule in &self.rules {
            let mark = match (rule.decides, rule.matches) {
                (true, _) => "=>",
                (false, true) => " +",
                (false, false) => "  ",
            };
            let effect = match rule.effect {
                Effect::Allow => "allow",
                Effect::Deny => "deny",
            };
            writeln!(f, "{mark} {}:{}: {effect}: {}", rule.file, rule.line, rule.reason)?;
        }
        if self.rules.is_empty() {
            writeln!(f, "   no rule names this caller or this resource")?;
        }
        Ok(())
    }
}
