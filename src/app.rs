//! From a configuration to a running gateway: the only place where things are wired together.

use crate::config::Config;
use crate::keys::{KeyFileError, KeyRing, LoadedKey, RingError, load_file, load_or_generate};

/// Why a configuration's keys make no ring.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// A key file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The keys together.
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// The keys of `token.keys`, or else the one in `state_dir`, which is made if it is not there yet.
pub fn key_ring(config: &Config) -> Result<KeyRing, KeyRingError> {
    Ok(ring_of(config, load_keys(config)?)?)
}

/// The keys that [`key_ring`] puts together, with what is to be said about their files.
pub fn load_keys(config: &Config) -> Result<Vec<LoadedKey>, KeyFileError> {
    if config.token.keys.is_empty() {
        return Ok(vec![load_or_generate(&config.server.state_dir)?]);
    }
    config.token.keys.iter().map(|path| load_file(path)).collect()
}

/// The ring of keys that were loaded, by the settings of the configuration.
pub fn ring_of(config: &Config, keys: Vec<LoadedKey>) -> Result<KeyRing, RingError> {
    KeyRing::new(keys.into_iter().map(|loaded| loaded.key).collect(), config.token.key_id, config.token.x5c)
}
