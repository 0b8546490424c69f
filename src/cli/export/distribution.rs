//! `tidegate export distribution`: the `auth` section with which a CNCF distribution registry verifies our tokens itself.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::file::write;
use super::target::{Target, bundle, jwks};
use crate::cli::console::{Console, Failure, OK, Outcome};
use crate::cli::{CONFIG, keys};
use crate::config::{Config, Credentials, Upstream};
use crate::keys::{Algorithm, KeyRing};

/// Print the `auth` section with which a distribution registry (docker-registry) accepts our tokens
///
/// The section is printed as YAML, to be put into the registry's configuration as it is. The public keys that it names are
/// written to --out-dir, where the registry has to be able to read them; write them again, and restart the registry, when
/// `token.keys` changes. All keys are in them, so that tokens of the old and of the new key are accepted meanwhile.
///
/// It is for an upstream with `credentials = "forward-token"` or "mint-token", and for registries that clients reach
/// without the gateway.
///
/// Exit codes: 0 done; 1 a key cannot be read, or the files cannot be written; 2 the arguments or the configuration are
/// wrong, or no registry of that release could verify such tokens.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    /// The release of the registry
    #[arg(long, value_enum, value_name = "RELEASE", default_value_t = Target::V2)]
    target: Target,

    /// Where to write the certificates or the JWK set (default: `server.state_dir`)
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,

    /// The [[upstream]] that the registry is (default: the one that gets tokens)
    #[arg(long, value_name = "NAME")]
    registry_upstream: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let config = console.load(&args.config)?;
    let way = Way::of(&config, args.registry_upstream.as_deref())?;
    let keys = keys::keys(&config, console)?;
    let ring = keys::ring(&config, keys)?;
    args.target.check(&config.token, &ring)?;

    let dir = args.out_dir.as_deref().unwrap_or(&config.server.state_dir);
    let mut files = Vec::new();
    if args.target.takes_certificates(&config.token) {
        files.push(("rootcertbundle", write(dir, "distribution-certificates.pem", &bundle(&config.token, &ring)?)?));
    }
    if args.target == Target::V3 {
        files.push(("jwks", write(dir, "distribution-jwks.json", &jwks(&ring))?));
    }
    let yaml = section(&config, args.target, way.service(&config), &ring, &files);
    console.out.write_all(yaml.as_bytes())?;
    for (_, path) in &files {
        writeln!(console.err, "wrote {}", path.display())?;
    }
    for note in way.notes(&config) {
        console.note(&note)?;
    }
    Ok(OK)
}

/// How tokens get to the registry.
enum Way<'a> {
    /// Clients bring them, past the gateway.
    Direct,
    Upstream(&'a Upstream, Sent),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Forwarded,
    Minted,
    Nothing,
}

impl<'a> Way<'a> {
    fn of(config: &'a Config, name: Option<&str>) -> Result<Self, Failure> {
        let sent = |number: usize| {
            let mut own = config.routes.iter().filter(|route| route.upstream == number).map(|route| &route.credentials);
            let credentials = config.upstreams.get(number).map(|upstream| &upstream.credentials);
            let all: Vec<_> = own.by_ref().chain(credentials).collect();
            match () {
                () if all.iter().any(|one| matches!(one, Credentials::ForwardToken)) => Sent::Forwarded,
                () if all.iter().any(|one| matches!(one, Credentials::MintToken)) => Sent::Minted,
                () => Sent::Nothing,
            }
        };
        let numbered = || config.upstreams.iter().enumerate();
        if let Some(name) = name {
            let found = numbered().find(|(_, upstream)| *upstream.name == *name);
            return found.map(|(number, upstream)| Self::Upstream(upstream, sent(number))).ok_or_else(|| {
                let names: Vec<_> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
                let message = format!("there is no upstream \"{}\"", name.escape_debug());
                Failure::usage(message).hint(format!("the upstreams are {}", names.join(", ")))
            });
        }
        let candidates: Vec<_> = numbered().filter(|(number, _)| sent(*number) != Sent::Nothing).collect();
        match (candidates.as_slice(), config.upstreams.as_slice()) {
            ([(number, upstream)], _) => Ok(Self::Upstream(upstream, sent(*number))),
            ([], [only]) => Ok(Self::Upstream(only, Sent::Nothing)),
            ([], _) => Ok(Self::Direct),
            _ => {
                let names: Vec<_> = candidates.iter().map(|(_, upstream)| &*upstream.name).collect();
                Err(Failure::usage("more than one upstream gets tokens")
                    .hint(format!("name one with --registry-upstream: {}", names.join(", "))))
            }
        }
    }

    /// The one audience that the registry accepts.
    fn service<'c>(&self, config: &'c Config) -> &'c str {
        let service = config.token.services.first().map_or("", String::as_str);
        match self {
            Self::Upstream(_, Sent::Minted) => {
                config.server.public_urls.first().map_or(service, |url| url.authority.as_str())
            }
            _ => service,
        }
    }

    fn notes(&self, config: &Config) -> Vec<String> {
        let mut notes = Vec::new();
        let service = self.service(config);
        match self {
            Self::Upstream(upstream, Sent::Nothing) => notes.push(format!(
                "the upstream {} gets no tokens: with this section it will refuse every request until its `credentials` \
                 are \"forward-token\" or \"mint-token\"",
                upstream.name
            )),
            Self::Upstream(_, Sent::Minted) if config.server.public_urls.len() > 1 => notes.push(format!(
                "minted tokens are for the Host that a client used, and a registry accepts one service only: requests by \
                 another name than {service} will be refused"
            )),
            Self::Upstream(_, Sent::Minted) => {}
            _ if config.token.services.len() > 1 => notes.push(format!(
                "a registry accepts one service only: tokens for another one than {service} will be refused"
            )),
            _ => {}
        }
        notes
    }
}

/// The YAML text. JSON strings are YAML strings.
fn section(config: &Config, target: Target, service: &str, ring: &KeyRing, files: &[(&str, PathBuf)]) -> String {
    let realm = config
        .server
        .public_urls
        .first()
        .map_or_else(String::new, |url| format!("{}://{}{}", url.scheme, url.authority, config.token.path));
    let mut yaml = String::from("auth:\n  token:\n");
    let mut line = |name: &str, value: String| {
        // Writing to a string does not fail.
        let _ = writeln!(yaml, "    {name}: {value}");
    };
    line("realm", quoted(&realm));
    line("service", quoted(service));
    line("issuer", quoted(&config.token.issuer));
    for (name, path) in files {
        line(name, quoted(&path.to_string_lossy()));
    }
    if target == Target::V2 {
        line("autoredirect", "false".into());
    } else {
        let used = Algorithm::ALL.into_iter().filter(|one| ring.iter().any(|key| key.key().algorithm() == *one));
        line("signingalgorithms", format!("[{}]", used.map(Algorithm::as_str).collect::<Vec<_>>().join(", ")));
    }
    yaml
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
