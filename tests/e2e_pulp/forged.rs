//! What clients make up reaches Pulp in no spelling.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate::clock::Clock;

use crate::identity::named;
use crate::mode::Mode;
use crate::site::{ALICE, BOB, Site, settled};
use crate::support::client::skopeo::Skopeo;
use crate::support::http::Request;
use crate::support::pulp::{ADMIN, HEADER_MODE, Pulp};

const HEADER: &str = "X-Authentication-Service";

/// A value of the header for `user`, one with padding at its end.
fn forged(user: &str) -> String {
    let mut document = named(user);
    while document.len().is_multiple_of(3) {
        document.push(' ');
    }
    STANDARD.encode(document)
}

#[test]
fn a_forged_identity_makes_nobody_else_of_a_caller() {
    let site = Site::start(Mode::Header);
    let admin = forged("admin");
    let target = |n: usize| format!("/pulp/api/v3/users/?username=forged-{n}-{}", site.name("team/app"));
    let direct =
        |header: &str, value: &str| Request::new(site.api.port, "GET", &target(0)).header(header, value).send();
    direct(HEADER, &admin).expect(200);
    // Its Base64 is decoded loosely, and of two the first one counts.
    direct(HEADER, &format!("-_{admin}")).expect(200);
    let twice = |request: Request| request.header(HEADER, &admin).header(HEADER, &forged("bob"));
    twice(Request::new(site.api.port, "GET", &target(0))).send().expect(200);

    let spellings = [
        (HEADER, admin.clone()),
        ("x-authentication-service", admin.clone()),
        ("X_Authentication_Service", admin.clone()),
        ("X-Authentication_Service", admin.clone()),
        ("HTTP_X_AUTHENTICATION_SERVICE", admin.clone()),
        ("X.Authentication.Service", admin.clone()),
        (HEADER, format!("-_{admin}")),
        (HEADER, String::new()),
        (HEADER, "no Base64!".to_owned()),
        (HEADER, STANDARD.encode("[1]")),
    ];
    for (n, (header, value)) in spellings.iter().enumerate() {
        let ask = || Request::new(site.gateway.port, "GET", &target(n + 1)).header(header, value);
        ask().send().expect(401);
        ask().basic(BOB.0, BOB.1).send();
        ask().header("Connection", header).basic(BOB.0, BOB.1).send();
        ask().header(HEADER, &admin).basic(BOB.0, BOB.1).send();
        let asked = || site.api.accesses().into_iter().filter(|access| access.target == target(n + 1)).collect();
        let ours = settled(3, asked);
        assert_eq!(ours.len(), 3, "{header}: {value}: {ours:#?}");
        for access in ours {
            assert_eq!(access.identity.as_deref(), Some(&*named("bob")), "{header}: {value}");
        }
    }
}

#[test]
fn the_content_app_is_told_of_nobody_by_clients() {
    // It honours the spelling that the API app ignores.
    let site = Site::start(Mode::Header);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    skopeo.push(ALICE, &image, &site.repository("public/app")).ok();
    let blob = format!("/v2/{}/blobs/{}", site.name("public/app"), image.layers[0]);
    let redirect = Request::new(site.gateway.port, "GET", &blob).basic(BOB.0, BOB.1).send().expect(302);
    let target = redirect.header("location").unwrap().to_owned();
    assert!(target.starts_with("/pulp/container/") && target.contains("validate_token="), "{target}");
    let expires = target.split(['?', '&']).find_map(|pair| pair.strip_prefix("expires=")).unwrap();
    let left = expires.parse::<u64>().unwrap().saturating_sub(Clock::System.now());
    assert!((3500..=3600).contains(&left), "an hour: {left} s");
    let content = Pulp::shared().content();
    for header in ["X_Authentication_Service", HEADER] {
        Request::new(site.gateway.port, "GET", &target).header(header, &forged("admin")).send().expect(200);
    }
    let accesses = content.accesses();
    let ours: Vec<_> = accesses.iter().filter(|access| access.target == target).collect();
    assert_eq!(ours.len(), 2, "{accesses:#?}");
    for access in ours {
        assert_eq!((&access.identity, &access.authorization), (&None, &None));
    }
    // The signed query is what opens it, and only what it was signed for.
    let unsigned = target.split_once('?').unwrap().0;
    Request::new(site.gateway.port, "GET", unsigned).send().expect(403);
    let other = target.replace(&image.layers[0], &image.layers[1]);
    Request::new(site.gateway.port, "GET", &other).send().expect(403);
}

#[test]
fn credentials_for_pulp_itself_do_not_reach_it() {
    let site = Site::start(Mode::Header);
    // Basic credentials beside the header would overrule it at Pulp.
    let request = Request::new(site.api.port, "GET", "/v2/").header(HEADER, &forged("bob"));
    request.basic(ADMIN.0, "wrong").send().expect(401);
    // A token beside it says nothing.
    Request::new(site.api.port, "GET", "/v2/").header(HEADER, &forged("bob")).bearer("x").send().expect(200);

    let tags = format!("/v2/{}/tags/list", site.name("public/app"));
    let users = format!("/pulp/api/v3/users/?username={}", site.name("team/app"));
    for target in [&tags, &users] {
        Request::new(site.gateway.port, "GET", target).basic(ADMIN.0, ADMIN.1).send().expect(401);
        Request::new(site.gateway.port, "GET", target).basic(ALICE.0, ALICE.1).send();
    }
    let accesses = site.api.accesses();
    let ours: Vec<_> = accesses.iter().filter(|access| [&tags, &users].contains(&&access.target)).collect();
    assert_eq!(ours.len(), 2, "{ours:#?}");
    for access in ours {
        assert_eq!(access.authorization, None);
        assert_eq!(access.identity.as_deref(), Some(&*named("alice")));
    }
}

#[test]
fn a_session_of_pulp_opens_nothing() {
    let sessions = HEADER_MODE.replace(
        "\"pulpcore.app.authentication.BasicAuthentication\",",
        "\"rest_framework.authentication.SessionAuthentication\",",
    );
    let api = Pulp::shared().api(&sessions);
    let login = Request::new(api.port, "POST", "/pulp/api/v3/login/").header(HEADER, &forged("admin")).send();
    let cookies = login.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value);
    let mut pairs = cookies.filter_map(|cookie| cookie.split(';').next());
    let session = pairs.find(|pair| pair.starts_with("sessionid=")).unwrap_or_else(|| panic!("{login:?}"));
    let ask = |port| Request::new(port, "GET", "/pulp/api/v3/users/").header("Cookie", session);
    ask(api.port).send().expect(200);

    let gateway = Mode::in_front_of(&api, &Mode::Header.settings());
    ask(gateway.port).send().expect(401);
    // bob has no role in Pulp.
    ask(gateway.port).basic(BOB.0, BOB.1).send().expect(403);
}
