use http::Method;
use proptest::prelude::*;

use super::{Endpoint, Paths, Standing};
use crate::registry::path::RequestPath;

fn pulp() -> Paths {
    Paths::new("/pulp/", false)
}

/// The endpoint of a raw path, and the part that names it; the path must be one that is let in at all.
fn endpoint(paths: &Paths, raw: &str) -> Option<(Endpoint, String)> {
    let path = RequestPath::parse(raw).unwrap();
    paths.endpoint(&path).map(|(endpoint, at)| (endpoint, at.to_owned()))
}

fn standing(method: &Method, raw: &str, prefix: &str) -> Standing {
    pulp().standing(method, &RequestPath::parse(raw).unwrap(), prefix)
}

#[test]
fn endpoints_are_where_pulp_has_them() {
    for (raw, expected, at) in [
        ("/pulp/api/v3/status/", Endpoint::Status, "/pulp/api/v3/status"),
        ("/pulp/api/v3/status", Endpoint::Status, "/pulp/api/v3/status"),
        ("/pulp/api/v3/livez/", Endpoint::Livez, "/pulp/api/v3/livez"),
        ("/pulp/api/v3/docs/api.json", Endpoint::ApiDocument, "/pulp/api/v3/docs/api.json"),
        ("/pulp/api/v3/login/", Endpoint::Login, "/pulp/api/v3/login"),
        ("/pulp/api/v3/login", Endpoint::Login, "/pulp/api/v3/login"),
        ("/pulp/api/v3/login/x/y", Endpoint::Login, "/pulp/api/v3/login"),
        ("/token/", Endpoint::Doorway, "/token"),
        ("/token", Endpoint::Doorway, "/token"),
        ("/auth/login/", Endpoint::Doorway, "/auth"),
        ("/admin/login/", Endpoint::Doorway, "/admin"),
        ("/saml2/acs/", Endpoint::Doorway, "/saml2"),
        ("/complete/github/", Endpoint::Doorway, "/complete"),
    ] {
        assert_eq!(endpoint(&pulp(), raw), Some((expected, at.to_owned())), "{raw}");
    }
    for raw in [
        "/",
        "/pulp/",
        "/pulp/api/v3/",
        "/pulp/api/v3/users/",
        "/pulp/api/v3/status/x",
        "/pulp/api/v3/status;x/",
        "/pulp/api/v3/Status/",
        "/pulp/api/v4/status/",
        "/pulp/api/v3/docs/",
        "/pulp/api/v3/docs/apixjson",
        "/pulp/api/v3/logins/",
        "/pulp/api/v3/users/login/",
        "/pulp/login/",
        "/pulp/token/",
        "/pulpx/api/v3/status/",
        "/other/api/v3/status/",
        "/api/v3/status/",
        "/pulp/default/api/v3/status/",
        "/tokens/",
    ] {
        assert_eq!(endpoint(&pulp(), raw), None, "{raw}");
    }
}

#[test]
fn every_domain_has_them() {
    let with = Paths::new("/pulp/", true);
    for (raw, expected) in [
        ("/pulp/team-a/api/v3/status/", Endpoint::Status),
        ("/pulp/api/v3/status/", Endpoint::Status),
        ("/pulp/api/api/v3/status/", Endpoint::Status),
        ("/pulp/team_b/api/v3/docs/api.json", Endpoint::ApiDocument),
        ("/pulp/team-a/api/v3/login/", Endpoint::Login),
    ] {
        assert_eq!(endpoint(&with, raw).map(|(endpoint, _)| endpoint), Some(expected), "{raw}");
    }
    for raw in ["/pulp/a/b/api/v3/status/", "/pulp/a.b/api/v3/status/", "/pulp/%20/api/v3/status/"] {
        assert_eq!(endpoint(&with, raw), None, "{raw}");
    }
}

#[test]
fn a_moved_root_moves_them() {
    let root = Paths::new("/", true);
    assert_eq!(endpoint(&root, "/api/v3/status/").unwrap().0, Endpoint::Status);
    assert_eq!(endpoint(&root, "/default/api/v3/livez/").unwrap().0, Endpoint::Livez);
    assert_eq!(endpoint(&root, "/token/").unwrap().0, Endpoint::Doorway);
    let moved = Paths::new("/a/b/", false);
    assert_eq!(endpoint(&moved, "/a/b/api/v3/status/").unwrap().0, Endpoint::Status);
    assert_eq!(endpoint(&moved, "/pulp/api/v3/status/"), None);
    // Whoever has their API there means the API.
    let odd = Paths::new("/auth/", false);
    assert_eq!(endpoint(&odd, "/auth/api/v3/users/"), None);
    assert_eq!(endpoint(&odd, "/auth/api/v3/login/").unwrap().0, Endpoint::Login);
}

#[test]
fn no_spelling_opens_the_login() {
    for raw in [
        "/pulp/api/v3/login/",
        "/pulp/api/v3/login",
        "/pulp/api/v3/%6cogin/",
        "/pulp/api/v3/%6C%6F%67%69%6E",
        "/%70ulp/%61pi/v3/login/",
        "/pulp/api/v3/LOGIN/",
        "/pulp/API/v3/Login/",
        "/pulp/api/v4/login/",
        "/pulp/team/api/v3/login/",
        "/moved/away/api/v3/login/",
        "/api/v3/login/",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
            for prefix in ["/", "/pulp/", "/pulp/api/v3/", "/pulp/api/v3"] {
                assert_eq!(standing(&method, raw, prefix), Standing::Closed, "{method} {raw} {prefix}");
            }
        }
    }
    // What two servers could read in two ways gets no further than this.
    for raw in [
        "/pulp/api/v3/x/../login/",
        "/pulp/api/v3/x/%2e%2e/login/",
        "/pulp/api/v3//login/",
        "/pulp/api/v3%2flogin/",
        "/pulp/api/v3/login%00",
        "/pulp/api/v3/login%0a",
        "/pulp/api/v3/;/../login/",
        "/pulp/api/v3\\login/",
    ] {
        assert!(RequestPath::parse(raw).is_err(), "{raw}");
    }
    // To Pulp this is a segment that is no `login`; the semicolon goes upstream escaped.
    let path = RequestPath::parse("/pulp/api/v3/login;x/").unwrap();
    assert_eq!((pulp().endpoint(&path), path.encoded().as_str()), (None, "/pulp/api/v3/login%3Bx/"));
}

#[test]
fn only_reading_is_public() {
    for (method, expected) in [
        (Method::GET, Standing::Public),
        (Method::HEAD, Standing::Public),
        (Method::OPTIONS, Standing::Judged),
        (Method::POST, Standing::Judged),
        (Method::DELETE, Standing::Judged),
    ] {
        assert_eq!(standing(&method, "/pulp/api/v3/st%61tus/", "/pulp/api/v3/"), expected, "{method}");
    }
}

#[test]
fn a_route_for_the_endpoint_says_itself() {
    for (raw, prefix) in [
        ("/pulp/api/v3/status/", "/pulp/api/v3/status/"),
        ("/pulp/api/v3/status/", "/pulp/api/v3/status"),
        ("/pulp/api/v3/login/", "/pulp/api/v3/login/"),
        ("/pulp/api/v3/login/x/", "/pulp/api/v3/login/x/"),
        ("/token/", "/token/"),
        ("/auth/login/", "/auth/"),
        ("/auth/login/", "/auth/login/"),
    ] {
        assert_eq!(standing(&Method::GET, raw, prefix), Standing::Judged, "{raw} {prefix}");
    }
    assert_eq!(standing(&Method::GET, "/auth/login/", "/"), Standing::Closed);
}

proptest! {
    /// Escaping any of its characters, or none, changes nothing about a path.
    #[test]
    fn spelling_never_matters(
        raw in prop::sample::select(vec![
            "/pulp/api/v3/status/", "/pulp/api/v3/login/", "/pulp/d/api/v3/login", "/token/", "/pulp/api/v3/users/",
        ]),
        escaped in prop::collection::vec(any::<bool>(), 24),
    ) {
        let spelt: String = raw.chars().zip(escaped.iter().chain(std::iter::repeat(&false))).map(|(char, escape)| {
            if *escape && char != '/' { format!("%{:02x}", u32::from(char)) } else { char.to_string() }
        }).collect();
        for prefix in ["/", "/pulp/", "/pulp/api/v3/login/"] {
            prop_assert_eq!(standing(&Method::GET, &spelt, prefix), standing(&Method::GET, raw, prefix));
        }
        prop_assert_eq!(RequestPath::parse(&spelt).unwrap().encoded(), raw);
    }

    /// What is public is what it says, to the letter.
    #[test]
    fn little_is_public(raw in "/(pulp|x)/(d/)?(api|API)/v[34]/(status|login|livez|docs/api.json|users)(/|/x|x)?") {
        let Ok(path) = RequestPath::parse(&raw) else { return Ok(()) };
        let open = Paths::new("/pulp/", true).standing(&Method::GET, &path, "/") == Standing::Public;
        let rest = raw.strip_prefix("/pulp/").map(|rest| rest.strip_prefix("d/").unwrap_or(rest));
        let named = ["api/v3/status", "api/v3/livez", "api/v3/docs/api.json"];
        prop_assert_eq!(open, rest.is_some_and(|rest| named.contains(&rest.strip_suffix('/').unwrap_or(rest))));
    }
}
