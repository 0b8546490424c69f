//! Key files: read with their mode looked at, written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Algorithm, KeyError, SigningKey};

/// The name of the generated key's file in the state directory.
pub const SIGNING_KEY_FILE: &str = "signing-key.pem";

/// No key file is longer than this; a chain of certificates fits many times.
const MAX_FILE: u64 = 256 * 1024;

/// Why a key file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused.
    #[error("{}: cannot {verb}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `create`, `lock`.
        verb: &'static str,
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no usable key.
    #[error("{}: {source}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
}

/// A key that was read from a file.
#[derive(Debug)]
pub struct LoadedKey {
    /// The key.
    pub key: SigningKey,
    /// Where it was read from.
    pub path: PathBuf,
    /// Whether it was made just now.
    pub generated: bool,
    /// The permission bits, when group or others may read or write the file: an error-level finding.
    pub exposed: Option<u32>,
}

/// Reads a PEM key file.
pub fn load_file(path: &Path) -> Result<LoadedKey, KeyFileError> {
    let io = |source| KeyFileError::Io { verb: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    let mut text = Zeroizing::new(String::new());
    let length = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(io)?;
    if length as u64 > MAX_FILE {
        return Err(io(io::Error::new(io::ErrorKind::InvalidData, "too long for a key file")));
    }
    let key = SigningKey::from_pem(&text).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })?;
    Ok(LoadedKey { key, path: path.to_owned(), generated: false, exposed: (mode & 0o077 != 0).then_some(mode) })
}

/// Reads the key of a state directory, or makes an ES256 key there. The directory is made with mode 0700 if missing, the
/// file with 0600. Of several processes that start at once one makes the key and all return the same.
pub fn load_or_generate(state_dir: &Path) -> Result<LoadedKey, KeyFileError> {
    let path = state_dir.join(SIGNING_KEY_FILE);
    if exists(&path)? {
        return load_file(&path);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(|source| KeyFileError::Io {
        verb: "create",
        path: state_dir.to_owned(),
        source,
    })?;
    // Held until the file is in place; the system lets go of it if this process dies.
    let _lock = lock(&state_dir.join("signing-key.lock"))?;
    if exists(&path)? {
        return load_file(&path);
    }
    let key = SigningKey::generate(Algorithm::default())
        .map_err(|source| KeyFileError::Key { path: path.clone(), source })?;
    let temporary = state_dir.join("signing-key.new");
    // Left over from a process that died while it held the lock.
    let _ = fs::remove_file(&temporary);
    write_new(&temporary, &key)?;
    fs::rename(&temporary, &path)
        .and_then(|()| File::open(state_dir)?.sync_all())
        .map_err(|source| KeyFileError::Io { verb: "write", path: path.clone(), source })?;
    Ok(LoadedKey { key, path, generated: true, exposed: None })
}

/// Writes a key and its certificates to a file that must not exist yet, with mode 0600, and waits for the disk.
pub fn write_new(path: &Path, key: &SigningKey) -> Result<(), KeyFileError> {
    let text = key.to_pem().map_err(|source| KeyFileError::Key { path: path.to_owned(), source })?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.expose().as_bytes())?;
            file.sync_all()
        })
        .map_err(|source| KeyFileError::Io { verb: "write", path: path.to_owned(), source })
}

fn exists(path: &Path) -> Result<bool, KeyFileError> {
    // An error other than "not there" must not lead to a new key in the place of one that cannot be seen.
    path.try_exists().map_err(|source| KeyFileError::Io { verb: "read", path: path.to_owned(), source })
}

fn lock(path: &Path) -> Result<File, KeyFileError> {
    let lock = || {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        Ok(file)
    };
    lock().map_err(|source| KeyFileError::Io { verb: "lock", path: path.to_owned(), source })
}
