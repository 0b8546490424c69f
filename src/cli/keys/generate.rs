//! `tidegate keys generate`: a new signing key.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::console::{Console, Failure, OK, Outcome};
use crate::keys::{Algorithm, KeyIdFormat, SigningKey, write_new};

/// Make a signing key, with a certificate of its own, for `token.keys`
///
/// Without --out the PEM text goes to standard output, private key and all. A file gets mode 0600, and one that exists is
/// never overwritten. To change keys without an interruption, put the new key behind the old one in `token.keys`, hand
/// its public half to whoever verifies tokens, put it first, and take the old one out when its last token has expired.
///
/// Exit codes: 0 done; 1 the key or its file could not be made; 2 wrong arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the key signs with: distribution 2.x knows es256 and rs256 only
    #[arg(long, value_enum, value_name = "NAME", default_value_t = Type::Es256)]
    algorithm: Type,

    /// Write the key to this new file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A type of key.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Type {
    /// ECDSA on P-256, which everybody verifies
    Es256,
    /// Ed25519
    Eddsa,
    /// RSA, slow to sign
    Rs256,
}

impl From<Type> for Algorithm {
    fn from(name: Type) -> Self {
        match name {
            Type::Es256 => Self::Es256,
            Type::Eddsa => Self::EdDsa,
            Type::Rs256 => Self::Rs256,
        }
    }
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let key = SigningKey::generate(args.algorithm.into()).map_err(|error| Failure::no(error.to_string()))?;
    if let Some(path) = &args.out {
        write_new(path, &key)
            .map_err(|error| Failure::no(error.to_string()).hint("name a file that does not exist"))?;
        writeln!(console.out, "{}", path.display())?;
    } else {
        let pem = key.to_pem().map_err(|error| Failure::no(error.to_string()))?;
        console.out.write_all(pem.expose().as_bytes())?;
    }
    writeln!(console.err, "made a key for {}, kid {}", key.algorithm(), key.kid(KeyIdFormat::Rfc7638))?;
    Ok(OK)
}
