//! The programs of `tests/deploy.sh`, and the statically linked gateway.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::gateway::binary;
use crate::support::process::{Finished, command, run, run_within};

/// Where the repository is.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A path below `deploy`, as text.
pub(crate) fn deploy(name: &str) -> String {
    root().join("deploy").join(name).to_str().unwrap().to_owned()
}

/// Where `tests/deploy.sh` puts helm, kubectl, docker-compose, hadolint and cargo-deb.
pub(crate) fn tool(name: &str) -> PathBuf {
    installed(&format!("target/deploy-tools/{name}"))
}

/// A program of `target/deploy-venv`.
pub(crate) fn venv(name: &str) -> PathBuf {
    installed(&format!("target/deploy-venv/bin/{name}"))
}

fn installed(name: &str) -> PathBuf {
    let path = root().join(name);
    assert!(path.exists(), "there is no {name}: run tests/deploy.sh (tests/run does)");
    path
}

/// A directory with a short path.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().prefix("tg-").tempdir().unwrap()
}

/// Runs `program args…` with `home` as home and working directory.
#[track_caller]
pub(crate) fn call(program: &Path, home: &Path, args: &[&str]) -> Finished {
    run(command(program, home).args(args), "")
}

/// The warnings of `tidegate check` about a configuration in this environment, by their codes, in their order. That the file may be read by everybody
/// is left out: in a repository it is.
#[track_caller]
pub(crate) fn warnings(config: &Path, environment: &[(&str, &str)]) -> Vec<String> {
    let mut check = command(binary(), config.parent().unwrap());
    check.args(["check", "--json", "--config", config.to_str().unwrap()]).envs(environment.iter().copied());
    let checked = run(&mut check, "").ok();
    let report: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!(report["ok"], true, "{checked}");
    let codes =
        report["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap().to_owned());
    codes.filter(|code| code != "readable-secret").collect()
}

/// The gateway, linked against the static glibc as deploy/Dockerfile does it. Only what is left of it after the library, `main`, is
/// compiled for that: whether glibc is linked in is the last link's to say.
pub(crate) fn static_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let profile = binary().parent().unwrap();
        let deps = profile.join("deps");
        let out = profile.join("e2e_deploy-static");
        std::fs::create_dir_all(&out).unwrap();
        let out = out.join("tidegate");
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "--crate-name", "tidegate", "src/main.rs"]).current_dir(root());
        rustc.args(["-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o", out.to_str().unwrap()]);
        rustc.arg("-L").arg(format!("dependency={}", deps.display()));
        rustc.arg("--extern").arg(format!("tidegate={}", library().display()));
        run_within(&mut rustc, "", Duration::from_secs(240)).ok();
        out
    })
}

/// The library of this very build. Nothing is built: these are the parts that the tests were made of.
fn library() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--no-run", "--locked", "--test", "e2e_deploy", "--message-format=json"]).current_dir(root());
    if binary().parent().unwrap().ends_with("release") {
        cargo.arg("--release");
    }
    if cfg!(feature = "otel") {
        cargo.arg("--all-features");
    }
    let built = run_within(&mut cargo, "", Duration::from_secs(600)).ok();
    let is_rlib = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "rlib");
    let found = built.stdout.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let ours = message["target"]["name"] == "tidegate" && message["target"]["kind"][0] == "lib";
        let plain = message["profile"]["test"] == false;
        let files = message["filenames"].as_array()?;
        let rlib = files.iter().filter_map(serde_json::Value::as_str).map(PathBuf::from).find(is_rlib)?;
        (ours && plain).then_some(rlib)
    });
    found.unwrap_or_else(|| panic!("cargo names no library of tidegate: {built}"))
}
