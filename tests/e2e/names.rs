//! One gateway under several public names.

use crate::curl::{challenge, claims};
use crate::site::{ALICE, Site};
use crate::support::client::skopeo::Skopeo;
use crate::support::http::Request;

#[test]
fn each_public_name_leads_back_to_itself() {
    let site = Site::with(|settings| settings.hosts = vec!["127.0.0.1", "localhost"]);
    let port = site.gateway.port;
    let first = format!("127.0.0.1:{port}");
    // A name that is not ours is told the first one. The service is the same for all, so that all share their tokens.
    for (host, realm) in
        [(first.clone(), &*first), (format!("localhost:{port}"), "localhost"), ("a.test".into(), &*first)]
    {
        let realm = if realm == "localhost" { &host } else { realm };
        let challenged = challenge(&Request::new(port, "GET", "/v2/").host(&host).send().expect(401));
        assert_eq!(challenged["realm"], format!("http://{realm}/token"));
        assert_eq!(challenged["service"], first);
    }
    // A service that is nobody's is refused.
    let target = "/token?service=elsewhere&scope=repository:team/app:pull";
    Request::new(port, "GET", target).basic(ALICE.0, ALICE.1).send().expect(400);
}

#[test]
fn each_public_name_may_have_a_service_of_its_own() {
    let site = Site::with(|settings| {
        settings.hosts = vec!["127.0.0.1", "localhost"];
        settings.token = r#"service = ["127.0.0.1:{port}", "localhost:{port}"]"#.into();
    });
    let port = site.gateway.port;
    for name in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        let challenged = challenge(&Request::new(port, "GET", "/v2/").host(&name).send().expect(401));
        assert_eq!(challenged["service"], name);
        let target = format!("/token?service={name}&scope=repository:team/app:pull");
        let reply = Request::new(port, "GET", &target).host(&name).basic(ALICE.0, ALICE.1).send().expect(200).json();
        let token = reply["token"].as_str().unwrap();
        // The issuer does not depend on the name, and the token is good under both.
        assert_eq!(claims(token)["aud"], name);
        assert_eq!(claims(token)["iss"], format!("http://127.0.0.1:{port}/token"));
        for host in ["127.0.0.1", "localhost"] {
            Request::new(port, "GET", "/v2/").host(&format!("{host}:{port}")).bearer(token).send().expect(200);
        }
    }
}

#[test]
fn what_is_pushed_under_one_name_is_pulled_under_another() {
    let site = Site::with(|settings| settings.hosts = vec!["127.0.0.1", "localhost"]);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    let other = format!("localhost:{}/team/app", site.gateway.port);
    skopeo.push(ALICE, &image, &other).ok();
    skopeo.pull(Some(ALICE), &site.repository("team/app:v1"), "out").ok();
    skopeo.pull(Some(ALICE), &format!("{other}:v1"), "again").ok();
    assert!(site.registry.has_manifest("team/app", &image.manifest));
}
