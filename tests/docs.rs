//! What the documentation shows works: its configuration blocks are accepted, and the files, links and commands that it names exist.
//!
//! A block marked `toml gateway` is a whole configuration. A block marked `toml` is a fragment: it is laid over a minimal one, and must
//! be accepted there. TOML that is neither is marked `text`.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tidegate::config::Config;
use toml::{Table, Value};

/// What fragments are laid over.
const MINIMAL: &str = r#"
[server]
listen = ["127.0.0.1:5000"]
public_url = "http://127.0.0.1:5000"

[[upstream]]
name = "registry"
url = "http://127.0.0.1:5050"

[[route]]
prefix = "/v2/"
upstream = "registry"
auth = "registry"

[users.alice]
password_hash = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"

[[authn]]
kind = "users"
"#;

/// A secret that is fit for every place, for what documentation takes from files and the environment.
const SECRET: &str = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

#[test]
fn configurations_in_the_documentation_are_accepted() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for block in all_blocks().iter().filter(|block| block.kind.starts_with("toml")) {
        checked += 1;
        if let Err(problem) = configuration(block) {
            wrong.push(format!("{}:\n{problem}", block.place));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(checked > 0, "no configuration was found in the documentation");
}

#[test]
fn a_wrong_configuration_would_be_found() {
    let of = |text: &str| blocks("x.md", text).iter().map(configuration).collect::<Vec<_>>();
    let fragment =
        of("A rule:\n\n```toml\n[[access]]\nwho = [\"anyone\"]\nrepositories = [\"**\"]\nactions = [\"pull\"]\n```\n");
    assert_eq!(fragment, [Ok(())]);
    assert!(of("```toml\n[[access]]\nwho = [\"anyone\"]\ncolour = 1\n```\n")[0].is_err());
    assert!(of("  ```toml\n  [server\n  ```\n")[0].is_err());
    assert!(of("```toml gateway\n[server]\nlisten = [\"127.0.0.1:0\"]\n```\n")[0].is_err());
    assert!(of("```toml example\n```\n")[0].is_err());
}

/// Beyond that they are correct, `check` has nothing to warn of: these are what people copy.
#[test]
fn configuration_files_are_accepted_without_a_warning() {
    let mut files = with_extension(&root().join("examples"), "toml");
    assert!(files.len() >= 4, "only {} examples were found", files.len());
    files.push(root().join("gateway.toml"));
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let folder = with_secret_files(&text);
        let checked = Config::parse_with_warnings(&text, &path.display().to_string(), folder.path(), &|_| None);
        let (_, warnings) = checked.unwrap_or_else(|problems| panic!("{problems}"));
        assert!(warnings.is_empty(), "{warnings}");
    }
}

/// What `check` may warn of there, because of where they run, is held by `tests/e2e_deploy`.
#[test]
fn configurations_of_deployments_are_accepted() {
    let folders = [
        "compose",
        "debian",
        "kubernetes/standalone",
        "kubernetes/standalone-tls",
        "kubernetes/sidecar-registry",
        "kubernetes/sidecar-pulp",
    ];
    for folder in folders {
        let path = root().join("deploy").join(folder).join("gateway.toml");
        let text = fs::read_to_string(&path).unwrap();
        let folder = with_secret_files(&text);
        let checked = Config::parse(&text, &path.display().to_string(), folder.path(), &|_| None);
        checked.unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn the_two_commands_of_the_readme_are_there() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for command in ["examples/quickstart.sh", "tests/run"] {
        assert!(readme.contains(command), "README.md does not name {command}");
        let help = Command::new(root().join(command)).arg("--help").output().unwrap();
        assert!(help.status.success(), "{command} --help: {}", String::from_utf8_lossy(&help.stderr));
    }
}

#[test]
fn files_in_commands_and_links_exist() {
    let mut wrong = Vec::new();
    for block in all_blocks().iter().filter(|block| is_shell(&block.kind)) {
        for name in repository_files(&block.text).filter(|name| !root().join(name).exists()) {
            wrong.push(format!("{}: there is no {name}", block.place));
        }
    }
    for path in documents() {
        let folder = path.parent().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for link in links(&text).filter(|link| !folder.join(link).exists()) {
            wrong.push(format!("{}: a link to {link}, which is not there", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_in_the_documentation_exist() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (place, command) in code_lines().iter().flat_map(|(place, line)| commands(line).map(move |it| (place, it))) {
        checked += 1;
        // Only `keys`, `token` and `export` have commands of their own.
        let depth = if ["keys", "token", "export"].contains(&command[0]) { 2 } else { 1 };
        let name: Vec<&str> = command.iter().copied().take(depth).filter(|word| !word.starts_with('-')).collect();
        let help = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("help").args(&name).output().unwrap();
        let text = String::from_utf8_lossy(&help.stdout);
        let name = name.join(" ");
        if !help.status.success() {
            wrong.push(format!("{place}: there is no `tidegate {name}`"));
            continue;
        }
        for option in command.iter().filter(|word| word.starts_with("--") && !has_option(&text, word)) {
            wrong.push(format!("{place}: `tidegate {name}` has no {option}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 0, "the documentation shows no command");
}

#[test]
fn commands_are_told_from_what_surrounds_them() {
    let seen = |line: &str| commands(line).map(|words| words.join(" ")).collect::<Vec<_>>();
    assert_eq!(seen("$ tidegate check --json | jq . # --no"), ["check --json"]);
    assert_eq!(
        seen("tidegate keys export [--config FILE] --format jwks|pem"),
        ["keys export --config FILE --format jwks|pem"]
    );
    assert_eq!(seen("a | target/release/tidegate filter && tidegate dev"), ["filter", "dev"]);
    assert!(seen("docker run tidegate").is_empty());
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// README.md and what lies in `docs`.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    found.extend(with_extension(&root().join("docs"), "md"));
    found
}

fn all_blocks() -> Vec<Block> {
    let of = |path: &PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        blocks(&name, &fs::read_to_string(path).unwrap())
    };
    documents().iter().flat_map(of).collect()
}

/// The files of a folder, in order; none where there is no folder.
fn with_extension(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|own| own == extension));
    files.sort();
    files
}

/// A fenced block of a Markdown file.
struct Block {
    /// File and line, for messages.
    place: String,
    /// What stands behind the fence.
    kind: String,
    text: String,
}

fn blocks(name: &str, text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((n, line)) = lines.next() {
        let Some(kind) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
        let text: String = inside.flat_map(|line| [line.get(indent..).unwrap_or(""), "\n"]).collect();
        found.push(Block { place: format!("{name}:{}", n + 1), kind: kind.trim().to_owned(), text });
    }
    found
}

fn is_shell(kind: &str) -> bool {
    matches!(kind, "sh" | "bash" | "shell" | "console")
}

/// Checks a block marked `toml…` as what it is marked.
fn configuration(block: &Block) -> Result<(), String> {
    match block.kind.as_str() {
        "toml gateway" => accepted(&block.text),
        "toml" => {
            let fragment = block.text.parse().map_err(|error: toml::de::Error| error.to_string())?;
            accepted(&toml::to_string(&laid_over(MINIMAL.parse().unwrap(), fragment)).unwrap())
        }
        kind => Err(format!("a block is `toml` or `toml gateway`, not `{kind}`")),
    }
}

/// Tables are laid over one another key by key; entries of `upstream` and `route` take the place of those with the same name or prefix,
/// `authn` of all, others are added.
fn laid_over(mut base: Table, fragment: Table) -> Table {
    for (key, value) in fragment {
        let old = base.remove(&key);
        let new = match (old, value) {
            (Some(Value::Table(old)), Value::Table(new)) => Value::Table(laid_over(old, new)),
            (Some(Value::Array(mut old)), Value::Array(new)) if matches!(key.as_str(), "upstream" | "route") => {
                let same = |a: &Value, b: &Value| {
                    ["name", "prefix"].iter().any(|id| a.get(*id).is_some() && a.get(*id) == b.get(*id))
                };
                old.retain(|old| !new.iter().any(|new| same(old, new)));
                old.extend(new);
                Value::Array(old)
            }
            (_, new) => new,
        };
        base.insert(key, new);
    }
    base
}

/// A folder in which the secret files and certificates that a configuration names exist.
fn with_secret_files(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    if let Ok(table) = text.parse::<Table>() {
        let value = Value::Table(table);
        for name in secret_files(&value) {
            write(&name, SECRET);
        }
        for (name, is_key) in tls_files(&value) {
            let made = certificate();
            write(&name, if is_key { &made.1 } else { &made.0 });
        }
    }
    folder
}

/// A certificate that may be anything, and its key, as PEM.
fn certificate() -> &'static (String, String) {
    static MADE: OnceLock<(String, String)> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["registry.internal".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    })
}

/// The files of all `tls = { … }`, and whether each is a key.
fn tls_files(value: &Value) -> Vec<(String, bool)> {
    let Value::Table(table) = value else {
        return value.as_array().into_iter().flatten().flat_map(tls_files).collect();
    };
    let mut found: Vec<_> = table.values().flat_map(tls_files).collect();
    for tls in table.get("tls").into_iter().flat_map(|tls| tls.as_array().cloned().unwrap_or_else(|| vec![tls.clone()]))
    {
        for name in ["ca", "client_ca", "cert", "key"] {
            let file = tls.get(name).and_then(Value::as_str);
            found.extend(file.map(|file| (file.to_owned(), name == "key")));
        }
    }
    found
}

/// Checks a configuration in a folder where the secret files that it names exist.
fn accepted(text: &str) -> Result<(), String> {
    let folder = with_secret_files(text);
    // An absolute path would be the operator's own.
    let text = text.replace("file = \"/", "file = \"");
    Config::parse(&text, "block", folder.path(), &|_| Some(SECRET.to_owned()))
        .map(|_| ())
        .map_err(|report| report.to_string())
}

/// The values of all `{ file = "…" }`.
fn secret_files(value: &Value) -> Vec<String> {
    match value {
        Value::Table(table) if table.len() == 1 && table.get("file").is_some_and(Value::is_str) => {
            table["file"].as_str().map(str::to_owned).into_iter().collect()
        }
        Value::Table(table) => table.iter().flat_map(|(_, value)| secret_files(value)).collect(),
        Value::Array(array) => array.iter().flat_map(secret_files).collect(),
        _ => Vec::new(),
    }
}

/// Words of shell text that name files of this repository.
fn repository_files(text: &str) -> impl Iterator<Item = &str> {
    const FOLDERS: [&str; 6] = ["examples/", "tests/", "deploy/", "docs/", "benches/", ".ci/"];
    let words = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    words.map(|word| word.trim_start_matches("./")).filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
}

/// Targets of Markdown links within the repository, without fragments.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let local = targets.filter(|target| {
        !target.contains("://") && !target.starts_with("mailto:") && !target.contains(char::is_whitespace)
    });
    local.filter_map(|target| target.split('#').next()).filter(|target| !target.is_empty())
}

/// Lines of shell blocks, indented lines, and those of comments in the examples, each with its place.
fn code_lines() -> Vec<(String, String)> {
    let shell = all_blocks().into_iter().filter(|block| is_shell(&block.kind));
    let shell = shell.flat_map(|block| {
        block.text.replace("\\\n", " ").lines().map(|line| (block.place.clone(), line.to_owned())).collect::<Vec<_>>()
    });
    let mut found: Vec<_> = shell.collect();
    let documents = documents().into_iter().map(|path| (path, "    "));
    let examples = with_extension(&root().join("examples"), "toml").into_iter().map(|path| (path, "#     "));
    for (path, indent) in documents.chain(examples) {
        let text = fs::read_to_string(&path).unwrap();
        let indented = text.lines().enumerate().filter_map(|(n, line)| Some((n, line.strip_prefix(indent)?)));
        found.extend(indented.map(|(n, line)| (format!("{}:{}", path.display(), n + 1), line.to_owned())));
    }
    found
}

/// The words behind each `tidegate` that a line runs; brackets around what is optional are gone.
fn commands(line: &str) -> impl Iterator<Item = Vec<&str>> {
    let code = line.trim_start().trim_start_matches("$ ").split(" #").next().unwrap_or("");
    let runs = code.split(" | ").flat_map(|part| part.split("&&")).flat_map(|part| part.split(';'));
    runs.filter_map(|run| {
        let mut words = run.split([' ', '[', ']', '…']).filter(|word| !word.is_empty());
        let program = words.next()?;
        let words: Vec<&str> = words.collect();
        ((program == "tidegate" || program.ends_with("/tidegate")) && !words.is_empty()).then_some(words)
    })
}

fn has_option(help: &str, option: &str) -> bool {
    let option = option.split('=').next().unwrap_or(option);
    matches!(option, "--help" | "--version")
        || help.split(|c: char| !(c.is_alphanumeric() || c == '-')).any(|word| word == option)
}
