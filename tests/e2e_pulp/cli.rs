//! pulp-cli through the gateway, with each scheme that Pulp's own OpenAPI document can tell it of.

use serde_json::json;

use crate::identity::named;
use crate::mode::{Mode, introduce};
use crate::site::{ALICE, BOB, Site};
use crate::support::gateway::{Gateway, Settings};
use crate::support::process::{Finished, command, run};
use crate::support::pulp::{App, HEADER_MODE, Pulp, program};

/// Settings in which the identity header is the only way in, and the document names `scheme` for it.
fn advertising(scheme: &str) -> String {
    // With a second class pulp-cli finds two ways in, and cannot choose.
    let only = HEADER_MODE.replace("\"pulpcore.app.authentication.BasicAuthentication\",", "");
    format!("{only}AUTHENTICATION_JSON_HEADER_OPENAPI_SECURITY_SCHEME = {scheme}\n")
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

/// Lists, creates and uploads with `writer`'s credentials as `subject`; sees `reader`'s refused at the gateway.
fn exercise(site: &Site, api: &App, gateway: &Gateway, writer: &[&str], reader: &[&str], subject: &str) {
    Pulp::shared().worker();
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
            assert!(name == Some(&named(subject)) || name == Some(&named("bob")), "{access:?}");
        }
    }
    assert!(changes >= 2, "a repository and a file: {changes}");
}

/// Pulp's document and status without credentials: pulp-cli always asks so for them.
fn settings() -> Settings {
    let mut settings = Mode::Header.settings();
    for path in ["/pulp/api/v3/docs/api.json", "/pulp/api/v3/status/"] {
        let route = format!("[[route]]\nprefix = \"{path}\"\nupstream = \"registry\"\nauth = \"public\"\n\n");
        settings.rest.push_str(&route);
    }
    settings
}

#[test]
fn http_basic() {
    let site = Site::start(Mode::Header);
    introduce(site.api);
    let api = Pulp::shared().api(&advertising(r#"{"type": "http", "scheme": "basic"}"#));
    let gateway = Mode::in_front_of(&api, &settings());
    let writer = ["--username", ALICE.0, "--password", ALICE.1];
    let reader = ["--username", BOB.0, "--password", BOB.1];
    exercise(&site, &api, &gateway, &writer, &reader, ALICE.0);
}
