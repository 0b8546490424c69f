//! The configuration on disk: the file, and what it names, as it is now and when that changes.

use std::collections::BTreeSet;
use std::path::PathBuf;

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
        Self { watch: Watch::new([path.clone()]), path, watching: true }
    }

    /// Reads and checks it, and watches from now on what it is made of.
    pub fn load(&mut self) -> Result<Config, Report> {
        // What changed up to here is read here.
        self.watch.look();
        loop {
            let read = Config::load(&self.path);
            let has_new = match &read {
                Ok(config) => {
                    self.watching = config.server.watch;
                    self.watch.set(if self.watching { self.files_of(config) } else { BTreeSet::new() })
                }
                // What was valid before is watched on: it may be part of the mend.
                Err(report) => self.also_watch(report.files().iter().cloned()),
            };
            // A file may have changed between the time when it was read and the time when it was looked at first.
            if !has_new {
                return read;
            }
        }
    }

    pub(super) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Watches these too, until the next time that it is read. Says whether there are new ones.
    pub(super) fn also_watch(&self, files: impl IntoIterator<Item = PathBuf>) -> bool {
        self.watching && self.watch.add(files)
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
