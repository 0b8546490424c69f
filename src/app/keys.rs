//! The signing keys that a configuration names, as a ring.

use super::{ConfigFile, StartError};
use crate::certificate::Certificate;
use crate::config::Config;
use crate::keys::{self, KeyFileError, KeyRing, LoadedKey, RingError, RingKey, SIGNING_KEY_FILE, SigningKey};
use crate::metrics::{Expiry, Usage};

/// The keys of a configuration: those of `token.keys`, or the one in `state_dir`, which is made when there is none.
pub fn load_keys(config: &Config) -> Result<Vec<LoadedKey>, KeyFileError> {
    if config.token.keys.is_empty() {
        return Ok(vec![keys::load_or_generate(&config.server.state_dir)?]);
    }
    config.token.keys.iter().map(|path| keys::load_file(path)).collect()
}

/// The ring of keys that were loaded, by the settings of the configuration.
pub fn ring_of(config: &Config, keys: Vec<LoadedKey>) -> Result<KeyRing, RingError> {
    KeyRing::new(keys.into_iter().map(|loaded| loaded.key).collect(), config.token.key_id, config.token.x5c)
}

/// The ring for a gateway that is about to serve; what is to be said about the files goes to the log. `file` is where the configuration
/// is from: a key that is made here is no reason to read that again.
pub fn key_ring(config: &Config, file: &ConfigFile) -> Result<KeyRing, StartError> {
    let mut loaded = load_keys(config)?;
    loaded.iter().for_each(tell_key);
    let made = loaded.iter().filter(|loaded| loaded.generated).map(|loaded| file.made(&loaded.path)).count();
    if made > 0 {
        // Another one may have been put in its place before it was known.
        loaded = load_keys(config)?;
    }
    Ok(ring_of(config, loaded)?)
}

/// When the certificates in the files of keys end. Keys themselves do not.
pub(super) fn expiries(ring: &KeyRing) -> Vec<Expiry> {
    let of_key = |key: &RingKey| {
        let parsed = key.key().certificates().iter().filter_map(|der| Certificate::parse(der).ok());
        let expiry = |certificate: Certificate| Expiry {
            usage: Usage::SigningKey,
            name: key.kid().to_owned(),
            at: certificate.not_after,
        };
        parsed.map(expiry).collect::<Vec<_>>()
    };
    ring.iter().flat_map(of_key).collect()
}

/// The ring at a reload. A gateway that signs with the key of its `state_dir` goes on with that, also where its file has gone: another
/// key would end every token.
pub(super) fn reloaded_key_ring(
    config: &Config,
    file: &ConfigFile,
    own: Option<&KeyRing>,
) -> Result<KeyRing, StartError> {
    let path = config.server.state_dir.join(SIGNING_KEY_FILE);
    let Some(own) = own.filter(|_| config.token.keys.is_empty() && !path.exists()) else {
        return key_ring(config, file);
    };
    tracing::warn!(path = %path.display(), "the signing key has gone; it is used on, but after a restart there will be another");
    let key = SigningKey::from_pem(own.signing().key().to_pem()?.expose())?;
    Ok(KeyRing::new(vec![key], config.token.key_id, config.token.x5c)?)
}

fn tell_key(loaded: &LoadedKey) {
    let path = loaded.path.display();
    if loaded.generated {
        tracing::info!(%path, "made a signing key");
    }
    if let Some(mode) = loaded.exposed {
        tracing::warn!(%path, mode = format!("{mode:o}"), "a signing key can be read by others; hint: chmod 600");
    }
}
