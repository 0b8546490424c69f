//! `tidegate keys list`: the keys of a configuration.

use std::path::PathBuf;

use serde_json::json;

use super::{stored_keys, validity};
use crate::cli::CONFIG;
use crate::cli::console::{Console, OK, Outcome};
use crate::keys::KeyIdFormat;

/// List the keys of a configuration: ids, algorithm, file, and which one signs
///
/// The id that tokens carry by `token.key_id` is marked with `*`. No key is made where there is none yet.
///
/// Exit codes: 0 done; 1 a key cannot be read, or there is none yet; 2 the arguments or the configuration are wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,

    /// Print a JSON list
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let config = console.load(&args.config)?;
    let keys = stored_keys(&config, console)?;
    let formats = [("rfc7638", KeyIdFormat::Rfc7638), ("libtrust", KeyIdFormat::Libtrust)];
    let mut listed = Vec::new();
    for (n, loaded) in keys.iter().enumerate() {
        let key = &loaded.key;
        let expiry = key.certificates().first().and_then(|der| validity::not_after(der));
        if args.json {
            listed.push(json!({
                "algorithm": key.algorithm().as_str(),
                "signs": n == 0,
                "file": loaded.path.display().to_string(),
                "rfc7638": key.kid(KeyIdFormat::Rfc7638),
                "libtrust": key.kid(KeyIdFormat::Libtrust),
                "certificate_expires": expiry,
            }));
            continue;
        }
        let role = if n == 0 { "signs and verifies" } else { "verifies" };
        writeln!(console.out, "{} {role}: {}", key.algorithm(), loaded.path.display())?;
        for (name, format) in formats {
            let mark = if format == config.token.key_id { '*' } else { ' ' };
            writeln!(console.out, "{mark} {name:<9}{}", key.kid(format))?;
        }
        match (expiry, key.certificates().is_empty()) {
            (Some(expiry), _) => writeln!(console.out, "  certificate until {expiry}")?,
            (None, true) => writeln!(console.out, "  no certificate in the file")?,
            (None, false) => writeln!(console.out, "  certificate of unknown validity")?,
        }
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *console.out, &listed).map_err(std::io::Error::from)?;
        writeln!(console.out)?;
    }
    Ok(OK)
}
