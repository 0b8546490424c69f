//! curl: the token endpoint as the specification's examples call it, and every step of a push by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::site::{ALICE, BOB, CAROL, Site};
use crate::support::client::Home;
use crate::support::http::{Reply, read_reply};
use crate::support::image::MANIFEST;
use crate::support::process::{command, program, run};
use crate::support::{digest, random};

struct Curl {
    home: Home,
    program: PathBuf,
    base: String,
}

impl Curl {
    fn new(site: &Site) -> Self {
        let home = Home::new(site.dir("curl"));
        Self { home, program: program("curl", "curl"), base: format!("http://{}", site.host()) }
    }

    /// `curl args… target`; a target without a host is the gateway's.
    fn run(&self, args: &[&str], target: &str) -> Reply {
        let url = if target.starts_with('/') { format!("{}{target}", self.base) } else { target.to_owned() };
        let mut command = command(&self.program, &self.home.path);
        command.args(["-sS", "-m", "30", "-i", "--raw"]).args(args).arg(&url);
        let out = run(&mut command, "").ok();
        read_reply(&mut out.stdout.as_bytes(), args.contains(&"-I")).unwrap_or_else(|| panic!("no answer: {out}"))
    }

    /// A request with a bearer token.
    fn bearer(&self, token: &str, args: &[&str], target: &str) -> Reply {
        self.run(&[&["-H", &format!("Authorization: Bearer {token}")], args].concat(), target)
    }

    /// A token from the realm that the gateway names.
    fn token(&self, (user, password): (&str, &str), scope: &str) -> String {
        let challenge = challenge(&self.run(&[], "/v2/").expect(401));
        let target = format!("{}?service={}&scope={scope}", challenge["realm"], challenge["service"]);
        let reply = self.run(&["-u", &format!("{user}:{password}")], &target).expect(200);
        reply.json()["token"].as_str().unwrap().to_owned()
    }

    /// Uploads `blob` with one POST and one PUT.
    fn upload(&self, token: &str, repository: &str, blob: &[u8]) -> Reply {
        let started = self.bearer(token, &["-X", "POST"], &format!("/v2/{repository}/blobs/uploads/")).expect(202);
        let location = started.header("location").unwrap();
        assert!(location.starts_with("/v2/"), "path-absolute, whatever the registry calls itself: {location}");
        let separator = if location.contains('?') { '&' } else { '?' };
        let file = self.home.at("blob");
        std::fs::write(&file, blob).unwrap();
        self.bearer(token, &["-T", &file], &format!("{location}{separator}digest={}", digest(blob)))
    }
}

/// The parameters of the only Bearer challenge in an answer.
pub(crate) fn challenge(reply: &Reply) -> BTreeMap<String, String> {
    let challenges: Vec<&String> =
        reply.headers.iter().filter(|(name, _)| name == "www-authenticate").map(|(_, value)| value).collect();
    let [challenge] = challenges[..] else { panic!("one challenge: {challenges:?}") };
    let parameters = challenge.strip_prefix("Bearer ").unwrap_or_else(|| panic!("{challenge}"));
    // No value of these tests holds `",`.
    let pairs = parameters.split("\",").map(|pair| pair.trim_end_matches('"').split_once("=\"").unwrap());
    let mut map = BTreeMap::new();
    for (name, value) in pairs {
        assert!(!value.is_empty(), "an empty parameter: {challenge}");
        assert!(map.insert(name.trim().to_owned(), value.to_owned()).is_none(), "a parameter twice: {challenge}");
    }
    map
}

/// The claims of a token, unverified.
pub(crate) fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn the_token_endpoint_answers_as_the_examples_of_the_specification_do() {
    let site = Site::start();
    let curl = Curl::new(&site);
    let challenged = curl.run(&[], "/v2/").expect(401);
    let parameters = challenge(&challenged);
    assert_eq!(parameters["realm"], format!("{}/token", curl.base));
    assert_eq!(parameters["service"], site.host());
    assert_eq!(challenged.header("docker-distribution-api-version"), Some("registry/2.0"));
    let realm = &parameters["realm"];
    let target = format!("{realm}?service={}&scope=repository:team/app:pull,push", parameters["service"]);

    let reply = curl.run(&["-u", "alice:alice-secret"], &target).expect(200).json();
    assert_eq!(reply["token"], reply["access_token"]);
    assert_eq!(reply["expires_in"], 300);
    assert_eq!(reply.get("refresh_token"), None, "nobody has asked for one");
    let issued_at = reply["issued_at"].as_str().unwrap();
    time::OffsetDateTime::parse(issued_at, &time::format_description::well_known::Rfc3339).unwrap();
    let granted = claims(reply["token"].as_str().unwrap());
    assert_eq!(granted["access"], json!([{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}]));
    assert_eq!((&granted["sub"], &granted["aud"]), (&json!("alice"), &json!(site.host())));

    // Less than was asked for is granted, and said.
    let less = curl.run(&["-u", "bob:bob-secret"], &target).expect(200).json();
    assert_eq!(claims(less["token"].as_str().unwrap())["access"][0]["actions"], json!(["pull"]));
    // OAuth2's form of it.
    let form = ["-d", "grant_type=password", "-d", "username=alice", "--data-urlencode", "password=alice-secret"];
    let service = format!("service={}", site.host());
    let form = [&form[..], &["-d", &service, "-d", "client_id=curl", "-d", "scope=repository:team/app:pull"]].concat();
    let posted = curl.run(&form, realm).expect(200).json();
    assert_eq!(posted["scope"], "repository:team/app:pull");
    assert_eq!(claims(posted["access_token"].as_str().unwrap())["sub"], "alice");
    // Nobody gets what is everybody's; a wrong password gets nothing, not even that.
    let anonymous = curl.run(&[], &format!("{realm}?service={}&scope=repository:public/app:pull", site.host()));
    assert_eq!(claims(anonymous.expect(200).json()["token"].as_str().unwrap())["sub"], "");
    let wrong = curl.run(&["-u", "alice:wrong"], &target).expect(401);
    assert!(wrong.header("www-authenticate").unwrap().starts_with("Basic "), "{wrong:?}");
    assert_eq!(wrong.json()["errors"][0]["code"], "UNAUTHORIZED");
}

#[test]
fn pushes_lists_pulls_mounts_and_deletes_by_hand() {
    let site = Site::start();
    let curl = Curl::new(&site);
    let token = curl.token(ALICE, "repository:team/app:pull,push,delete");
    let (config, layer) = (b"{}".to_vec(), random(10_000));
    for blob in [&config, &layer] {
        let uploaded = curl.upload(&token, "team/app", blob).expect(201);
        assert_eq!(uploaded.header("location"), Some(&*format!("/v2/team/app/blobs/{}", digest(blob))));
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(&layer), "size": layer.len()}],
    })
    .to_string();
    let file = curl.home.at("manifest");
    std::fs::write(&file, &manifest).unwrap();
    let media_type = format!("Content-Type: {MANIFEST}");
    let put = curl.bearer(&token, &["-T", &file, "-H", &media_type], "/v2/team/app/manifests/v1").expect(201);
    assert_eq!(put.header("docker-content-digest"), Some(&*digest(manifest.as_bytes())));

    let reader = curl.token(BOB, "repository:team/app:pull");
    let by_digest = format!("/v2/team/app/manifests/{}", digest(manifest.as_bytes()));
    let pulled = curl.bearer(&reader, &["-H", &format!("Accept: {MANIFEST}")], &by_digest).expect(200);
    assert_eq!(pulled.text(), manifest);
    let tags = curl.bearer(&reader, &[], "/v2/team/app/tags/list").expect(200);
    assert_eq!(tags.json(), json!({"name": "team/app", "tags": ["v1"]}));
    let blob = format!("/v2/team/app/blobs/{}", digest(&layer));
    curl.bearer(&reader, &["-I"], &blob).expect(200);

    // Who may only pull neither deletes nor pushes, with a token or with a password.
    let refused = curl.bearer(&reader, &["-X", "DELETE"], &blob).expect(401);
    let parameters = challenge(&refused);
    assert_eq!(parameters["error"], "insufficient_scope");
    assert_eq!(parameters["scope"], "repository:team/app:delete");
    assert_eq!(refused.json()["errors"][0]["code"], "DENIED");
    let refused = curl.run(&["-u", "bob:bob-secret", "-X", "DELETE"], &blob).expect(403);
    assert_eq!(refused.json()["errors"][0]["code"], "DENIED");
    curl.run(&["-u", "bob:bob-secret"], "/v2/team/app/tags/list").expect(200);
    assert!(site.registry.has_blob("team/app", &digest(&layer)));

    // A mount where the source may be read, and one where it may not.
    let mount = format!("mount={}&from=team/app", digest(&layer));
    let both = curl.token(ALICE, "repository:team/copy:pull,push&scope=repository:team/app:pull");
    let mounted = curl.bearer(&both, &["-X", "POST"], &format!("/v2/team/copy/blobs/uploads/?{mount}")).expect(201);
    assert_eq!(mounted.header("location"), Some(&*format!("/v2/team/copy/blobs/{}", digest(&layer))));
    let carol = curl.token(CAROL, "repository:private/copy:pull,push&scope=repository:team/app:pull");
    let started = curl.bearer(&carol, &["-X", "POST"], &format!("/v2/private/copy/blobs/uploads/?{mount}")).expect(202);
    assert!(started.header("location").unwrap().starts_with("/v2/private/copy/blobs/uploads/"), "{started:?}");
    assert!(!site.registry.has_blob("private/copy", &digest(&layer)), "carol may not read team/app");

    for target in [&by_digest, &blob] {
        curl.bearer(&token, &["-X", "DELETE"], target).expect(202);
    }
    assert!(!site.registry.has_manifest("team/app", "v1"));
    assert!(!site.registry.has_blob("team/app", &digest(&layer)));
}
