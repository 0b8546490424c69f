//! No tag is special (zot CVE-2026-31801): a rule about what is written holds for `latest` as for every other.

use crate::support::site::{DIGEST, SETUP, Setup, Site};
use crate::support::upstream::ok;

const TAGS: [&str; 8] = ["latest", "LATEST", "Latest", "stable", "main", "v1", "_", "1"];

/// Alice may do everything, but no tag may be written a second time: the shape of an immutability rule.
const KEPT: Setup = Setup {
    rest: "[[access]]\nwho = [\"anyone\"]\nrepositories = [\"kept/**\"]\nactions = [\"push\"]\neffect = \"deny\"\n\
           when = '.request.reference != null and (.request.reference | startswith(\"sha256:\") | not)'\n\
           [[access]]\nwho = [\"user:bob\"]\nrepositories = [\"named/**\"]\nactions = [\"push\", \"pull\"]\n\
           when = '.request.reference == \"v1\"'\n",
    ..SETUP
};

#[test]
fn a_rule_about_tags_is_about_all_of_them() {
    let site = Site::with(&KEPT, ok);
    for tag in TAGS {
        let put =
            |repository: &str| site.ask_with("PUT", &format!("/v2/{repository}/manifests/{tag}"), "", "{}").0.status();
        assert_eq!((put("kept/app"), put("free/app")), (403, 200), "{tag}");
        // Written along with a digest, it is written all the same.
        let along = format!("/v2/kept/app/manifests/{DIGEST}?tag={tag}");
        assert_eq!(site.ask_with("PUT", &along, "", "{}").0.status(), 403, "{tag}");
    }
    let written = site.upstream.heads();
    assert!(
        written.len() == TAGS.len() && written.iter().all(|head| head.target().starts_with("/v2/free/")),
        "{written:?}"
    );
}

#[test]
fn a_right_to_one_tag_is_none_to_latest() {
    let site = Site::with(&KEPT, ok);
    for tag in TAGS {
        let mut client = site.connect();
        client.send(format!(
            "PUT /v2/named/app/manifests/{tag} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Length: 2\r\n\r\n{{}}",
            site.gateway.host(),
            crate::support::wire::basic(crate::support::site::BOB)
        ));
        assert_eq!(client.head().status(), if tag == "v1" { 200 } else { 403 }, "{tag}");
    }
    assert_eq!(site.upstream.only().target(), "/v2/named/app/manifests/v1");
}
