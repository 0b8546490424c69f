//! The configuration on disk: the file, and what it names, as it is now and when that changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::{Config, Member, Report};
use crate::keys::SIGNING_KEY_FILE;
use crate::watch::Watch;

/// A configuration file that can be read again.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    watch: Watch,
    /// `server.watch` of the last configuration that was none the worse for reading.
    watching: bool,
}

impl ConfigFile {
    /// A file that was not read yet.
    pub fn new(path: PathBuf) -> Self {
        Self { watch: Watch::new([]), path, watching: true }
    }

    /// Reads and checks it, and watches from now on what it is made of.
    pub fn load(&mut self) -> Result<Config, Report> {
        // What changed up to here is read here. Each file is looked at before it is read, so that a change in between is seen later.
        self.watch.look();
        self.watch.add([self.path.clone()]);
        let read = Config::load_noting(&self.path, &|file| self.watch.add([file.to_owned()]));
        if let Ok(config) = &read {
            self.watching = config.server.watch;
        }
        match &read {
            Ok(config) if self.watching => self.watch.set(self.files_of(config)),
            // What was valid before is watched on: it may be part of the mend.
            Err(_) if self.watching => {}
            _ => self.watch.set([]),
        }
        read
    }

    /// Knows a file that was made by this process: that it is there now is no change. It is to be read after this.
    pub(super) fn made(&self, file: &Path) {
        if self.watching {
            self.watch.know(file);
        }
    }

    pub(super) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Watches these too, until the next time that it is read.
    pub(super) fn also_watch(&self, files: impl IntoIterator<Item = PathBuf>) {
        if self.watching {
            self.watch.add(files);
        }
    }

    fn files_of(&self, config: &Config) -> BTreeSet<PathBuf> {
        let mut files = config.files.clone();
        files.insert(self.path.clone());
        if config.token.keys.is_empty() {
            files.insert(config.server.state_dir.join(SIGNING_KEY_FILE));
        }
        files
    }
}

/// The files of a configuration that are read again by themselves, without a reload.
pub(super) fn read_by_themselves(config: &Config) -> Vec<PathBuf> {
    let file = |member: &Member| match member {
        Member::Htpasswd { file } => Some(file.clone()),
        Member::Users(_) | Member::ClientCertificate { .. } => None,
    };
    config.authn.iter().filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::key_ring;
    use super::ConfigFile;

    const GATEWAY: &str = "[server]\nlisten = '127.0.0.1:0'\npublic_url = 'http://127.0.0.1:5000'\n";

    #[test]
    fn a_key_that_is_made_at_the_start_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("gateway.toml"), GATEWAY).unwrap();
        let mut file = ConfigFile::new(at("gateway.toml"));
        let config = file.load().unwrap();
        let ring = key_ring(&config, &file).unwrap();
        assert!(file.watch().look().is_empty());
        assert_eq!(ring.signing().kid(), key_ring(&config, &file).unwrap().signing().kid());
        fs::write(at("state/signing-key.pem"), "another").unwrap();
        assert_eq!(file.watch().look(), [at("state/signing-key.pem")].into());
    }

    #[test]
    fn what_it_names_is_watched_whether_or_not_it_is_correct() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("gateway.toml"), format!("{GATEWAY}[users.a]\npassword_hash = {{ file = 'hash' }}\n")).unwrap();
        fs::write(at("hash"), "none").unwrap();
        let mut file = ConfigFile::new(at("gateway.toml"));
        assert!(file.load().is_err());
        fs::write(at("hash"), "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy").unwrap();
        assert_eq!(file.watch().look(), [at("hash")].into());
        assert!(file.load().is_ok() && file.watch().look().is_empty());
        fs::write(at("gateway.toml"), format!("{GATEWAY}watch = false\n")).unwrap();
        assert!(file.load().is_ok());
        fs::write(at("gateway.toml"), "").unwrap();
        assert!(file.load().is_err() && file.watch().look().is_empty());
        fs::write(at("hash"), "none").unwrap();
        assert!(file.watch().look().is_empty());
    }
}
