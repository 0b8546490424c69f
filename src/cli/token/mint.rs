//! `tidegate token mint`: the token that the endpoint would issue, without a password.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::settings;
use crate::authz::Rules;
use crate::cli::caller::Who;
use crate::cli::console::{Console, Failure, OK, Outcome};
use crate::cli::explain::service;
use crate::cli::{CONFIG, keys};
use crate::clock::Clock;
use crate::registry::{AccessSet, Scope};
use crate::token::{ApiScope, ApiScopes, Grant, Issuer, TokenKind};

/// Mint a token: what the token endpoint would issue to somebody, without a password
///
/// Whoever can read the signing key can do this. The token is the only thing on standard output; what was granted and
/// what was not is said on standard error. The gateway asks its rules again when the token is used.
///
/// Exit codes: 0 done; 1 nothing of what was asked for is granted, or the key cannot be used; 2 the arguments or the
/// configuration are wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    #[command(flatten)]
    who: Who,

    /// What to ask for, such as repository:team/app:pull,push, registry:catalog:* or api:read; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,

    /// The audience (default: the first of `token.service`)
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,

    /// The client's address, for rules with `from`
    #[arg(long, value_name = "IP")]
    from: Option<IpAddr>,

    /// For which kind of route the token is good (default: for the kind that the scopes are of, or else registry)
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<Kind>,

    /// Put all that is asked for into the token, without asking the rules: for registries that verify tokens themselves
    #[arg(long, requires = "scopes")]
    all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Routes with auth = "registry"
    Registry,
    /// Routes with auth = "api"
    Api,
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let (requested, api) = requested(args)?;
    let config = console.load(&args.config)?;
    let service = service(&config, args.service.as_deref())?.to_owned();
    let resolved = args.who.resolve(&config);
    for note in &resolved.notes {
        console.note(note)?;
    }
    let keys = keys::keys(&config, console)?;
    let ring = Arc::new(keys::ring(&config, keys)?);
    let issuer = Issuer::new(ring, settings(&config), Clock::System).map_err(|error| Failure::no(error.to_string()))?;
    let caller = resolved.caller;
    let access = if args.all {
        requested.clone()
    } else {
        Rules::new(config.rules).grant(&caller, &service, args.from, &requested)
    };
    if access.is_empty() && !requested.is_empty() {
        let message = "no token: the rules grant nothing of what was asked for";
        return Err(Failure::no(message).hint("`tidegate explain` says why; --all does not ask the rules"));
    }
    let kind = api.map_or(TokenKind::Registry, TokenKind::Api);
    let grant = Grant { caller: &caller, audience: &service, kind, access: &access };
    let token = issuer.issue(&grant).map_err(|error| Failure::no(error.to_string()))?;
    for scope in access.iter() {
        writeln!(console.err, "granted: {scope}")?;
    }
    if let Some(scopes) = api {
        writeln!(console.err, "granted: {scopes}")?;
    }
    if access != requested {
        console.note("less is granted than was asked for; `tidegate explain` says why")?;
    }
    writeln!(console.err, "good for {} s, at {service}", token.expires_in)?;
    writeln!(console.out, "{}", token.token.expose())?;
    Ok(OK)
}

/// All scopes, merged: of the registry, or of the API for an API token. Unlike a client at the token endpoint, whoever types
/// them learns of a mistake.
fn requested(args: &Args) -> Result<(AccessSet, Option<ApiScopes>), Failure> {
    let (mut access, mut api) = (AccessSet::default(), ApiScopes::NONE);
    for text in args.scopes.iter().flat_map(|scopes| scopes.split(' ')).filter(|scope| !scope.is_empty()) {
        if let Ok(scope) = text.parse::<ApiScope>() {
            api.insert(scope);
            continue;
        }
        let scope: Scope = text.parse().map_err(|error| {
            let message = format!("\"{}\" is no scope: {error}", text.escape_debug());
            Failure::usage(message).hint("as in repository:team/app:pull,push, or api:read")
        })?;
        access.insert(scope.resource, scope.actions);
    }
    match (args.kind, access.is_empty(), api.is_empty()) {
        (Some(Kind::Registry) | None, _, true) => Ok((access, None)),
        (Some(Kind::Api), true, true) => Ok((access, Some(ApiScopes::ALL))),
        (Some(Kind::Api) | None, true, false) => Ok((access, Some(api))),
        _ => Err(Failure::usage("a token is either for the registry or for the API")
            .hint("repository:… and registry:… go with --kind registry, api:read and api:write with --kind api")),
    }
}
