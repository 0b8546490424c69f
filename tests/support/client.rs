//! Real clients, and where they run: a home and a `/var/lib` of their own.

pub(crate) mod docker;
pub(crate) mod podman;
pub(crate) mod skopeo;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::command;

/// A client's private directory.
pub(crate) struct Home {
    /// The directory.
    pub(crate) path: PathBuf,
}

impl Home {
    /// In `dir`, which is there already.
    pub(crate) fn new(dir: PathBuf) -> Self {
        // skopeo, podman and buildah keep here, whatever their options say, in which repositories they have seen a layer.
        std::fs::create_dir_all(dir.join("lib/containers")).unwrap();
        Self { path: dir }
    }

    /// A path below it, as text.
    pub(crate) fn at(&self, name: &str) -> String {
        self.path.join(name).to_str().unwrap().to_owned()
    }

    /// `program` with this home, in a mount namespace where `/var/lib` is `lib` below it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = command(Path::new("unshare"), &self.path);
        let script = r#"mount --bind "$0" /var/lib && exec "$@""#;
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, &self.at("lib")]).arg(program);
        command
    }
}

/// What a log line that holds an error as one quoted string would say without the quoting.
pub(crate) fn unquoted(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\n", "\n")
}

/// What clients print of a denial: `what` says who may not do what.
pub(crate) fn denied(what: &str) -> String {
    format!("denied: requested access to the resource is denied: {what}")
}
