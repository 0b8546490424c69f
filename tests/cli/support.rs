//! A directory with a configuration, and the binary run in it.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

/// The head of every configuration here.
pub(crate) const HEAD: &str = "[server]
listen = '127.0.0.1:0'
public_url = 'http://127.0.0.1:5000'
";

/// Somebody to ask about. The hash is of random bytes.
pub(crate) const ALICE: &str = "[users.alice]
password_hash = '$argon2id$v=19$m=19456,t=2,p=1$2M2ebQy2iJHakor+fdX+Zw$vOcVBPUclJHuJVD3wfLJ7PcRHuYDdgo7QI86olb41zM'
groups = ['dev']
";

/// Part of that hash, which nothing may print.
pub(crate) const SECRET: &str = "vOcVBPUclJHuJVD3wfLJ7PcRHuYDdgo7QI86olb41zM";

/// What a run of the binary left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Standard output of a run that ended with this code.
    #[track_caller]
    pub(crate) fn out(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self:#?}");
        &self.out
    }

    /// Standard error of a run that ended with this code and printed nothing else.
    #[track_caller]
    pub(crate) fn err(&self, code: i32) -> &str {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:#?}");
        &self.err
    }
}

/// A directory of its own with a `gateway.toml`.
pub(crate) struct Place(TempDir);

impl Place {
    /// With [`HEAD`] before this text.
    pub(crate) fn new(config: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.configure(config);
        place
    }

    pub(crate) fn configure(&self, config: &str) {
        self.write("gateway.toml", &format!("{HEAD}{config}"));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs the binary in the directory. Nothing that is secret here may come out of it.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let ran = run_in(self.0.path(), args, input);
        assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET), "{ran:#?}");
        ran
    }
}

fn run_in(dir: &Path, args: &[&str], input: &str) -> Ran {
    let output =
        Command::cargo_bin("tidegate").unwrap().current_dir(dir).args(args).write_stdin(input).output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
