//! The token endpoint by POST.

use std::io::Write as _;

use crate::jwt::{access, claims};
use crate::setup::{ALICE, Site, code, escaped, parameters, the_challenge};
use crate::support::http::{Reply, connect, read_reply};

const FORM: &str = "application/x-www-form-urlencoded";

fn alice(more: &str) -> String {
    format!("grant_type=password&username=alice&password={}{more}", escaped(ALICE.1))
}

#[track_caller]
fn token(reply: &Reply) -> String {
    reply.json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_password_grant_tells_its_scope() {
    let site = Site::start();
    let host = site.gateway.host();
    let more =
        format!("&service={host}&client_id=containerd&scope=repository:alice/a:pull+repository:alice/a:push,pull");
    let reply = site.form(&alice(&more)).expect(200);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let answer = reply.json();
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(answer["scope"], "repository:alice/a:pull,push");
    assert_eq!(answer["expires_in"].as_u64(), Some(300));
    assert_eq!(answer["issued_at"].as_str().unwrap().len(), 20);
    assert_eq!(answer.get("refresh_token"), None);
    let token = token(&reply);
    assert_eq!(claims(&token)["sub"], "alice");
    assert_eq!(claims(&token)["aud"], host);
    // Less than was asked for, in several parameters, is told too.
    let reply = site.form(&alice("&scope=repository:alice/a:pull&scope=repository:bob/b:pull&scope=")).expect(200);
    assert_eq!(reply.json()["scope"], "repository:alice/a:pull");
    assert_eq!(site.form(&alice("")).expect(200).json()["scope"], "");
}

#[test]
fn no_refresh_token_is_given_or_taken() {
    let site = Site::start();
    for offline in ["&access_type=offline", "&offline_token=true"] {
        assert_eq!(site.form(&alice(offline)).expect(200).json().get("refresh_token"), None);
    }
    for grant in
        ["refresh_token&refresh_token=x", "client_credentials", "authorization_code", "PASSWORD", "password%20"]
    {
        let reply = site.form(&format!("grant_type={grant}&username=alice&password={}", ALICE.1)).expect(400);
        assert_eq!(reply.json()["error"], "unsupported_grant_type", "{grant}");
        assert_eq!(code(&reply), "UNSUPPORTED", "{grant}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{grant}");
    }
}

#[test]
fn wrong_credentials_are_401_with_a_basic_challenge() {
    let site = Site::start();
    for (username, password) in
        [("alice", "wrong"), ("nobody", "wrong"), ("alice", ""), ("", "x"), ("a:b", "x"), ("%0a", "x")]
    {
        let reply = site.form(&format!("grant_type=password&username={username}&password={password}")).expect(401);
        assert_eq!(reply.json()["error"], "invalid_grant", "{username}");
        assert_eq!(code(&reply), "UNAUTHORIZED", "{username}");
        assert!(!parameters("Basic", the_challenge(&reply)).is_empty());
        assert_eq!(reply.json().get("token"), None, "{username}");
    }
}

/// containerd POSTs first, and tries GET after 400, 401, 404 and 405.
#[test]
fn what_containerd_does_ends_well_and_ends_badly() {
    let site = Site::start();
    let target = "/token?scope=repository:alice/a:pull&service=";
    // Without a password it has nothing to post but the scope.
    let anonymous = site.form("grant_type=password&client_id=containerd-client&scope=repository:public/a:pull");
    assert_eq!(anonymous.status, 400);
    site.get("/token?scope=repository:public/a:pull").send().expect(200);
    assert_eq!(site.form("grant_type=refresh_token&refresh_token=pasted").status, 400);
    site.get(target).basic(ALICE.0, ALICE.1).send().expect(200);
    assert_eq!(site.form("grant_type=password&username=alice&password=wrong").status, 401);
    site.get(target).basic("alice", "wrong").send().expect(401);
}

#[test]
fn an_empty_name_and_password_are_anonymous_in_a_form_too() {
    let site = Site::start();
    let reply = site.form("grant_type=password&username=&password=&scope=repository:public/x:pull").expect(200);
    assert_eq!(claims(&token(&reply))["sub"], "");
    assert_eq!(access(&token(&reply)), ["repository:public/x:pull"]);
}

#[test]
fn a_header_does_not_speak_for_a_form() {
    let site = Site::start();
    let request = || site.request("POST", "/token").header("Content-Type", FORM).basic(ALICE.0, ALICE.1);
    let reply = request().body(b"grant_type=password&username=bob&password=wrong").send();
    assert_eq!(reply.status, 401);
    assert_eq!(
        request().body(b"grant_type=client_credentials").send().expect(400).json()["error"],
        "unsupported_grant_type"
    );
}

#[test]
fn parameters_of_the_query_do_not_speak_for_a_form() {
    let site = Site::start();
    let request = site.request("POST", "/token?username=alice&scope=repository:alice/a:pull&service=evil.test");
    let reply = request.header("Content-Type", FORM).body(alice("&scope=repository:alice/b:pull").as_bytes()).send();
    assert_eq!(access(&token(&reply.expect(200))), ["repository:alice/b:pull"]);
}

#[test]
fn malformed_forms_are_400() {
    let site = Site::start();
    let repeated = |name: &str| format!("{}&{name}=x", alice("&service=127.0.0.1"));
    for form in [
        String::new(),
        "username=alice&password=x".into(),
        "grant_type=password&username=alice".into(),
        "grant_type=password&password=x".into(),
        "grant_type=password&username=%zz&password=x".into(),
        "grant_type=password&username=%ff&password=x".into(),
        repeated("grant_type"),
        repeated("username"),
        repeated("password"),
        repeated("service"),
    ] {
        let reply = site.form(&form).expect(400);
        assert_eq!(reply.json()["error"], "invalid_request", "{form}");
    }
    let latin = [b"grant_type=password&username=alice&password=".as_slice(), b"\xff"].concat();
    site.request("POST", "/token").header("Content-Type", FORM).body(&latin).send().expect(400);
    for media in
        ["application/json", "multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencodedx"]
    {
        let reply = site.request("POST", "/token").header("Content-Type", media).body(alice("").as_bytes()).send();
        assert_eq!(reply.status, 400, "{media}");
    }
    assert_eq!(site.request("POST", "/token").body(alice("").as_bytes()).send().status, 400, "without a type");
    let charset =
        site.request("POST", "/token").header("Content-Type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8");
    charset.body(alice("").as_bytes()).send().expect(200);
}

#[test]
fn a_form_has_a_largest_size() {
    let site = Site::start();
    // Longer than any query: a password may be a token of somebody else's.
    let long = site.form(&alice(&format!("&x={}", "a".repeat(40_000)))).expect(200);
    assert!(!token(&long).is_empty());
    let large = format!("{}&x={}", alice(""), "a".repeat(70_000));
    let reply = site.form(&large).expect(413);
    assert_eq!(reply.json()["error"], "invalid_request");
    assert_eq!(reply.header("connection"), Some("close"));
    // Told beforehand, and without an end.
    let announced = "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let mut stream = connect(site.gateway.port);
    stream.write_all(format!("{announced}Content-Length: 10000000000\r\n\r\n").as_bytes()).unwrap();
    let refused = read_reply(&mut stream, false).unwrap();
    assert_eq!(refused.status, 413);
    let mut stream = connect(site.gateway.port);
    stream.write_all(format!("{announced}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
    for _ in 0..20 {
        // The answer may come, and the connection close, before everything is sent.
        if stream.write_all(format!("1000\r\n{}\r\n", "a".repeat(4096)).as_bytes()).is_err() {
            break;
        }
    }
    assert_eq!(read_reply(&mut stream, false).unwrap().status, 413);
}
