//! Who is asking, as Pulp is told by the identity header.

use crate::mode::Mode;
use crate::site::{ALICE, BOB, Site};
use crate::support::client::skopeo::Skopeo;
use crate::support::pulp::WRITER;

/// The content of the header for `user`.
fn named(user: &str) -> String {
    format!(r#"{{"identity":{{"user":{{"username":"{user}"}}}}}}"#)
}

#[test]
fn pulp_knows_readers_by_their_names_and_writes_by_the_elevated_one() {
    let site = Site::start(Mode::Header);
    let skopeo = Skopeo::new(site.dir("skopeo"));
    let image = site.image("image");
    skopeo.push(ALICE, &image, &site.repository("public/app")).ok();
    skopeo.pull(None, &site.repository("public/app:v1"), "nobody").ok();
    skopeo.push(ALICE, &image, &site.repository("team/app")).ok();
    skopeo.pull(Some(BOB), &site.repository("team/app:v1"), "bob").ok();

    let accesses = [site.accesses("public/app"), site.accesses("team/app")].concat();
    let mut seen = [0; 4];
    for access in &accesses {
        assert_eq!(access.authorization, None, "{access:?}");
        let reading = matches!(access.method.as_str(), "GET" | "HEAD") && !access.target.contains("/blobs/uploads/");
        match access.identity.as_deref() {
            identity if !reading => {
                assert_eq!(identity, Some(&*named(WRITER)), "{access:?}");
                seen[0] += 1;
            }
            Some(identity) if identity == named("alice") => seen[1] += 1,
            Some(identity) if identity == named("bob") => seen[2] += 1,
            None if access.target.contains("v2/public/") => seen[3] += 1,
            other => panic!("neither a write nor one of the readers: {other:?}: {access:?}"),
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "writes, alice, bob, nobody: {seen:?}");

    let users = site.api.users();
    for user in ["alice", "bob", WRITER] {
        assert_eq!(users.iter().filter(|name| *name == user).count(), 1, "{users:?}");
    }
}
