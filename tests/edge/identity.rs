//! Callers who are known by their certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::version::{TLS12, TLS13};

use crate::client::{Settings, as_user, get, header, request};
use crate::setup::{Secured, With};
use crate::support::pki::{Authority, Wanted};
use crate::support::site::BOB;

const OPTIONAL: With<'_> =
    With { tls: ", client_ca = \"{ca}\"", server: "", rest: "[[authn]]\nkind = \"client-certificate\"\n", more: &[] };

const MANIFEST: &str = "/v2/team/app/manifests/v1";

/// Whom the upstream was told of at the last request.
fn told(secured: &Secured) -> Option<String> {
    let head = secured.site.upstream.last();
    let value = STANDARD.decode(head.get("x-authentication-service")?).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&value).unwrap();
    value["identity"]["user"]["username"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_certificate_pushes() {
    let secured = Secured::new(OPTIONAL);
    let alice = secured.client_with(&secured.authority.client("alice"));
    assert_eq!(alice.get("/v2/").await.status(), 200);
    let pushed = alice.ask(request("PUT", MANIFEST, "{}")).await.unwrap();
    assert_eq!((pushed.status().as_u16(), told(&secured).as_deref()), (200, Some("alice")));
    let log = secured.site.wait_for_log("\"event\":\"decision\"");
    let line = log.lines().find(|line| line.contains("\"event\":\"decision\"")).unwrap();
    assert!(line.contains("\"subject\":\"alice\"") && line.contains("\"authn\":\"client-certificate\""), "{line}");
}

#[tokio::test]
async fn without_one_everything_is_as_ever() {
    let secured = Secured::new(OPTIONAL);
    let nobody = secured.client();
    let refused = nobody.get("/v2/").await;
    assert_eq!(refused.status(), 401);
    let challenge = header(&refused, "www-authenticate").unwrap();
    assert!(challenge.contains("https://gw.example/token"), "{challenge}");
    assert_eq!(nobody.get("/v2/public/app/manifests/v1").await.status(), 200);
    assert_eq!(told(&secured), None);
    assert_eq!(nobody.ask(as_user(get("/v2/"), BOB)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn who_is_known_and_may_not_is_told_so() {
    let secured = Secured::new(OPTIONAL);
    let bob = secured.client_with(&secured.authority.client("bob"));
    assert_eq!(bob.get(MANIFEST).await.status(), 200);
    let refused = bob.ask(request("PUT", MANIFEST, "{}")).await.unwrap();
    let body = String::from_utf8_lossy(refused.body());
    assert_eq!(refused.status(), 403, "{body}");
    assert!(body.contains("DENIED") && body.contains("bob may not push to team/app"), "{body}");
    assert_eq!(header(&refused, "www-authenticate"), None);
}

#[tokio::test]
async fn a_certificate_is_good_for_a_token() {
    let secured = Secured::new(OPTIONAL);
    let alice = secured.client_with(&secured.authority.client("alice"));
    let answer = alice.get("/token?service=gw.example&scope=repository:team/app:pull,push").await;
    let token: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    let mut push = request("PUT", MANIFEST, "{}");
    push.headers_mut().insert("authorization", format!("Bearer {}", token["token"].as_str().unwrap()).parse().unwrap());
    // The token stands for itself.
    assert_eq!(secured.client().ask(push).await.unwrap().status(), 200);
    assert_eq!(told(&secured).as_deref(), Some("alice"));
    // Nobody's certificate gets what everybody gets.
    let other = secured.client().get("/token?service=gw.example&scope=repository:team/app:pull").await;
    assert_eq!(other.status(), 200);
}

#[tokio::test]
async fn what_a_request_says_itself_goes_before() {
    let secured = Secured::new(OPTIONAL);
    let alice = secured.client_with(&secured.authority.client("alice"));
    assert_eq!(alice.ask(as_user(get(MANIFEST), BOB)).await.unwrap().status(), 200);
    assert_eq!(told(&secured).as_deref(), Some("bob"));
    assert_eq!(alice.ask(as_user(request("PUT", MANIFEST, "{}"), BOB)).await.unwrap().status(), 403);
    // Also when it is wrong.
    assert_eq!(alice.ask(as_user(get(MANIFEST), ("bob", "wrong"))).await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_certificate_that_names_nobody_counts_for_none() {
    let secured = Secured::new(OPTIONAL);
    let reserved = secured.authority.client("admin");
    let nameless = secured.authority.issue(&Wanted { dns: &["alice"], ..Wanted::default() });
    for (issued, why) in [(reserved, "reserved"), (nameless, "names no user")] {
        let client = secured.client_with(&issued);
        assert_eq!(client.get("/v2/").await.status(), 401);
        assert_eq!(client.get("/v2/public/app/manifests/v1").await.status(), 200);
        assert_eq!(told(&secured), None);
        secured.site.wait_for_log(why);
    }
}

#[tokio::test]
async fn certificates_of_others_are_refused() {
    let secured = Secured::new(OPTIONAL);
    let stranger = Authority::new("Test authority").client("alice");
    let expired = secured.authority.issue(&Wanted { common_name: "alice", expired: true, ..Wanted::default() });
    for issued in [&stranger, &expired] {
        for versions in [&[&TLS12], &[&TLS13]] {
            let client = Settings { certificate: Some(issued), versions, ..secured.settings() }.client();
            assert!(client.ask(get("/v2/")).await.is_err());
        }
    }
    assert!(secured.site.upstream.heads().is_empty());
}

#[tokio::test]
async fn where_one_is_required_nobody_comes_without() {
    let tls = ", client_ca = \"{ca}\", client_auth = \"required\"";
    let secured = Secured::new(With { tls, ..OPTIONAL });
    for versions in [&[&TLS12], &[&TLS13]] {
        let nobody = Settings { versions, ..secured.settings() }.client();
        assert!(nobody.ask(get("/v2/")).await.is_err());
        let alice = secured.authority.client("alice");
        let alice = Settings { versions, certificate: Some(&alice), ..secured.settings() }.client();
        assert_eq!(alice.get("/v2/").await.status(), 200);
    }
}

#[tokio::test]
async fn settings_say_where_the_name_stands_and_which_groups_come_with_it() {
    let rest = r#"
[[authn]]
kind = "client-certificate"
name = ["uri", "email"]
groups = ["machines"]

[groups]
builders = ["user:ci@example.org"]

[[access]]
who = ["group:machines"]
repositories = ["machines/**"]
actions = ["pull"]

[[access]]
who = ["group:builders"]
repositories = ["builds/**"]
actions = ["pull"]
"#;
    let secured = Secured::new(With { rest, ..OPTIONAL });
    let issue = |uri, email| {
        let wanted = Wanted { common_name: "alice", uri, email, ..Wanted::default() };
        secured.client_with(&secured.authority.issue(&wanted))
    };
    let (by_uri, by_email) = (issue(Some("spiffe://x/ci"), Some("a@b.c")), issue(None, Some("ci@example.org")));
    for (client, name, builds) in [(by_uri, "spiffe://x/ci", 403), (by_email, "ci@example.org", 200)] {
        assert_eq!(client.get("/v2/machines/app/manifests/v1").await.status(), 200);
        assert_eq!(told(&secured).as_deref(), Some(name));
        assert_eq!(client.get("/v2/builds/app/manifests/v1").await.status(), builds);
        // The common name is not asked.
        assert_eq!(client.get(MANIFEST).await.status(), 403);
    }
}

#[tokio::test]
async fn without_a_member_certificates_mean_nothing() {
    let secured = Secured::new(With { rest: "", ..OPTIONAL });
    let alice = secured.client_with(&secured.authority.client("alice"));
    assert_eq!(alice.get("/v2/").await.status(), 401);
}
