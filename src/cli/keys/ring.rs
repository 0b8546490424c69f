//! The keys of a configuration, with the notes that their files deserve.

use std::io;

use crate::app;
use crate::cli::console::{Console, Failure};
use crate::config::Config;
use crate::keys::{KeyRing, LoadedKey, SIGNING_KEY_FILE};

/// The keys of a configuration. One is made where `tidegate serve` would make it, and that is said.
pub(in crate::cli) fn keys(config: &Config, console: &mut Console<'_>) -> Result<Vec<LoadedKey>, Failure> {
    let keys = app::load_keys(config).map_err(|error| Failure::no(error.to_string()))?;
    for key in &keys {
        if key.generated {
            let path = key.path.display();
            console
                .note(&format!("there was no signing key yet; {path} was made, and `tidegate serve` will use it"))?;
        }
        note_exposed(key, console)?;
    }
    Ok(keys)
}

/// As [`keys`], but where there is none yet, none is made.
pub(in crate::cli) fn stored_keys(config: &Config, console: &mut Console<'_>) -> Result<Vec<LoadedKey>, Failure> {
    let path = config.server.state_dir.join(SIGNING_KEY_FILE);
    if config.token.keys.is_empty() && matches!(path.try_exists(), Ok(false)) {
        let message = format!("there is no signing key yet: {} does not exist", path.display());
        return Err(
            Failure::no(message).hint("`tidegate serve` makes it at its first start, and so does `keys export`")
        );
    }
    keys(config, console)
}

/// The ring of keys that were loaded.
pub(in crate::cli) fn ring(config: &Config, keys: Vec<LoadedKey>) -> Result<KeyRing, Failure> {
    app::ring_of(config, keys).map_err(|error| Failure::usage(error.to_string()))
}

fn note_exposed(key: &LoadedKey, console: &mut Console<'_>) -> io::Result<()> {
    let Some(mode) = key.exposed else { return Ok(()) };
    let path = key.path.display();
    console.note(&format!("{path} has mode {mode:04o}: others can read the private key (chmod 600 {path})"))
}
