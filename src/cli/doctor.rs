//! `tidegate doctor`: looks at a running set-up, upstreams and gateway, and says what does not agree.
//!
//! Each check is a small function from what was seen to findings; `site` makes the requests' credentials, `upstream` and
//! `gateway` ask. Only GET is sent, and only tokens and names with which nothing can be done.

mod around;
mod certificate;
mod finding;
mod gateway;
mod http;
mod identity;
mod plain;
mod product;
mod public;
mod site;
mod smuggle;
mod tokens;
mod upstream;

use std::path::PathBuf;
use std::time::Duration;

use ::http::Uri;
use ::http::uri::Scheme;

use self::finding::{Finding, Group, is_well};
use self::http::Client;
use self::site::{Keys, Site};
use super::console::{Console, Failure, NO, OK, Outcome};
use super::{CONFIG, keys};
use crate::clock::Clock;
use crate::config::{Config, PublicUrl, parse_duration};

/// Examine a running set-up: the upstreams, and the gateway by its public URLs
///
/// Run it on the gateway's host, with the configuration that the gateway runs with. It asks each upstream directly what it is, whether
/// it accepts what the gateway brings and refuses what comes without, and whether it can be reached around the gateway; and
/// the gateway by each public URL whether names, keys and clocks agree and whether an identity that a client claims has an
/// effect.
///
/// Only GET is sent, and nothing is changed: Pulp, which makes an account of every name that it is told, is told one that is
/// too long for an account. It logs the failure as an error, once for each time it was asked.
///
/// Exit codes: 0 nothing is wrong (there may be notes); 1 there are errors or warnings; 2 the arguments or the configuration
/// are wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    /// Ask the gateway by this URL instead of those in `server.public_url`
    #[arg(long, value_name = "PUBLIC_URL", value_parser = public_url)]
    url: Option<PublicUrl>,

    /// How long one request may take
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = timeout)]
    timeout: Duration,
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let config = console.load(&args.config)?;
    let clock = Clock::System;
    let (keys, unread) = match read_keys(&config, &clock, console) {
        Ok(keys) => (Some(keys), None),
        Err(group) => (None, Some(group)),
    };
    let site = Site { config: &config, client: Client { timeout: args.timeout }, clock, keys, url: args.url.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut groups: Vec<Group> = unread.into_iter().collect();
    groups.extend(runtime.block_on(examine(&site)));
    if args.json {
        finding::json(&groups, console.out)?;
    } else {
        finding::text(&groups, console.out)?;
    }
    Ok(if is_well(&groups) { OK } else { NO })
}

async fn examine(site: &Site<'_>) -> Vec<Group> {
    let mut groups = Vec::new();
    for (index, one) in site.config.upstreams.iter().enumerate() {
        for url in &one.urls {
            groups.push(upstream::examine(site, index, one, url).await);
        }
    }
    for url in site.names() {
        groups.push(gateway::examine(site, &url).await);
    }
    groups
}

/// The keys of the configuration. Without them the rest can still be looked at.
fn read_keys(config: &Config, clock: &Clock, console: &mut Console<'_>) -> Result<Keys, Group> {
    let failed = |seen: String, mend: Option<String>| {
        let mut group = Group::new("keys".to_owned());
        let mend = mend.unwrap_or_else(|| "run the doctor as the gateway's own user, on its host".to_owned());
        group.add([Finding::error("no-keys", seen, mend)]);
        group
    };
    let told = |failure: Failure| match failure {
        Failure::Said { message, hint, .. } => failed(message, hint),
        Failure::Configuration(_) | Failure::Output(_) => failed("they cannot be read".to_owned(), None),
    };
    let loaded = keys::stored_keys(config, console).map_err(told)?;
    let ring = keys::ring(config, loaded).map_err(told)?;
    Keys::new(config, ring, clock).map_err(|error| failed(error, None))
}

fn timeout(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(time) }
}

fn public_url(text: &str) -> Result<PublicUrl, String> {
    let wrong = || "write it as in http://registry.example.org:5000, without a path".to_owned();
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return Err(wrong()) };
    let known = *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
    if !known || uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
        return Err(wrong());
    }
    let default = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let authority = match authority.port_u16() {
        Some(port) if port != default => format!("{}:{port}", authority.host()),
        _ => authority.host().to_owned(),
    };
    Ok(PublicUrl { scheme: scheme.clone(), authority: authority.to_ascii_lowercase() })
}

#[cfg(test)]
mod tests {
    use super::{public_url, timeout};

    #[test]
    fn arguments_are_checked() {
        assert_eq!(public_url("HTTP://Registry.example:80/").unwrap().authority, "registry.example");
        assert_eq!(public_url("https://r:5000").unwrap().authority, "r:5000");
        for text in ["r:5000", "/x", "ftp://r", "http://r/x", "http://r/?q", "http://a:b@r"] {
            assert!(public_url(text).is_err(), "{text}");
        }
        assert!(timeout("0").is_err() && timeout("5").is_err() && timeout("5s").is_ok());
    }
}
