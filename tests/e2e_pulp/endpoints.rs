//! Endpoints of Pulp that are not like the rest of its REST API, under the paths that its settings give them.

use crate::mode::Mode;
use crate::site::{ALICE, BOB, Site};
use crate::support::client::skopeo::Skopeo;
use crate::support::gateway::Settings;
use crate::support::http::Request;
use crate::support::image::Image;
use crate::support::pulp::{Access, App, HEADER_MODE, Pulp};

/// What clients asked of Pulp: the gateway itself looks whether it is there.
fn asked(api: &App) -> Vec<Access> {
    api.accesses().into_iter().filter(|access| access.target != "/v2/").collect()
}

#[test]
fn status_and_document_are_for_everyone_and_tell_pulp_of_nobody() {
    let api = Pulp::shared().api(HEADER_MODE);
    let gateway = Mode::in_front_of(&api, &Mode::Header.settings());
    // What the harness itself asks for is left out of the log, and that is `status/` as it is spelt there.
    for target in
        ["/pulp/api/v3/status/?x", "/pulp/api/v3/docs/api.json", "/pulp/api/v3/livez/", "/pulp/api/v3/st%61tus/?x"]
    {
        Request::new(gateway.port, "GET", target).send().expect(200);
        Request::new(gateway.port, "GET", target).basic(ALICE.0, ALICE.1).send().expect(200);
        Request::new(gateway.port, "GET", target).basic("admin", "wrong").send().expect(200);
        Request::new(gateway.port, "POST", target).send().expect(401);
    }
    let accesses = asked(&api);
    assert_eq!(accesses.len(), 12, "{accesses:#?}");
    for access in accesses {
        assert_eq!((&access.method[..], &access.identity, &access.authorization), ("GET", &None, &None));
    }
}

#[test]
fn pulps_own_ways_to_log_in_are_closed_unless_a_route_names_them() {
    let api = Pulp::shared().api(HEADER_MODE);
    let mut settings = Mode::Header.settings();
    settings.rest.push_str("[[route]]\nprefix = \"/\"\nupstream = \"registry\"\nauth = \"api\"\n\n");
    settings.rest.push_str("[[access]]\nwho = [\"authenticated\"]\npaths = [\"/**\"]\nmethods = [\"*\"]\n\n");
    let gateway = Mode::in_front_of(&api, &settings);
    let ask = |method, target| Request::new(gateway.port, method, target).basic(ALICE.0, ALICE.1).send();
    for target in [
        "/pulp/api/v3/login/",
        "/pulp/api/v3/%6cogin/",
        "/pulp/%61pi/v3/login/",
        "/pulp/api/v3/login",
        "/token/",
        "/%74oken/",
        "/auth/login/",
        "/auth/",
        "/admin/",
    ] {
        for method in ["GET", "POST"] {
            ask(method, target).expect(404);
        }
    }
    assert_eq!(asked(&api), []);

    settings.rest.push_str("[[route]]\nprefix = \"/pulp/api/v3/login/\"\nupstream = \"registry\"\nauth = \"api\"\n\n");
    let gateway = Mode::in_front_of(&api, &settings);
    let login = Request::new(gateway.port, "POST", "/pulp/api/v3/login/").basic(ALICE.0, ALICE.1).send().expect(201);
    assert!(login.header("set-cookie").is_some(), "{login:?}");
}

/// Settings of a Pulp with domains below another root, and of a gateway in front of it.
fn moved(content: &App) -> (String, Settings) {
    let mut settings = Mode::Header.settings();
    let shared = format!("127.0.0.1:{}", Pulp::shared().content().port);
    let own = format!("127.0.0.1:{}", content.port);
    settings.upstream = settings.upstream.replace(&shared, &own) + "\napi_root = \"/moved/\"\ndomains = true";
    settings.rest = settings.rest.replace(&shared, &own).replace("/pulp/api/v3/", "/moved/");
    settings.rest = settings.rest.replace("\"team/**\"", "\"default/team/**\"");
    (format!("{HEADER_MODE}{MOVED}"), settings)
}

const MOVED: &str = "API_ROOT = \"/moved/\"\nDOMAIN_ENABLED = True\n";

#[test]
fn domains_below_another_root_are_the_same_behind_the_gateway() {
    let pulp = Pulp::shared();
    let content = pulp.content_app(&format!("{HEADER_MODE}{MOVED}"));
    let (text, settings) = moved(&content);
    let api = pulp.api(&text);
    let gateway = Mode::in_front_of(&api, &settings);
    for root in ["/moved/", "/moved/default/"] {
        Request::new(gateway.port, "GET", &format!("{root}api/v3/status/?x")).send().expect(200);
        Request::new(gateway.port, "GET", &format!("{root}api/v3/docs/api.json")).send().expect(200);
        let login = format!("{root}api/v3/login/");
        Request::new(gateway.port, "POST", &login).basic(ALICE.0, ALICE.1).send().expect(404);
        Request::new(gateway.port, "GET", &format!("{root}api/v3/tasks/")).basic(ALICE.0, ALICE.1).send();
    }
    let tasks =
        Request::new(gateway.port, "GET", "/moved/default/api/v3/tasks/").basic(ALICE.0, ALICE.1).send().expect(200);
    assert!(tasks.json()["results"].is_array());

    let site = Site::start(Mode::Header);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image: Image = site.image("image");
    let name = format!("default/{}", site.name("team/app"));
    let repository = format!("{}/{name}", gateway.host());
    skopeo.push(ALICE, &image, &repository).ok();
    skopeo.push(ALICE, &image, &format!("{repository}-copy")).ok();
    skopeo.pull(Some(BOB), &format!("{repository}:v1"), "out").ok();
    skopeo.push(BOB, &site.image("other"), &format!("{repository}-other")).failed(1).says("bob may not push to");
    let mounts = api.accesses_of(&format!("{name}-copy"));
    assert!(mounts.iter().any(|access| access.target.contains("mount=") && access.status == 201), "{mounts:#?}");
    let blobs = content.accesses();
    assert!(blobs.iter().any(|access| access.target.starts_with("/pulp/container/default/")), "{blobs:#?}");
}
