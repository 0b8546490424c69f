//! Files for other programs: public, and never half written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::console::Failure;

/// Writes a public file whole or not at all, and gives its absolute path.
pub(super) fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = dir.join(name);
    let written = || -> io::Result<PathBuf> {
        fs::create_dir_all(dir)?;
        let dir = fs::canonicalize(dir)?;
        let temporary = dir.join(format!(".{name}.{}", std::process::id()));
        let result = create(&temporary)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, dir.join(name)));
        if result.is_err() {
            // What is left of it is of no use to anybody.
            let _ = fs::remove_file(&temporary);
        }
        result.map(|()| dir.join(name))
    };
    written().map_err(|error| Failure::no(format!("{}: cannot write: {error}", path.display())))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)
}
