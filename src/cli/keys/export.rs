//! `tidegate keys export`: the public halves, in the form that a verifier takes.

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use super::{keys, ring};
use crate::cli::CONFIG;
use crate::cli::console::{Console, Failure, OK, Outcome};
use crate::keys::{KeyError, KeyIdFormat, RingKey};

/// Print the public keys of a configuration, for whoever verifies our tokens
///
/// Nothing private is printed. Where a configuration without `token.keys` has no key yet, it is made, as `tidegate serve`
/// would.
///
/// Exit codes: 0 done; 1 a key cannot be read or made, or there is none of that id; 2 the arguments or the configuration
/// are wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    /// In which form
    #[arg(long, value_enum, value_name = "FORM")]
    format: Format,

    /// Only the key of this id, in whichever format of ids (default: all, the signing one first)
    #[arg(long, value_name = "KID", allow_hyphen_values = true)]
    key: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[expect(clippy::doc_markdown, reason = "the comments are printed as help, where markup is noise")]
enum Format {
    /// A JWK set, as served at /.well-known/jwks.json: distribution 3.x, PyJWT, Envoy
    Jwks,
    /// PUBLIC KEY blocks: Pulp's PUBLIC_KEY_PATH
    Pem,
    /// CERTIFICATE blocks: distribution's rootcertbundle
    Certificate,
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let config = console.load(&args.config)?;
    let keys = keys(&config, console)?;
    let ring = ring(&config, keys)?;
    let is_wanted = |key: &RingKey| match &args.key {
        None => true,
        Some(id) => [KeyIdFormat::Rfc7638, KeyIdFormat::Libtrust].iter().any(|format| key.key().kid(*format) == *id),
    };
    let wanted: Vec<&RingKey> = ring.iter().filter(|key| is_wanted(key)).collect();
    if wanted.is_empty() {
        return Err(Failure::no("no key of this configuration has that id").hint("`tidegate keys list` shows the ids"));
    }
    let text = match args.format {
        Format::Jwks => {
            let set = json!({"keys": wanted.iter().map(|key| key.jwk()).collect::<Vec<_>>()});
            format!("{set:#}\n")
        }
        Format::Pem => wanted.iter().map(|key| key.key().public_pem()).collect(),
        Format::Certificate => {
            let certificates: Result<String, KeyError> = wanted.iter().map(|key| key.key().certificate_pem()).collect();
            certificates.map_err(|error| Failure::no(error.to_string()))?
        }
    };
    console.out.write_all(text.as_bytes())?;
    Ok(OK)
}
