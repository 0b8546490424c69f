//! An upstream that points elsewhere moves no secret there (distribution CVE-2026-33540, oras-go GHSA-xf85-363p-868w): the gateway
//! follows neither its challenges nor its redirects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::site::{ALICE, SETUP, Setup, Site, blob};
use crate::support::upstream::{self, Upstream, answer_with};

/// The password of the gateway's own account at the upstream.
const OWN: &str = "only-for-the-upstream";

/// Each way in which a gateway tells its upstream who asks.
const CREDENTIALS: [&str; 4] = [
    "credentials = \"identity\"",
    "credentials = \"forward-token\"",
    "credentials = \"mint-token\"",
    "credentials = { basic = { username = \"gateway\", password = \"only-for-the-upstream\" } }",
];

/// What an upstream says to have others go to the port of `elsewhere`: a status and headers.
fn steering(elsewhere: u16) -> Vec<(&'static str, String)> {
    let realm = format!("WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{elsewhere}/token\",service=\"x\"\r\n");
    let basic = format!("WWW-Authenticate: Basic realm=\"http://127.0.0.1:{elsewhere}/\"\r\n");
    let location = format!("Location: http://127.0.0.1:{elsewhere}/v2/team/app/blobs/x\r\n");
    let proxy = format!("Proxy-Authenticate: Bearer realm=\"http://127.0.0.1:{elsewhere}/token\"\r\n{location}");
    let mut all = vec![("401 Unauthorized", realm.clone()), ("401 Unauthorized", format!("{basic}{realm}"))];
    all.push(("407 Proxy Authentication Required", proxy));
    all.push(("403 Forbidden", realm));
    let redirects =
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"];
    all.extend(redirects.map(|status| (status, location.clone())));
    all.push(("305 Use Proxy", location.clone()));
    all.push((
        "200 OK",
        format!("Refresh: 0; url=http://127.0.0.1:{elsewhere}/\r\nContent-Location: /x\r\n{location}"),
    ));
    all
}

#[test]
fn neither_challenges_nor_redirects_of_an_upstream_are_followed() {
    let elsewhere = Upstream::start(upstream::ok);
    let steering = steering(elsewhere.port);
    for upstream in CREDENTIALS {
        let answers = steering.clone();
        // Which answer it is to be is what the request asks for.
        let site = Site::with(&Setup { upstream, ..SETUP }, move |head, wire| {
            let (status, headers) = &answers[head.target().rsplit('/').next().unwrap().parse::<usize>().unwrap()];
            answer_with(head, wire, status, headers, "{}")
        });
        for (number, (status, said)) in steering.iter().enumerate() {
            let code: u16 = status[..3].parse().unwrap();
            let (head, body) = site.ask("GET", &format!("/v2/team/app/manifests/{number}"), "");
            // What a 401 means here is that the gateway's own credentials are no good, and that is nobody else's business.
            assert_eq!(head.status(), if code == 401 { 502 } else { code }, "{upstream} {said}: {head:?}");
            for name in ["www-authenticate", "proxy-authenticate", "authorization"] {
                assert_eq!(head.all(name), Vec::<&str>::new(), "{upstream} {said}");
            }
            let told = format!("{head:?} {}", body.text());
            for secret in [OWN, ALICE.1, &STANDARD.encode(format!("gateway:{OWN}"))] {
                assert!(!told.contains(secret), "{upstream} {said}: {told}");
            }
        }
        assert_eq!(site.upstream.heads().len(), steering.len(), "{upstream}: each was asked for once");
    }
    assert!(elsewhere.heads().is_empty(), "{:?}", elsewhere.heads());
}

#[test]
fn a_doctor_takes_no_credentials_elsewhere() {
    let elsewhere = Upstream::start(upstream::ok);
    let realm =
        format!("WWW-Authenticate: Bearer realm=\"http://127.0.0.1:{}/token\",service=\"x\"\r\n", elsewhere.port);
    for upstream in CREDENTIALS {
        let realm = realm.clone();
        let setup = Setup { upstream, ..SETUP };
        let site = Site::with(&setup, move |head, wire| answer_with(head, wire, "401 Unauthorized", &realm, ""));
        let done = site.gateway.cli(&["doctor", "--config", "{config}"]);
        assert!(!format!("{done}").contains(OWN), "{done}");
        for head in elsewhere.heads() {
            assert!(!head.has_like("authorization") && !head.has_like("x-authentication-service"), "{head:?}");
        }
    }
    // The control: the site is one where the account is used at all.
    let site = Site::with(&Setup { upstream: CREDENTIALS[3], ..SETUP }, upstream::ok);
    assert_eq!(site.ask("GET", &blob(), "").0.status(), 200);
    let own = format!("Basic {}", STANDARD.encode(format!("gateway:{OWN}")));
    assert_eq!(site.upstream.only().get("authorization"), Some(&*own));
}
