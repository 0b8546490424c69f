//! `tidegate filter`: an identity document in, the header that an upstream would get out.

mod document;

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::document::Partial;
use super::CONFIG;
use super::console::{Console, Failure, OK, Outcome};
use crate::config::{Config, Kind, Route};
use crate::document::Document;
use crate::identity::{IdentityHeader, NameRules};
use crate::jq::Filter;

/// The longest document that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

const EXAMPLE: &str = "\
Example:
  echo '{\"subject\": \"alice\", \"request\": {\"action\": \"push\"}}' | tidegate filter";

/// Run the identity filter on a document from standard input, and print the header that the upstream would get
///
/// The document is the JSON object that filters and `when` read. What it leaves out is as in an anonymous pull of
/// library/hello-world:latest; with a `subject` it is a user of the member `users`. A name that no document has is an
/// error, with its line and column.
///
/// The header line goes to standard output, and the JSON in it to standard error, for people.
///
/// Exit codes: 0 the header is printed, or it is said that none is sent; 1 the filter refuses, so the request would get
/// 500; 2 the arguments, the document or the configuration are wrong.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLE)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    /// The route whose filter runs, by its prefix as it stands in the configuration (default: that of [identity])
    #[arg(long, value_name = "PREFIX")]
    route: Option<String>,

    /// Print the JSON in the header to standard output, instead of the header
    #[arg(long)]
    decode: bool,
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let config = console.load(&args.config)?;
    let filter = filter(&config, args.route.as_deref())?;
    let identity = &config.identity;
    let (name, max) = (identity.header.clone(), identity.max_header);
    let names = NameRules::new(&identity.reserved, is_for_pulp(&config, args.route.as_deref()));
    let header = IdentityHeader::new(name, Arc::clone(filter), &identity.username, identity.anonymous, max)
        .map_err(|error| Failure::usage(format!("`identity.username` does not compile: {error}")))?
        .with_names(names);
    let partial = read(console)?;
    let service = config.token.services.first().map_or("", String::as_str);
    let whole = partial.complete().map_err(Failure::usage)?;
    let document = Document::new(&whole.caller, partial.service.as_deref().unwrap_or(service), &whole.facts());
    let value = header.value(&document).map_err(|error| {
        Failure::no(format!("{error}, so the request is refused with 500"))
            .hint(format!("the filter is {}", filter.text()))
    })?;
    let Some(value) = value else {
        let why = if document.is_anonymous() && !identity.anonymous {
            "the document is of an anonymous request, and `identity.anonymous` is not set"
        } else {
            "the filter yields null, or nothing"
        };
        console.note(&format!("no header is sent: {why}"))?;
        return Ok(OK);
    };
    // What was just encoded decodes, and is the JSON that an upstream will see.
    let json = STANDARD.decode(&value).ok().and_then(|json| String::from_utf8(json).ok()).unwrap_or_default();
    if args.decode {
        writeln!(console.out, "{json}")?;
    } else {
        console.out.write_all(format!("{}: ", canonical(identity.header.as_str())).as_bytes())?;
        console.out.write_all(value.as_bytes())?;
        writeln!(console.out)?;
        writeln!(console.err, "{json}")?;
    }
    if header.username(&document).is_ok_and(|name| name.is_none()) {
        console.note(&format!("there is no name at `{}`, where the upstream looks for it", identity.username))?;
    }
    Ok(OK)
}

fn filter<'a>(config: &'a Config, prefix: Option<&str>) -> Result<&'a Arc<Filter>, Failure> {
    let Some(prefix) = prefix else { return Ok(&config.identity.filter) };
    let trimmed = prefix.trim_end_matches('/');
    if let Some(route) = config.routes.iter().find(|route| route.prefix.trim_end_matches('/') == trimmed) {
        return Ok(route.filter.as_ref().unwrap_or(&config.identity.filter));
    }
    let prefixes: Vec<_> = config.routes.iter().map(|route| route.prefix.as_str()).collect();
    let hint = if prefixes.is_empty() {
        "there are no routes at all".to_owned()
    } else {
        format!("the prefixes are {}", prefixes.join(", "))
    };
    Err(Failure::usage(format!("there is no route with the prefix \"{}\"", prefix.escape_debug())).hint(hint))
}

/// Whether the header of a route goes to a Pulp; without a route, whether any does.
fn is_for_pulp(config: &Config, prefix: Option<&str>) -> bool {
    let asked =
        |route: &&Route| prefix.is_none_or(|prefix| route.prefix.trim_end_matches('/') == prefix.trim_end_matches('/'));
    let upstreams = config.routes.iter().filter(asked).filter_map(|route| config.upstreams.get(route.upstream));
    upstreams.into_iter().any(|upstream| matches!(upstream.kind, Kind::Pulp(_)))
}

fn read(console: &mut Console<'_>) -> Result<Partial, Failure> {
    let mut text = String::new();
    let mut input = (&mut *console.input).take(LONGEST + 1);
    let length = input
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("the document cannot be read from standard input: {error}")))?;
    if length as u64 > LONGEST {
        return Err(Failure::usage(format!("the document is longer than {LONGEST} bytes")));
    }
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("standard input is no identity document: {error}"))
            .hint("a JSON object such as {\"subject\": \"alice\", \"request\": {\"action\": \"push\"}}")
    })
}

/// A header name as people write it; on the wire the case means nothing.
fn canonical(name: &str) -> String {
    let capital = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    };
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}
