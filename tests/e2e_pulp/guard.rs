//! The content app believes the spelling of the identity header that the API app ignores: what is guarded there stays so.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::identity::named;
use crate::mode::Mode;
use crate::site::{BOB, Site};
use crate::support::http::{Reply, Request};
use crate::support::pulp::{ADMIN, App, Pulp};
use crate::support::until;

/// Makes something in Pulp; what the answer or the end of its task tells.
fn make(api: &App, target: &str, body: &Value) -> Value {
    done(api, &api.rest("POST", target, Some(body)))
}

/// What has been made: at once, or by a task.
fn done(api: &App, answer: &Reply) -> Value {
    assert!(matches!(answer.status, 201 | 202), "{}: {}", answer.status, answer.text());
    let answer = answer.json();
    let Some(task) = answer["task"].as_str() else { return answer };
    let task = task.strip_prefix("/pulp/api/v3/").unwrap();
    until("Pulp does it", Duration::from_secs(60), || {
        let task = api.rest("GET", task, None).expect(200).json();
        let state = task["state"].as_str().unwrap();
        assert!(matches!(state, "waiting" | "running" | "completed"), "{task}");
        (state == "completed").then_some(task)
    })
}

/// Uploads a file into a repository.
fn upload(api: &App, name: &str, repository: &str) {
    let part = |name: &str, more: &str, value: &str| {
        format!("--cut\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{value}\r\n")
    };
    let parts = [
        part("relative_path", "", name),
        part("repository", "", repository),
        part("file", &format!("; filename=\"{name}\""), name),
    ];
    let body = parts.concat() + "--cut--\r\n";
    let request = Request::new(api.port, "POST", "/pulp/api/v3/content/file/files/").basic(ADMIN.0, ADMIN.1);
    done(api, &request.header("Content-Type", "multipart/form-data; boundary=cut").body(body.as_bytes()).send());
}

#[test]
fn what_is_guarded_is_opened_by_no_header_of_a_client() {
    let site = Site::start(Mode::Header);
    let api = site.api;
    Pulp::shared().worker();
    let name = site.name("files/guarded").replace('/', "-");
    let repository = make(api, "repositories/file/file/", &json!({"name": name, "autopublish": true}));
    let repository = repository["pulp_href"].as_str().unwrap();
    upload(api, &name, repository);
    let guard = make(api, "contentguards/core/rbac/", &json!({"name": name}));
    let distribution =
        json!({"name": name, "base_path": name, "repository": repository, "content_guard": guard["pulp_href"]});
    make(api, "distributions/file/file/", &distribution);

    let target = format!("/pulp/content/{name}/{name}");
    let admin = STANDARD.encode(named(ADMIN.0));
    let ask = |port, header: &str| Request::new(port, "GET", &target).header(header, &admin);
    let content = Pulp::shared().content().port;
    let open = ask(content, "X_Authentication_Service").send().expect(200);
    assert_eq!(open.text(), name);
    ask(content, "X-Authentication-Service").send().expect(403);
    let spellings = [
        "X_Authentication_Service",
        "X-Authentication-Service",
        "x_authentication_service",
        "X-Authentication_Service",
    ];
    for header in spellings {
        ask(site.gateway.port, header).send().expect(403);
        ask(site.gateway.port, header).basic(BOB.0, BOB.1).send().expect(403);
        ask(site.gateway.port, header).header("Connection", header).send().expect(403);
    }
}
