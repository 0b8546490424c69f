//! pulp-cli through the gateway, with each scheme that Pulp's own OpenAPI document can tell it of.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use tidegate::authn::KeyHash;
use tidegate::secret::Secret;

use crate::identity::named;
use crate::mode::Mode;
use crate::site::{ALICE, BOB, Site};
use crate::stand;
use crate::support::gateway::{Gateway, Settings, cli};
use crate::support::http::Request;
use crate::support::process::{Finished, command, run};
use crate::support::pulp::{ADMIN, App, Pulp, program};

/// A Pulp with the settings that `tidegate export pulp` prints, with this scheme in its document, and a gateway.
fn start(scheme: &str, settings: &Settings) -> (Gateway, App) {
    let config = |ports, api| Settings { upstream_port: api, ..settings.clone() }.render(ports);
    let export =
        |config: &Path, _| cli(config, &["export", "pulp", "--scheme", scheme, "--config", "{config}"]).ok().stdout;
    stand::start(&config, &export)
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

/// What Pulp says of how to log in.
fn described(gateway: &Gateway) -> Value {
    let document = Request::new(gateway.port, "GET", "/pulp/api/v3/docs/api.json").send().expect(200).json();
    let list = &document["paths"]["/pulp/api/v3/repositories/file/file/"]["get"]["security"];
    let mut schemes = document["components"]["securitySchemes"].clone();
    // Each operation takes all that there are.
    let named = list.as_array().unwrap().iter().flat_map(|one| one.as_object().unwrap().keys());
    assert!(named.eq(schemes.as_object().unwrap().keys()), "{list} {schemes}");
    if let Some(flow) = schemes.pointer_mut("/json_header_remote_authentication/flows/clientCredentials") {
        let url = flow["tokenUrl"].take();
        assert_eq!(url, format!("http://{}/token", gateway.host()));
    }
    schemes
}

/// Lists, creates and uploads with `writer`'s credentials as `subject`; sees those of `other`, who
/// may only read, refused at the gateway.
fn exercise(
    scheme: &str,
    settings: &Settings,
    (writer, reader): Pair<'_>,
    (subject, other): (&str, &str),
) -> (Gateway, App) {
    let site = &Site::start(Mode::Header);
    let (gateway, api) = start(scheme, settings);
    Pulp::shared().worker();
    // It may know the name already.
    site.api.rest("POST", "users/", Some(&json!({"username": subject})));
    let cli = |credentials: &[&str]| {
        let credentials = credentials.iter().map(ToString::to_string).collect();
        Cli { site, gateway: &gateway, credentials }
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
    (gateway, api)
}

/// The options of somebody who may write, and of somebody who may read.
type Pair<'a> = (&'a [&'a str], &'a [&'a str]);

#[test]
fn http_basic() {
    let writer = ["--username", ALICE.0, "--password", ALICE.1];
    let reader = ["--username", BOB.0, "--password", BOB.1];
    let (gateway, _api) = exercise("basic", &Mode::Header.settings(), (&writer, &reader), (ALICE.0, BOB.0));
    let basic = json!({"type": "http", "scheme": "basic"});
    assert_eq!(described(&gateway), json!({"json_header_remote_authentication": basic}));
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

/// pulp-cli has no way to send a key but as a password, and chooses what the document says of passwords.
#[test]
fn api_key() {
    let names = ("key-writer", "key-reader");
    let settings = programs("api_keys", "hash", names);
    let writer = ["--username", names.0, "--password", WRITING];
    let reader = ["--username", names.1, "--password", READING];
    let (gateway, _api) = exercise("api-key", &settings, (&writer, &reader), names);
    let key = json!({"type": "apiKey", "in": "header", "name": "x-api-key"});
    let basic = json!({"type": "http", "scheme": "basic"});
    let both = json!({"json_header_remote_authentication": key, "remoteUserAuthentication": basic});
    assert_eq!(described(&gateway), both);
    // Other clients go by what is said of keys.
    let ask =
        |name: &str, value: &str| Request::new(gateway.port, "GET", "/pulp/api/v3/tasks/").header(name, value).send();
    ask("x-api-key", READING).expect(200);
    ask("x-api-key", "wrong").expect(401);
    // And what the web server is believed to say, no client can.
    for name in ["Remote-User", "REMOTE_USER", "X-Remote-User", "HTTP_REMOTE_USER"] {
        ask(name, ADMIN.0).expect(401);
    }
    let users = Request::new(gateway.port, "GET", "/pulp/api/v3/users/").header("Remote-User", ADMIN.0);
    users.basic(names.1, READING).send().expect(403);
}

#[test]
fn oauth2_client_credentials() {
    let names = ("client-writer", "client-reader");
    let settings = programs("clients", "secret_hash", names);
    let writer = ["--client-id", names.0, "--client-secret", WRITING];
    let reader = ["--client-id", names.1, "--client-secret", READING];
    let (gateway, _api) = exercise("oauth2", &settings, (&writer, &reader), names);
    let scopes = json!({"api:read": "Read by the REST API", "api:write": "Change by the REST API"});
    let flow = json!({"clientCredentials": {"tokenUrl": null, "scopes": scopes}});
    assert_eq!(described(&gateway), json!({"json_header_remote_authentication": {"type": "oauth2", "flows": flow}}));
}
