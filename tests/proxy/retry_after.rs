//! `Retry-After` on answers that ask for another try, where the upstream says nothing of when.

use crate::site::{SETUP, Setup, Site, UPLOAD};
use crate::upstream::answer_with;

/// An upstream that answers with the status that the tag in the path says.
fn site(setup: &Setup) -> Site {
    Site::with(setup, |head, wire| {
        let status = head.target().rsplit('/').next().unwrap().trim_start_matches('s').to_owned();
        let headers = if head.get("x-own").is_some() { "Retry-After: 30\r\n" } else { "" };
        answer_with(head, wire, &format!("{status} Status"), headers, "no")
    })
}

fn after(site: &Site, status: u16, headers: &str) -> Option<String> {
    let (head, _) = site.ask("GET", &format!("/v2/team/app/manifests/s{status}"), headers);
    assert_eq!(head.status(), status);
    head.get("retry-after").map(ToOwned::to_owned)
}

#[test]
fn what_passes_is_worth_another_try() {
    let site = site(&SETUP);
    for status in [429, 502, 503, 504] {
        assert_eq!(after(&site, status, "").as_deref(), Some("2"), "{status}");
        assert_eq!(after(&site, status, "X-Own: 1\r\n").as_deref(), Some("30"), "{status}: the upstream knows better");
    }
    for status in [200, 202, 302, 400, 403, 404, 413, 500, 501, 507] {
        assert_eq!(after(&site, status, ""), None, "{status}");
    }
    site.upstream.stop();
    site.upstream.close_all();
    let (head, _) = site.ask("POST", "/v2/team/app/blobs/uploads/", "");
    assert_eq!((head.status(), head.get("retry-after")), (502, Some("2")));
}

#[test]
fn seconds_are_whole_and_zero_is_none() {
    let rounded = site(&Setup { upstream: "retry_after = \"1500ms\"", ..SETUP });
    assert_eq!(after(&rounded, 503, "").as_deref(), Some("2"));
    let off = site(&Setup { upstream: "retry_after = \"0\"", ..SETUP });
    assert_eq!(after(&off, 503, ""), None);
    assert_eq!(after(&off, 503, "X-Own: 1\r\n").as_deref(), Some("30"));
    off.upstream.stop();
    off.upstream.close_all();
    let (head, _) = off.ask("POST", "/v2/team/app/blobs/uploads/", "");
    assert_eq!((head.status(), head.get("retry-after")), (502, None));
}

#[test]
fn another_try_mends_no_configuration() {
    let site = Site::new(|head, wire| answer_with(head, wire, "401 Unauthorized", "", "no"));
    let (head, _) = site.ask_with("PATCH", UPLOAD, "", "bytes");
    assert_eq!((head.status(), head.get("retry-after")), (502, None));
}
