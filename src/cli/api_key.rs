//! `tidegate api-key`: a new key, and what a configuration keeps of it.

use crate::authn::{KeyHash, new_key};
use crate::subject::UserName;

use super::console::{Console, Failure, OK, Outcome};

/// Make an API key, or with --client the secret of an OAuth2 client, and what the configuration keeps of it
///
/// The key, 256 random bits, is the only thing on standard output. It is shown this once: the configuration keeps its hash, in
/// the section that is printed on standard error. The command reads and changes no file.
///
/// Exit codes: 0 done; 1 there is no randomness; 2 wrong arguments.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Who comes with it: what rules call `user:NAME`, and what the upstream is told
    #[arg(long, value_name = "NAME", default_value = "ci", value_parser = name)]
    name: UserName,

    /// Print a section of [clients] instead: the key is then the secret of the OAuth2 client NAME
    #[arg(long)]
    client: bool,
}

/// A name that `[api_keys]` and `[clients]` take.
fn name(text: &str) -> Result<UserName, String> {
    let name = UserName::parse(text).map_err(|error| error.to_string())?;
    if text.contains(':') {
        return Err("Basic credentials end the name at the first colon".to_owned());
    }
    if text.eq_ignore_ascii_case("admin") {
        return Err("the name admin is kept for what only the identity filter may produce".to_owned());
    }
    Ok(name)
}

/// Runs the command.
pub fn run(args: &Args, console: &mut Console<'_>) -> Outcome {
    let key = new_key().map_err(|error| Failure::no(error.to_string()))?;
    let (section, field) = if args.client { ("clients", "secret_hash") } else { ("api_keys", "hash") };
    let hash = KeyHash::of(&key).to_text();
    writeln!(console.err, "[{section}.{}]\n{field} = \"{hash}\"\ngroups = []\n", toml_key(args.name.as_str()))?;
    writeln!(console.out, "{}", key.expose())?;
    Ok(OK)
}

/// A name as a key of TOML.
fn toml_key(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return name.to_owned();
    }
    // A name holds no control characters, so these two are all that need an escape.
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Args, name, run};
    use crate::authn::KeyHash;
    use crate::cli::Console;
    use crate::config::Config;
    use crate::secret::Secret;

    /// The key, and the configuration that holds the section.
    fn made(args: &Args) -> (Secret, Config) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        run(args, &mut Console { input: &mut std::io::empty(), out: &mut out, err: &mut err }).unwrap();
        let (key, section) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
        let key = Secret::new(key.strip_suffix('\n').unwrap());
        assert!(!section.contains(key.expose()));
        let text = format!("[server]\nlisten = '127.0.0.1:0'\npublic_url = 'http://a'\n{section}");
        let config = Config::parse(&text, "gateway.toml", Path::new(""), &|_| None);
        (key, config.unwrap_or_else(|report| panic!("{report}")))
    }

    #[test]
    fn the_section_is_one_that_the_configuration_takes() {
        for text in ["ci", "a b", "x\"y\\z", "ü@example.com", "a.b"] {
            let (key, config) = made(&Args { name: name(text).unwrap(), client: false });
            assert_eq!(config.api_keys[0].name.as_str(), text);
            assert_eq!(config.api_keys[0].hash, KeyHash::of(&key));
        }
        let (_, config) = made(&Args { name: name("pulp-cli").unwrap(), client: true });
        assert_eq!((config.clients[0].name.as_str(), config.api_keys.len()), ("pulp-cli", 0));
    }

    #[test]
    fn names_that_the_configuration_refuses_are_refused_here() {
        for text in ["", "a:b", " a", "a\n", "admin", "Admin"] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
