//! `tidegate explain`: may they, and which rule says so?

mod question;

use std::net::IpAddr;
use std::path::PathBuf;

use http::Method;
use serde::Serialize;

use self::question::{Asked, Question};
use super::caller::{Who, listed};
use super::console::{Console, Failure, NO, OK, Outcome};
use super::{CONFIG, caller};
use crate::authz::{Ask, Decision, Explanation, Rules, Stage};
use crate::config::Config;
use crate::document::{Document, RequestAction};
use crate::subject::Caller;

const EXAMPLES: &str = "\
Examples:
  tidegate explain --user alice push team/app
  tidegate explain --anonymous --from 10.0.0.7 pull library/alpine
  tidegate explain --user alice catalog catalog
  tidegate explain --user alice POST /pulp/api/v3/repositories/";

/// Say whether somebody may do something, and which rules decide it
///
/// `=>` marks the rules that decide, `+` others that match; the rest are near misses, each with the reason why it does not
/// match. Rules are asked when a token is issued and again when it is used, where method and reference are known too;
/// where the answers differ both are shown. What clients with tokens may do takes both; Basic credentials that are sent
/// straight to the registry need the second only.
///
/// Exit codes: 0 allowed; 1 denied; 2 the arguments or the configuration are wrong.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    #[command(flatten)]
    who: Who,

    /// The client's address, for rules with `from`
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,

    /// The method of the request (default: GET to pull, PUT to push, DELETE to delete)
    #[arg(long, value_name = "METHOD", value_parser = question::method)]
    method: Option<Method>,

    /// The tag, digest or upload session of the request, for rules that read it
    #[arg(long, value_name = "REFERENCE")]
    reference: Option<String>,

    /// The service that the token is for (default: the first of `token.service`)
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// pull, push, delete or catalog; for a path: read, write or a method
    #[arg(value_name = "ACTION")]
    action: String,

    /// The name of a repository; `catalog`; or a path of an API, beginning with `/`
    #[arg(value_name = "RESOURCE")]
    resource: String,
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let config = console.load(&args.config)?;
    let service = service(&config, args.service.as_deref())?.to_owned();
    let asked = Asked::parse(&args.action, &args.resource, args.method.as_ref(), args.reference.as_deref())?;
    let caller::Resolved { caller, mut notes } = args.who.resolve(&config);
    let route = asked.route(&config, &mut notes)?;
    let route = asked.credentials(&caller, &mut notes).or(route);
    let rules = Rules::new(config.rules);
    let questions: Vec<Answered> = if route.is_some() {
        Vec::new()
    } else {
        asked
            .questions()
            .iter()
            .map(|question| {
                let facts = question.facts;
                answer(&rules, &Ask { caller: &caller, service: &service, facts, client: args.from }, question)
            })
            .collect()
    };
    let allowed = route.unwrap_or_else(|| questions.iter().all(Answered::is_allowed));
    if !allowed && !questions.is_empty() && questions.iter().all(|question| question.used.is_allowed()) {
        notes.push("no token is issued for it, but Basic credentials sent straight to the registry may do it".into());
    }
    let said = Said {
        allowed,
        client: args.from,
        document: Document::new(&caller, &service, &asked.facts()),
        questions: &questions,
        notes: &notes,
    };
    if args.json {
        serde_json::to_writer_pretty(&mut *console.out, &said).map_err(std::io::Error::from)?;
        writeln!(console.out)?;
    } else {
        text(&said, &caller, &asked, console)?;
    }
    Ok(if allowed { OK } else { NO })
}

/// The service that was named, if it is one, or else the default one.
pub(super) fn service<'a>(config: &'a Config, named: Option<&'a str>) -> Result<&'a str, Failure> {
    let services = &config.token.services;
    match named {
        None => Ok(services.first().map_or("", String::as_str)),
        Some(named) if services.iter().any(|service| service == named) => Ok(named),
        Some(_) => {
            let message = "no such service: tokens are issued for those of `token.service` only";
            Err(Failure::usage(message).hint(format!("they are {}", services.join(", "))))
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Said<'a> {
    allowed: bool,
    client: Option<IpAddr>,
    /// What predicates and the identity filter read.
    document: Document<'a>,
    questions: &'a [Answered],
    notes: &'a [String],
}

/// One action, judged.
#[derive(Serialize)]
struct Answered {
    action: RequestAction,
    /// None where tokens have no say.
    #[serde(rename = "issue")]
    issued: Option<Explanation>,
    #[serde(rename = "use")]
    used: Explanation,
}

impl Answered {
    fn is_allowed(&self) -> bool {
        self.used.is_allowed() && self.issued.as_ref().is_none_or(Explanation::is_allowed)
    }

    /// Whether both answers are the same, for the same reasons.
    fn agrees(&self) -> bool {
        self.issued
            .as_ref()
            .is_none_or(|issued| (issued.decision, &issued.rules) == (self.used.decision, &self.used.rules))
    }
}

fn answer(rules: &Rules, ask: &Ask<'_>, question: &Question<'_>) -> Answered {
    Answered {
        action: question.facts.action,
        issued: question.has_scope.then(|| rules.explain(ask, Stage::Issue)),
        used: rules.explain(ask, Stage::Use),
    }
}

fn text(said: &Said<'_>, caller: &Caller, asked: &Asked, console: &mut Console<'_>) -> Result<(), Failure> {
    let out = &mut *console.out;
    let verdict = if said.allowed { "allowed" } else { "denied" };
    match caller.subject() {
        None => writeln!(out, "{verdict}: anonymous, {asked}")?,
        Some(subject) => {
            let groups = listed(&subject.groups).unwrap_or_else(|| "none".into());
            writeln!(out, "{verdict}: user {} (groups: {groups}), {asked}", subject.name)?;
        }
    }
    for question in said.questions {
        let action = question::word(question.action);
        match &question.issued {
            Some(issued) if !question.agrees() => {
                let token = if issued.is_allowed() { "carries it" } else { "does not carry it" };
                write!(out, "\n{action}, when a token is issued (it {token}): {issued}")?;
                write!(out, "\n{action}, when it is used: {}", question.used)?;
            }
            _ => write!(out, "\n{action}: {}", question.used)?,
        }
    }
    if said.questions.iter().any(|question| question.used.decision == Decision::NoRule) {
        writeln!(out, "\nhint: what no [[access]] rule allows is denied")?;
    }
    for note in said.notes {
        writeln!(out, "\nnote: {note}")?;
    }
    Ok(())
}
