//! Paths that Pulp reads in another way than they are written never change what is decided.

use crate::mode::Mode;
use crate::site::{ALICE, BOB, CAROL, Site};
use crate::support::client::skopeo::Skopeo;
use crate::support::http::Request;

/// A site with `private/app`, which is carol's.
fn site() -> Site {
    let site = Site::start(Mode::Header);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    skopeo.push(CAROL, &site.image("image"), &site.repository("private/app")).ok();
    site
}

#[test]
fn spellings_of_a_repository_are_judged_as_what_pulp_takes_them_for_or_refused() {
    let site = site();
    let name = site.name("private/app");
    let (first, rest) = name.split_once('/').unwrap();
    let (dir, last) = name.rsplit_once('/').unwrap();
    // Pulp decodes a path once and takes dots and empty segments for names.
    let same = [
        format!("/v2/{first}/{}/tags/list", rest.replace("app", "%61pp")),
        format!("/%76%32/{name}/tags/list"),
        format!("/v2/{name}/%74ags/list"),
    ];
    let same_to_pulp_only = [format!("/v2/{}/tags/list", name.replace('/', "%2F")), format!("/v2%2f{name}/tags/list")];
    let others = [
        format!("/v2/team/../{name}/tags/list"),
        format!("/v2/team/%2e%2e/{name}/tags/list"),
        format!("/v2/team/%2e%2E%2f{name}/tags/list"),
        format!("/v2/{dir}/./{last}/tags/list"),
        format!("/v2/{dir}/%2e/{last}/tags/list"),
        format!("/v2/{dir}//{last}/tags/list"),
        format!("/v2//{name}/tags/list"),
        format!("//v2/{name}/tags/list"),
        format!("/v2/{name}%00/tags/list"),
        format!("/v2/team%00/{name}/tags/list"),
        format!("/v2/{name}%5c/tags/list"),
        format!("/v2/{name};/tags/list"),
        format!("/v2/{}/tags/list", name.to_uppercase()),
        format!("/v2/{name}/tags%2flist"),
        format!("/v2/{name}/tags/list/%2e%2e"),
        format!("/v2/%ff{name}/tags/list"),
        format!("/v2/team/app/../../{name}/tags/list"),
    ];
    let before = site.accesses("private/app");
    let ask =
        |user: (&str, &str), target: &str| Request::new(site.gateway.port, "GET", target).basic(user.0, user.1).send();
    for target in same.iter().chain(&same_to_pulp_only).chain(&others) {
        let answer = ask(BOB, target);
        assert!((400..405).contains(&answer.status), "{target}: {answer:?}");
    }
    // What is none of a repository's canonical names is nothing for those who may either.
    for target in same_to_pulp_only.iter().chain(&others) {
        let answer = ask(CAROL, target);
        assert!((400..405).contains(&answer.status), "{target}: {answer:?}");
    }
    assert_eq!(site.accesses("private/app"), before);
    let asked = |target: &String| same.iter().chain(&same_to_pulp_only).chain(&others).any(|asked| asked == target);
    let seen = site.api.accesses();
    assert!(seen.iter().all(|access| !asked(&access.target)), "{seen:#?}");

    for target in &same {
        ask(CAROL, target).expect(200);
        assert_eq!(site.accesses("private/app").last().unwrap().target, format!("/v2/{name}/tags/list"));
    }
    // They are no idle precautions.
    for target in same.iter().chain(&same_to_pulp_only) {
        Request::new(site.api.port, "GET", target).send().expect(200);
    }
    Request::new(site.api.port, "GET", &format!("/v2/{name}%00/tags/list")).send().expect(500);
}

#[test]
fn spellings_of_a_path_of_the_rest_api_are_judged_alike() {
    let site = Site::start(Mode::Header);
    // bob may read below /pulp/api/v3/, carol may not.
    let ask =
        |user: (&str, &str), target: &str| Request::new(site.gateway.port, "GET", target).basic(user.0, user.1).send();
    for target in ["/pulp/api/v3/tasks/?name=x", "/pulp/api/v3/t%61sks/?name=x", "/pulp/%61pi/v3/tasks/?name=x"] {
        ask(CAROL, target).expect(403);
        ask(BOB, target).expect(200);
    }
    for target in [
        "/pulp%2fapi/v3/tasks/?x",
        "/pulp/api/v3%2Ftasks/?x",
        "/pulp/content/../api/v3/tasks/?x",
        "/pulp/content/%2e%2e/api/v3/tasks/?x",
        "/pulp//api/v3/tasks/?x",
        "/pulp/api/v3/tasks%00/?x",
        "/pulp/api/v3/./tasks/?x",
        "//pulp/api/v3/tasks/?x",
    ] {
        for user in [ALICE, BOB, CAROL] {
            let answer = ask(user, target);
            assert!((400..405).contains(&answer.status), "{target}: {answer:?}");
        }
    }
    let seen = site.api.accesses();
    assert!(seen.iter().all(|access| !access.target.ends_with("?x")), "{seen:#?}");
    Request::new(site.api.port, "GET", "/pulp%2fapi/v3/status/").send().expect(200);
}

#[test]
fn script_name_rewrites_no_path() {
    let site = site();
    let (team, private) = (site.name("team/app"), site.name("private/app"));
    let skopeo = Skopeo::new(site.dir("other-skopeo"));
    skopeo.push(ALICE, &site.image("other-image"), &site.repository("team/app")).ok();
    let tags = |port, header: &str, value: &str, target: &str| {
        Request::new(port, "GET", target).basic(BOB.0, BOB.1).header(header, value).send()
    };
    // gunicorn takes the value off the front of the path.
    let target = format!("/v2/{team}/tags/list");
    let prefix = format!("/v2/{team}");
    let direct = |header| Request::new(site.api.port, "GET", &target).header(header, &prefix).send();
    assert_ne!(direct("SCRIPT_NAME").status, 200, "Pulp takes the header to heart");
    let before = site.accesses("private/app");
    for header in ["SCRIPT_NAME", "Script-Name", "script_name", "PATH_INFO", "Path-Info"] {
        let answer = tags(site.gateway.port, header, &prefix, &target).expect(200);
        assert_eq!(answer.json()["name"], team.as_str(), "{header}");
        let hidden = format!("/v2/{private}/tags/list");
        tags(site.gateway.port, header, "/v2", &hidden).expect(403);
    }
    assert_eq!(site.accesses("private/app"), before);
}
