//! `pass_headers`: what clients may send though it is taken out otherwise, and what passes in no case.

use crate::site::{ALICE, SETUP, Setup, Site};
use crate::upstream::ok;
use crate::wire::{Head, basic};

const REST: &str = "[[route]]\nprefix = \"/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n\
    [[route]]\nprefix = \"/files/\"\nupstream = \"registry\"\nauth = \"public\"\n";

const HEADERS: &str = "Cookie: session=1\r\nSCRIPT_NAME: /admin\r\nScript-Name: /admin\r\nPATH_INFO: /x\r\nPath-Info: /x\r\n\
    X_Team: red\r\nX_Authentication_Service: forged\r\nX-Authentication_Service: forged\r\nRemote_User: admin\r\n\
    X_Forwarded_For: 6.6.6.6\r\nContent_Length: 7\r\nTransfer_Encoding: gzip\r\nX_Request_Id: forged\r\n\
    X_Script_Name: /admin\r\nTrue_Client_Ip: 6.6.6.6\r\n";

/// What of the headers reaches an upstream with these settings, on this path.
fn passed(upstream: &'static str, target: &str) -> (Head, Vec<String>) {
    let site = Site::with(&Setup { upstream, rest: REST, ..SETUP }, ok);
    assert_eq!(site.ask("GET", target, HEADERS).0.status(), 200);
    let head = site.upstream.only();
    let sent: Vec<_> = HEADERS.lines().map(|line| line.split_once(':').unwrap().0.to_ascii_lowercase()).collect();
    let mut passed: Vec<_> =
        head.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).filter(|name| sent.contains(name)).collect();
    passed.sort();
    (head, passed)
}

const MANIFEST: &str = "/v2/team/app/manifests/v1";

#[test]
fn by_default_nothing_of_it_passes() {
    let (head, names) = passed("pass_headers = []", MANIFEST);
    assert_eq!(names, Vec::<String>::new());
    assert_eq!(head.get("authorization"), None);
    assert_eq!(passed("pass_headers = []", "/files/a").1, ["cookie"]);
}

#[test]
fn each_passes_alone() {
    assert_eq!(passed("pass_headers = \"cookie\"", MANIFEST).1, ["cookie"]);
    let names = ["path-info", "path_info", "script-name", "script_name"];
    assert_eq!(passed("pass_headers = \"script-name\"", MANIFEST).1, names);
    assert_eq!(passed("pass_headers = \"underscores\"", MANIFEST).1, ["x_team"]);
}

#[test]
fn what_says_who_asks_passes_in_no_spelling() {
    let all = "pass_headers = [\"cookie\", \"script-name\", \"underscores\", \"authorization\"]";
    let (head, names) = passed(all, MANIFEST);
    assert_eq!(names, ["cookie", "path-info", "path_info", "script-name", "script_name", "x_team"]);
    let like =
        |name: &str| head.headers.iter().filter(|(key, _)| key.replace('_', "-").eq_ignore_ascii_case(name)).count();
    assert_eq!((like("x-authentication-service"), like("x-forwarded-for"), like("x-request-id")), (1, 1, 1));
    assert_ne!(head.get("x-authentication-service"), Some("forged"));
}

#[test]
fn authorization_passes_as_it_came_and_our_own_takes_its_place() {
    let (head, _) = passed("pass_headers = \"authorization\"\ncredentials = \"none\"", MANIFEST);
    assert_eq!(head.get("authorization"), Some(basic(ALICE).as_str()));
    let (head, _) = passed("pass_headers = \"authorization\"\ncredentials = \"none\"", "/files/a");
    assert_eq!(head.get("authorization"), Some(basic(ALICE).as_str()));
    let rest = "[[route]]\nprefix = \"/v2/\"\nupstream = \"registry\"\nauth = \"registry\"\n\
        credentials = { basic = { username = \"gateway\", password = \"own\" } }\n";
    let site = Site::with(&Setup { upstream: "pass_headers = \"authorization\"", rest, ..SETUP }, ok);
    assert_eq!(site.ask("GET", MANIFEST, "").0.status(), 200);
    assert_eq!(site.upstream.only().get("authorization"), Some(basic(("gateway", "own")).as_str()));
}

#[test]
fn an_identity_header_named_like_the_exception_is_none() {
    let setup =
        Setup { upstream: "pass_headers = \"script-name\"", rest: "[identity]\nstrip = [\"Script-Name\"]\n", ..SETUP };
    let site = Site::with(&setup, ok);
    assert_eq!(site.ask("GET", MANIFEST, HEADERS).0.status(), 200);
    let head = site.upstream.only();
    assert!(!head.has_like("script-name") && head.has_like("path-info"), "{head:?}");
}
