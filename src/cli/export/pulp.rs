//! `tidegate export pulp`: the settings with which a Pulp believes the gateway, and nobody else.
//!
//! Which settings those are is `needs`; how they are written, `settings`.

mod needs;
mod settings;

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use self::needs::{Needs, Registry};
use super::file::write;
use crate::cli::console::{Console, Failure, OK, Outcome};
use crate::cli::{CONFIG, keys};
use crate::config::Config;

/// What the public key is called in `--out-dir`.
const KEY_FILE: &str = "pulp-public-key.pem";

/// Print the settings with which Pulp believes the gateway
///
/// The settings are printed as Python, to be put at the end of Pulp's settings.py as they are; each says what it is for.
/// Where Pulp verifies tokens, the public key that they name is written to --out-dir, where Pulp has to be able to read it.
/// What has to be done beside settings.py is said on standard error.
///
/// It is for an upstream with `kind = "pulp"`: what its routes tell it (an identity header, tokens, or an account) decides
/// which settings are printed.
///
/// Exit codes: 0 done; 1 a key cannot be read, or the file cannot be written; 2 the arguments or the configuration are
/// wrong, or no Pulp could be set up for it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    /// Where to write the public key (default: `server.state_dir`)
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,

    /// The [[upstream]] that is Pulp (default: the one with `kind = "pulp"`)
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,

    /// How the API's description tells clients such as pulp-cli to log in
    #[arg(long, value_enum, value_name = "SCHEME", default_value_t = Scheme::Basic)]
    scheme: Scheme,
}

/// How Pulp's `docs/api.json` tells clients to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scheme {
    /// User and password
    Basic,
    /// An API key in a header of its own, and user and password for clients that know no keys
    ApiKey,
    /// A token that a client fetches with its id and secret
    Oauth2,
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let config = console.load(&args.config)?;
    let needs = Needs::of(&config, args.upstream.as_deref())?;
    let key = match needs.registry {
        Registry::Tokens => Some(public_key(&config, args, console)?),
        _ => None,
    };
    let text = settings::text(&config, &needs, args.scheme, key.as_ref())?;
    console.out.write_all(text.as_bytes())?;
    if let Some(key) = &key {
        writeln!(console.err, "wrote {}", key.path.display())?;
    }
    for note in needs.notes(&config, key.as_ref(), args.scheme) {
        console.note(&note)?;
    }
    Ok(OK)
}

/// The key that Pulp verifies tokens with.
struct Key {
    algorithm: &'static str,
    path: PathBuf,
    /// How many keys there are beside it, which Pulp knows nothing of.
    others: usize,
}

fn public_key(config: &Config, args: &Args, console: &mut Console<'_>) -> Result<Key, Failure> {
    let ring = keys::ring(config, keys::keys(config, console)?)?;
    let dir: &Path = args.out_dir.as_deref().unwrap_or(&config.server.state_dir);
    let key = ring.signing().key();
    let path = write(dir, KEY_FILE, &key.public_pem())?;
    Ok(Key { algorithm: key.algorithm().as_str(), path, others: ring.iter().count() - 1 })
}
