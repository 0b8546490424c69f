//! pulp-cli through the gateway, with each scheme that Pulp's own OpenAPI document can tell it of.

use std::fmt::Write as _;

use serde_json::json;
use tidegate::authn::KeyHash;
use tidegate::secret::Secret;

use crate::identity::named;
use crate::mode::Mode;
use crate::site::{ALICE, BOB, Site};
use crate::support::gateway::{Gateway, Ports, Settings, cli};
use crate::support::port;
use crate::support::process::{Finished, command, run};
use crate::support::pulp::{App, Pulp, program};

/// A Pulp with the settings that `tidegate export pulp` prints, with this scheme in its document, and a gateway.
fn start(scheme: &str, settings: &Settings) -> (Gateway, App) {
    (0..20).find_map(|_| try_start(scheme, settings)).expect("no ports stayed free until they were bound")
}

fn try_start(scheme: &str, settings: &Settings) -> Option<(Gateway, App)> {
    let pulp = Pulp::shared();
    let (dir, ports) = (pulp.new_dir(), Ports::free());
    let settings = Settings { upstream_port: port::free(), ..settings.clone() };
    let render = |ports| settings.render(ports);
    let config = dir.join("gateway.toml");
    std::fs::write(&config, render(ports)).unwrap();
    let text = cli(&config, &["export", "pulp", "--scheme", scheme, "--config", "{config}"]).ok().stdout;
    let api = pulp.try_api(settings.upstream_port, &text)?;
    let gateway = Gateway::try_start(&dir, ports, &render)?;
    Some((gateway, api))
}

/// pulp-cli with these credentials, as options, in a home of its own.
struct Cli<'a> {
    site: &'a Site,
    gateway: &'a Gateway,
    credentials: Vec<String>,
}

impl Cli<'_> {
    fn run(&self, args: &[&str]) -> Finished {
        let home = self.site.dir("cli");
        let mut command = command(&program("pulp"), &home);
        command.args(["--base-url", &format!("http://{}", self.gateway.host())]).args(&self.credentials);
        run(command.args(args), "")
    }
}

/// Lists, creates and uploads with `writer`'s credentials as `subject`; sees those of `other`, who
/// may only read, refused at the gateway.
fn exercise(scheme: &str, settings: &Settings, writer: &[&str], reader: &[&str], (subject, other): (&str, &str)) {
    let site = &Site::start(Mode::Header);
    let (gateway, api) = &start(scheme, settings);
    Pulp::shared().worker();
    // It may know the name already.
    site.api.rest("POST", "users/", Some(&json!({"username": subject})));
    let cli = |credentials: &[&str]| {
        let credentials = credentials.iter().map(ToString::to_string).collect();
        Cli { site, gateway, credentials }
    };
    let (writer, reader) = (cli(writer), cli(reader));
    // Behind the gateway Pulp decides by its own roles, and by the name that the gateway tells it.
    let users = site.api.rest("GET", &format!("users/?username={subject}"), None).expect(200).json();
    let user = users["results"][0]["pulp_href"].as_str().unwrap().trim_start_matches("/pulp/api/v3/").to_owned();
    let role = json!({"role": "file.filerepository_creator", "content_object": null});
    let given = site.api.rest("POST", &format!("{user}roles/"), Some(&role));
    assert!(given.status == 201 || given.text().contains("already"), "{}", given.text());

    let name = site.name("files/one").replace('/', "-");
    let path = format!("{name}.txt");
    std::fs::write(site.dir("cli").join(&path), &name).unwrap();
    let create = ["file", "repository", "create", "--name", &name];
    reader.run(&create).failed(1).says("is not authorized");
    writer.run(&create).ok();
    let list = writer.run(&["file", "repository", "list", "--name-startswith", &name]).ok();
    assert!(list.stdout.contains(&name), "{list}");
    writer.run(&["file", "content", "upload", "--file", &path, "--relative-path", &path, "--repository", &name]).ok();
    let content = writer.run(&["file", "content", "list", "--relative-path", &path]).ok();
    assert!(content.stdout.contains(&path), "{content}");
    let none = reader.run(&["file", "repository", "list", "--name-startswith", &name]).ok();
    assert_eq!(none.stdout.trim(), "[]", "{none}");

    let mut changes = 0;
    for access in api.accesses() {
        assert_eq!(access.authorization, None, "{access:?}");
        let name = access.identity.as_deref();
        if !matches!(access.method.as_str(), "GET" | "HEAD") {
            assert_eq!(name, Some(&*named(subject)), "{access:?}");
            changes += 1;
        } else if access.target.contains("/file/") {
            assert!(name == Some(&named(subject)) || name == Some(&named(other)), "{access:?}");
        }
    }
    assert!(changes >= 2, "a repository and a file: {changes}");
}

#[test]
fn http_basic() {
    let writer = ["--username", ALICE.0, "--password", ALICE.1];
    let reader = ["--username", BOB.0, "--password", BOB.1];
    exercise("basic", &Mode::Header.settings(), &writer, &reader, (ALICE.0, BOB.0));
}

const WRITING: &str = "of-a-program-that-writes";
const READING: &str = "of-a-program-that-reads";

/// Settings with `section`s for a program that may write and one that may read, whose credentials are the above.
fn programs(section: &str, hash: &str, names: (&str, &str)) -> Settings {
    let mut settings = Mode::Header.settings();
    for (name, key, methods) in [(names.0, WRITING, "*"), (names.1, READING, "read")] {
        let digest = KeyHash::of(&Secret::new(key)).to_text();
        let access = "paths = [\"/pulp/api/v3/**\"]\nmethods";
        let rest = &mut settings.rest;
        writeln!(rest, "[{section}.{name}]\n{hash} = \"{digest}\"\n").unwrap();
        writeln!(rest, "[[access]]\nwho = [\"user:{name}\"]\n{access} = [\"{methods}\"]\n").unwrap();
    }
    settings
}

#[test]
fn api_key() {
    let names = ("keyed-writer", "keyed-reader");
    let settings = programs("api_keys", "hash", names);
    // Its own search for a way to log in knows no API keys; a header `Authorization`, though empty, keeps it from searching.
    let header = |key: &str| ["--header", "Authorization:", "--header", &format!("X-Api-Key:{key}")].map(str::to_owned);
    let (writer, reader) = (header(WRITING), header(READING));
    let writer: Vec<&str> = writer.iter().map(String::as_str).collect();
    let reader: Vec<&str> = reader.iter().map(String::as_str).collect();
    exercise("api-key", &settings, &writer, &reader, names);
}

#[test]
fn oauth2_client_credentials() {
    let names = ("client-writer", "client-reader");
    let settings = programs("clients", "secret_hash", names);
    let writer = ["--client-id", names.0, "--client-secret", WRITING];
    let reader = ["--client-id", names.1, "--client-secret", READING];
    exercise("oauth2", &settings, &writer, &reader, names);
}
