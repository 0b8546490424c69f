//! `tidegate check`: says what is wrong with a configuration, or that nothing is.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::config::{Config, Diagnostic, Report, Severity};

/// Nothing is wrong.
const OK: u8 = 0;
/// The configuration has errors, or warnings that were not to be.
const PROBLEMS: u8 = 1;
/// The file cannot be read.
const UNREADABLE: u8 = 2;

/// Check a configuration: every problem at once, each with its place and what would be right, then warnings.
///
/// Exit codes: 0 the configuration is correct (there may be warnings); 1 it is not, or there are warnings and
/// --deny-warnings; 2 the file cannot be read, or the arguments are wrong.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "gateway.toml")]
    pub config: PathBuf,
    /// Print one JSON object on standard output instead of text.
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 when there are warnings.
    #[arg(long)]
    pub deny_warnings: bool,
}

/// Checks the file. Problems go to `err`, `ok` and JSON to `out`.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    // Nobody is left to tell when the output is closed; the exit code still says it.
    ExitCode::from(check(args, out, err).unwrap_or(PROBLEMS))
}

fn check(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let report = match Config::examine(&args.config) {
        Ok((_, warnings)) => warnings,
        Err(report) => report,
    };
    let code = match () {
        () if report.is_unreadable() => UNREADABLE,
        () if report.has_errors() || (args.deny_warnings && !report.is_empty()) => PROBLEMS,
        () => OK,
    };
    if args.json {
        json(&report, code == OK, out)?;
    } else {
        text(&report, args, out, err)?;
    }
    Ok(code)
}

fn text(report: &Report, args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    if !report.has_errors() {
        writeln!(out, "ok: {}", args.config.display())?;
        out.flush()?;
    }
    if report.is_empty() {
        return Ok(());
    }
    // At once: standard error is written piece by piece otherwise.
    err.write_all(format!("{report}\n").as_bytes())?;
    let count = |severity| of(report, severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    writeln!(err, "{}, {}", counted(errors, "error"), counted(warnings, "warning"))
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn of(report: &Report, severity: Severity) -> impl Iterator<Item = &Diagnostic> {
    report.diagnostics().iter().filter(move |diagnostic| diagnostic.severity == severity)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Checked<'a> {
    ok: bool,
    errors: Vec<&'a Diagnostic>,
    warnings: Vec<&'a Diagnostic>,
}

fn json(report: &Report, ok: bool, out: &mut dyn Write) -> io::Result<()> {
    let checked = Checked {
        ok,
        errors: of(report, Severity::Error).collect(),
        warnings: of(report, Severity::Warning).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &checked)?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Args, OK, PROBLEMS, UNREADABLE, check};

    const GOOD: &str = "[server]\nlisten = '127.0.0.1:0'\npublic_url = 'http://127.0.0.1:5000'\n";

    /// The exit code, standard output and standard error of a check.
    fn checked(path: &Path, json: bool, deny_warnings: bool) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = Args { config: path.to_owned(), json, deny_warnings };
        let code = check(&args, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn warnings_do_not_fail_unless_denied() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        std::fs::write(&path, GOOD).unwrap();
        let (code, out, err) = checked(&path, false, false);
        assert_eq!((code, out), (OK, format!("ok: {}\n", path.display())));
        assert!(err.starts_with("warning: nobody can log in"), "{err}");
        assert!(err.ends_with("\n0 errors, 1 warning\n"), "{err}");
        assert_eq!(checked(&path, false, true).0, PROBLEMS);
    }

    #[test]
    fn errors_fail() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        std::fs::write(&path, format!("{GOOD}colour = 1\nprivate = 2\n")).unwrap();
        let (code, out, err) = checked(&path, false, false);
        assert_eq!((code, out.as_str()), (PROBLEMS, ""));
        assert!(err.contains("unknown key `colour`") && err.contains("unknown key `private`"), "{err}");

        let (code, out, err) = checked(&path, true, false);
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, err.as_str()), (PROBLEMS, ""));
        assert_eq!(json["ok"], false);
        assert_eq!(json["errors"][0]["code"], "unknown-key");
        assert_eq!((&json["errors"][0]["line"], &json["errors"][0]["column"]), (&4.into(), &1.into()));
    }

    #[test]
    fn a_missing_file_is_another_matter() {
        let dir = tempfile::tempdir().unwrap();
        let (code, out, err) = checked(&dir.path().join("none.toml"), false, false);
        assert_eq!((code, out.as_str()), (UNREADABLE, ""));
        assert!(err.contains("the configuration cannot be read"), "{err}");
    }

    #[cfg(unix)]
    #[test]
    fn secrets_that_everybody_can_read_are_warned_of() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.toml");
        std::fs::write(dir.path().join("hash"), "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\n")
            .unwrap();
        std::fs::write(&path, format!("{GOOD}[users.a]\npassword_hash = {{ file = 'hash' }}\n")).unwrap();
        let mode = |name: &str, mode| {
            std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode("gateway.toml", 0o644);
        mode("hash", 0o644);
        let (_, _, err) = checked(&path, false, false);
        assert!(err.contains("every user of this host can read") && err.contains("chmod o-r"), "{err}");
        assert!(!err.contains("N9qo8uLOickgx2ZMRZoMye"), "{err}");
        mode("hash", 0o600);
        assert_eq!(checked(&path, false, true).0, OK);
    }
}
