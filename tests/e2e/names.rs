//! One gateway under several public names.

use crate::curl::{challenge, claims};
use crate::site::{ALICE, Site};
use crate::skopeo::Skopeo;
use crate::support::http::Request;

#[test]
fn each_public_name_leads_back_to_itself() {
    let site = Site::with(|settings| settings.hosts = vec!["127.0.0.1", "localhost"]);
    let port = site.gateway.port;
    for host in ["127.0.0.1", "localhost"] {
        let name = format!("{host}:{port}");
        let challenged = Request::new(port, "GET", "/v2/").host(&name).send().expect(401);
        assert_eq!(challenge(&challenged)["realm"], format!("http://{name}/token"));
        assert_eq!(challenge(&challenged)["service"], name);
    }
    // A name that is not ours is told the first one.
    let challenged = Request::new(port, "GET", "/v2/").host("elsewhere.example").send().expect(401);
    assert_eq!(challenge(&challenged)["realm"], format!("http://127.0.0.1:{port}/token"));

    // A token for one name is good under the other, and its issuer does not depend on the name.
    let target = format!("/token?service=localhost:{port}&scope=repository:team/app:pull");
    let reply = Request::new(port, "GET", &target).host(&format!("localhost:{port}")).basic(ALICE.0, ALICE.1).send();
    let reply = reply.expect(200).json();
    let token = reply["token"].as_str().unwrap();
    assert_eq!(claims(token)["aud"], format!("localhost:{port}"));
    assert_eq!(claims(token)["iss"], format!("http://127.0.0.1:{port}/token"));
    Request::new(port, "GET", "/v2/").bearer(token).send().expect(200);
    // A service that is nobody's is refused.
    let target = format!("/token?service=elsewhere&scope=repository:team/app:pull");
    Request::new(port, "GET", &target).basic(ALICE.0, ALICE.1).send().expect(400);
}

#[test]
fn what_is_pushed_under_one_name_is_pulled_under_another() {
    let site = Site::with(|settings| settings.hosts = vec!["127.0.0.1", "localhost"]);
    let skopeo = Skopeo::new(&site, "skopeo");
    let image = site.image("image");
    let other = format!("localhost:{}/team/app", site.gateway.port);
    skopeo.push(ALICE, &image, &other).ok();
    skopeo.pull(Some(ALICE), &site.repository("team/app:v1"), "out").ok();
    skopeo.pull(Some(ALICE), &format!("{other}:v1"), "again").ok();
    assert!(site.registry.has_manifest("team/app", &image.manifest));
}
