//! No password is there from the start, anywhere (Harbor CVE-2026-4404).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tidegate::authn::PasswordHash;
use tidegate::secret::Secret;

use crate::support::gateway::{Gateway, Ports, binary};
use crate::support::http::Request;
use crate::support::process::{Server, command};
use crate::support::upstream::{self, Upstream};

/// What is tried first.
const NAMES: [&str; 8] = ["admin", "root", "tidegate", "registry", "docker", "user", "test", "registry-writer"];
const PASSWORDS: [&str; 16] = [
    "",
    "admin",
    "administrator",
    "password",
    "Password1",
    "passw0rd",
    "changeme",
    "change-me",
    "secret",
    "tidegate",
    "registry",
    "Harbor12345",
    "docker",
    "test",
    "123456",
    "12345678",
];

#[test]
fn who_was_not_put_into_the_configuration_does_not_get_in() {
    let upstream = Upstream::start(upstream::ok);
    let render = |Ports { main, admin }: Ports| {
        format!(
            "[server]\nlisten = [\"127.0.0.1:{main}\"]\npublic_url = \"http://127.0.0.1:{main}\"\n\
             [admin]\nlisten = \"127.0.0.1:{admin}\"\n\
             [[upstream]]\nname = \"registry\"\nurl = \"http://127.0.0.1:{}\"\n\
             [[route]]\nprefix = \"/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n\
             [users.someone]\npassword_hash = \"{}\"\n[[authn]]\nkind = \"users\"\n\
             [[access]]\nwho = [\"authenticated\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\n\
             [limits]\nlogin_failures = 0\nlogin_failures_per_address = 0\n",
            upstream.port,
            bcrypt::hash("of nobody's guess", 4).unwrap()
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let gateway = (0..20).find_map(|_| Gateway::try_start(dir.path(), Ports::free(), &render)).unwrap();
    for name in NAMES.iter().chain(&["someone"]) {
        for password in PASSWORDS.iter().chain(&[*name]) {
            let manifest = Request::new(gateway.port, "GET", "/v2/x/manifests/v1").basic(name, password);
            assert_eq!(manifest.send().status, 401, "{name}:{password}");
        }
        let token = Request::new(gateway.port, "GET", "/token?scope=repository:x:pull").basic(name, name);
        assert_eq!(token.send().status, 401, "{name}");
    }
    assert!(upstream.heads().is_empty());
}

#[test]
fn no_hash_that_is_shown_is_one_of_a_password_that_anybody_would_try() {
    let mut files = Vec::new();
    for name in ["README.md", "gateway.toml", "docs", "examples", "deploy"] {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name), &mut files);
    }
    let mut hashes = BTreeSet::new();
    for file in &files {
        let Ok(text) = fs::read_to_string(file) else { continue };
        hashes.extend(text.split(['"', '\'', '`', ' ', '\n']).filter(|word| is_hash(word)).map(str::to_owned));
    }
    assert!(!hashes.is_empty(), "no hash was found in {} files", files.len());
    for text in hashes {
        let Ok(hash) = PasswordHash::parse(&text) else { continue };
        for password in PASSWORDS.iter().chain(&NAMES).chain(&["alice", "bob", "ci", "dev"]) {
            assert!(!hash.verify(&Secret::new(*password)), "{text} is the hash of {password:?}");
        }
    }
}

fn is_hash(word: &str) -> bool {
    word.starts_with("$argon2id$v=") || word.starts_with("$2a$") || word.starts_with("$2b$") || word.starts_with("$2y$")
}

/// All files at or below a path; none where there is nothing.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    match fs::read_dir(path) {
        Ok(entries) => entries.for_each(|entry| collect(&entry.unwrap().path(), files)),
        Err(_) if path.is_file() => files.push(path.to_owned()),
        Err(_) => {}
    }
}

#[test]
fn the_password_of_dev_is_another_one_each_time() {
    let passwords: BTreeSet<String> = (0..3).map(|_| password_of_dev()).collect();
    assert_eq!(passwords.len(), 3, "{passwords:?}");
    assert!(passwords.iter().all(|password| password.len() >= 20), "{passwords:?}");
}

fn password_of_dev() -> String {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("dev.log");
    let mut dev = command(binary(), dir.path());
    dev.args(["dev", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9"]);
    let told = || fs::read_to_string(&log).is_ok_and(|log| log.contains("Ctrl-C ends it"));
    let server = Server::start("tidegate", &mut dev, &log, told).unwrap_or_else(|_| panic!("it did not start"));
    let text = server.log();
    let rest = text.split_once(" -p ").unwrap().1;
    rest.split_whitespace().next().unwrap().to_owned()
}
