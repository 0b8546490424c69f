//! Rules at use: what a token was granted is judged again by the request, the client and what is known of the user now.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::jwt::access;
use crate::setup::{ALICE, BOB, DIGEST, Site, USERS, add, challenged, eventually, htpasswd};
use crate::support::http::{Request, connect, read_reply};

const OWN: &str = "[[access]]\nwho = [\"authenticated\"]\nrepositories = [\"${user}/**\"]\nactions = [\"*\"]\n";

fn put(site: &Site, target: &str, token: &str) -> u16 {
    site.request("PUT", target).bearer(token).body(b"{}").send().status
}

#[test]
fn a_deny_that_reads_the_reference_is_judged_at_use() {
    let site = Site::with_rules(&format!(
        "{OWN}[[access]]\nwho = [\"anyone\"]\nrepositories = [\"**\"]\nactions = [\"push\"]\neffect = \"deny\"\n\
         when = '.request.reference == \"latest\"'\n"
    ));
    let token = site.token(Some(ALICE), &["repository:alice/app:pull,push"]);
    assert_eq!(access(&token), ["repository:alice/app:pull,push"], "not known when it is issued");
    assert_eq!(put(&site, "/v2/alice/app/manifests/v1", &token), 200);
    let digest = format!("/v2/alice/app/manifests/{DIGEST}");
    assert_eq!(put(&site, &digest, &token), 200);
    assert_eq!(put(&site, &format!("{digest}?tag=v1"), &token), 200);
    assert_eq!(site.forwarded().len(), 3);
    for target in
        ["/v2/alice/app/manifests/latest", "/v2/alice/app/manifests/l%61test", &format!("{digest}?tag=v1&tag=latest")]
    {
        let reply = site.request("PUT", target).bearer(&token).body(b"{}").send().expect(401);
        assert_eq!(challenged(&reply, "error").as_deref(), Some("insufficient_scope"), "{target}");
        site.request("PUT", target).basic(ALICE.0, ALICE.1).body(b"{}").send().expect(403);
    }
    site.nothing_forwarded();
    site.get("/v2/alice/app/manifests/latest").bearer(&token).send().expect(200);
}

#[test]
fn a_deny_that_reads_the_method_is_judged_at_use() {
    let site = Site::with_rules(&format!(
        "{OWN}[[access]]\nwho = [\"anyone\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\neffect = \"deny\"\n\
         when = '.request.method == \"HEAD\"'\n"
    ));
    let token = site.token(Some(ALICE), &["repository:alice/app:pull"]);
    let target = "/v2/alice/app/manifests/v1";
    for _ in 0..2 {
        site.get(target).bearer(&token).send().expect(200);
        site.request("HEAD", target).bearer(&token).send().expect(401);
    }
}

#[test]
fn an_allow_that_reads_them_grants_nothing_at_issue() {
    let site = Site::with_rules(
        "[[access]]\nwho = [\"authenticated\"]\nrepositories = [\"**\"]\nactions = [\"pull\"]\n\
         when = '.request.reference == \"v1\"'\n",
    );
    let token = site.token(Some(ALICE), &["repository:x:pull"]);
    assert_eq!(access(&token), [""; 0]);
    site.get("/v2/x/manifests/v1").bearer(&token).send().expect(401);
    site.nothing_forwarded();
    site.get("/v2/x/manifests/v1").basic(ALICE.0, ALICE.1).send().expect(200);
    site.get("/v2/x/manifests/v2").basic(ALICE.0, ALICE.1).send().expect(403);
}

#[test]
fn predicates_read_who_asks_and_fail_closed() {
    let allow = |name: &str, when: &str| {
        format!(
            "[[access]]\nwho = [\"authenticated\"]\nrepositories = [\"{name}\"]\nactions = [\"pull\"]\nwhen = '{when}'\n"
        )
    };
    let open =
        |name: &str| format!("[[access]]\nwho = [\"anyone\"]\nrepositories = [\"{name}\"]\nactions = [\"pull\"]\n");
    let deny = |name: &str, when: &str| {
        format!(
            "{}[[access]]\nwho = [\"anyone\"]\nrepositories = [\"{name}\"]\nactions = [\"*\"]\neffect = \"deny\"\nwhen = '{when}'\n",
            open(name)
        )
    };
    let site = Site::with_rules(
        &[
            allow("dev", ".groups | any(. == \"dev\")"),
            allow("member", ".authn == \"users\" and .anonymous == false and .service != null"),
            allow("prefixed", ".subject | startswith(\"al\")"),
            allow("action", ".request.action == \"pull\" and .request.repository == \"action\""),
            allow("broken-allow", ".subject.name"),
            allow("truthy-allow", ".subject"),
            deny("broken-deny", ".subject.name"),
            deny("truthy-deny", ".subject"),
            deny("false-deny", "false"),
        ]
        .concat(),
    );
    for (name, alice, bob) in [
        ("dev", true, false),
        ("member", true, true),
        ("prefixed", true, false),
        ("action", true, true),
        ("broken-allow", false, false),
        ("truthy-allow", false, false),
        ("broken-deny", false, false),
        ("truthy-deny", false, false),
        ("false-deny", true, true),
    ] {
        for (user, allowed) in [(ALICE, alice), (BOB, bob)] {
            let scope = format!("repository:{name}:pull");
            let token = site.token(Some(user), &[&scope]);
            assert_eq!(access(&token), if allowed { vec![scope.as_str()] } else { vec![] }, "{name} {}", user.0);
            let target = format!("/v2/{name}/tags/list");
            assert_eq!(site.get(&target).bearer(&token).send().status, if allowed { 200 } else { 401 }, "{name}");
            assert_eq!(
                site.get(&target).basic(user.0, user.1).send().status,
                if allowed { 200 } else { 403 },
                "{name}"
            );
        }
    }
}

/// From behind a proxy that says so.
fn from(request: Request, address: &str) -> Request {
    request.header("X-Forwarded-For", address)
}

#[test]
fn the_clients_address_is_judged_at_each_use() {
    let site = Site::with(|settings, _| {
        settings.server = "trusted_proxies = [\"127.0.0.0/8\"]".into();
        settings.rest = format!(
            "{USERS}[[access]]\nwho = [\"authenticated\"]\nrepositories = [\"inside/**\"]\nactions = [\"pull\"]\n\
             from = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n\
             [[access]]\nwho = [\"anyone\"]\nrepositories = [\"public/**\"]\nactions = [\"pull\"]\n\
             [[access]]\nwho = [\"anyone\"]\nrepositories = [\"**\"]\nactions = [\"*\"]\neffect = \"deny\"\nfrom = [\"192.0.2.0/24\"]\n"
        );
    });
    let ask = |address: &str| {
        let request =
            site.get("/token?scope=repository:inside/a:pull+repository:public/a:pull").basic(ALICE.0, ALICE.1);
        from(request, address).send().expect(200).json()["token"].as_str().unwrap().to_owned()
    };
    let (inside, public) = ("repository:inside/a:pull", "repository:public/a:pull");
    let token = ask("10.1.2.3");
    assert_eq!(access(&token), [inside, public]);
    assert_eq!(access(&ask("2001:db8::7")), [inside, public]);
    assert_eq!(access(&ask("203.0.113.1")), [public]);
    assert_eq!(access(&ask("192.0.2.1")), [""; 0]);
    // One token from here and from there, over and over: nothing remembered of one address counts for another.
    let get = |target: &str, address: &str| from(site.get(target).bearer(&token), address).send().status;
    for _ in 0..3 {
        assert_eq!(get("/v2/inside/a/manifests/v1", "10.1.2.3"), 200);
        assert_eq!(get("/v2/inside/a/manifests/v1", "203.0.113.1"), 401);
        assert_eq!(get("/v2/inside/a/manifests/v1", "192.0.2.1"), 401);
        assert_eq!(get("/v2/inside/a/manifests/v1", "10.200.0.1"), 200);
        assert_eq!(get("/v2/public/a/manifests/v1", "203.0.113.1"), 200);
        assert_eq!(get("/v2/public/a/manifests/v1", "192.0.2.1"), 401);
        // Only the address nearest to the proxy is the client's; what stands before it, anybody may have written.
        assert_eq!(get("/v2/inside/a/manifests/v1", "10.1.2.3, 203.0.113.1"), 401);
        assert_eq!(get("/v2/public/a/manifests/v1", "192.0.2.1, 203.0.113.1"), 200);
        // An IPv4 address is one in whatever clothes it comes.
        assert_eq!(get("/v2/public/a/manifests/v1", "::ffff:192.0.2.1"), 401);
        assert_eq!(get("/v2/public/a/manifests/v1", "192.0.2.1:4711"), 401);
        assert_eq!(get("/v2/inside/a/manifests/v1", "[2001:db8::1]:443"), 200);
    }
    assert_eq!(from(site.get("/v2/inside/a/manifests/v1").basic(ALICE.0, ALICE.1), "10.9.9.9").send().status, 200);
    assert_eq!(from(site.get("/v2/inside/a/manifests/v1").basic(ALICE.0, ALICE.1), "203.0.113.1").send().status, 403);
    assert_eq!(from(site.get("/v2/public/a/manifests/v1"), "192.0.2.9").send().status, 401);
}

#[test]
fn an_address_that_nobody_vouches_for_is_not_believed() {
    let rules =
        "[[access]]\nwho = [\"anyone\"]\nrepositories = [\"**\"]\nactions = [\"pull\"]\nfrom = [\"10.0.0.0/8\"]\n";
    let site = Site::with_rules(rules);
    for header in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP"] {
        let value = if header == "Forwarded" { "for=10.1.1.1" } else { "10.1.1.1" };
        site.get("/v2/x/manifests/v1").header(header, value).send().expect(401);
    }
    site.nothing_forwarded();
}

#[test]
fn whoever_is_taken_out_of_the_file_is_out() {
    let site = Site::with(|settings, dir| {
        std::fs::write(dir.join("htpasswd"), htpasswd(&[("dave", "dave-pass"), ("erin", "erin-pass")])).unwrap();
        settings.rest = format!("{USERS}[[authn]]\nkind = \"htpasswd\"\nfile = \"htpasswd\"\n{OWN}");
    });
    let (dave, erin) = (("dave", "dave-pass"), ("erin", "erin-pass"));
    let token = site.token(Some(dave), &["repository:dave/app:pull"]);
    let others = site.token(Some(erin), &["repository:erin/app:pull"]);
    let target = "/v2/dave/app/manifests/v1";
    site.get(target).bearer(&token).send().expect(200);
    site.get(target).basic(dave.0, dave.1).send().expect(200);

    std::fs::write(site.dir.path().join("htpasswd"), htpasswd(&[erin])).unwrap();
    eventually("the token of a removed user is refused", || site.get(target).bearer(&token).send().status == 401);
    site.forwarded();
    let reply = site.get(target).bearer(&token).send().expect(401);
    assert_eq!(challenged(&reply, "error").as_deref(), Some("invalid_token"));
    site.get("/v2/").bearer(&token).send().expect(401);
    site.get(target).basic(dave.0, dave.1).send().expect(401);
    site.gateway.ask_token(Some(dave), &[]).expect(401);
    site.nothing_forwarded();
    site.get("/v2/erin/app/manifests/v1").bearer(&others).send().expect(200);

    // A file that cannot be understood changes nothing, and locks nobody out.
    std::fs::write(site.dir.path().join("htpasswd"), "erin:plain\n").unwrap();
    eventually("the log says what is wrong with the file", || {
        // It is looked at when it is used.
        site.gateway.ask_token(Some(erin), &[]).expect(200);
        site.gateway.log().contains("htpasswd:1")
    });
    site.gateway.ask_token(Some(erin), &[]).expect(200);
    // A changed password is changed, though the old one was remembered.
    std::fs::write(site.dir.path().join("htpasswd"), htpasswd(&[("erin", "new-pass")])).unwrap();
    eventually("the old password is refused", || site.gateway.ask_token(Some(erin), &[]).status == 401);
    site.gateway.ask_token(Some(("erin", "new-pass")), &[]).expect(200);
}

#[test]
fn a_group_that_was_taken_away_counts_no_more() {
    let rules = "[[access]]\nwho = [\"group:team\"]\nrepositories = [\"team/**\"]\nactions = [\"pull\"]\n\
                 [groups]\nteam = [\"user:bob\", \"user:alice\"]\n";
    let mut site = Site::with_rules(rules);
    let target = "/v2/team/app/manifests/v1";
    let tokens = [BOB, ALICE].map(|user| site.token(Some(user), &["repository:team/app:pull"]));
    for token in &tokens {
        site.get(target).bearer(token).send().expect(200);
    }
    site.restart(|config| config.replace("[\"user:bob\", \"user:alice\"]", "[\"user:alice\"]"));
    let reply = site.get(target).bearer(&tokens[0]).send().expect(401);
    assert_eq!(challenged(&reply, "error").as_deref(), Some("insufficient_scope"));
    site.get(target).bearer(&tokens[1]).send().expect(200);
    assert_eq!(access(&site.token(Some(BOB), &["repository:team/app:pull"])), [""; 0]);
    // So it is with a user, and with a rule.
    site.restart(|config| config.replace("[users.alice]", "[users.alicia]").replace("user:alice", "user:alicia"));
    let reply = site.get(target).bearer(&tokens[1]).send().expect(401);
    assert_eq!(challenged(&reply, "error").as_deref(), Some("invalid_token"));
}

#[test]
fn an_answer_to_one_question_is_none_to_another() {
    let site = Site::with_rules(&format!(
        "{OWN}[[access]]\nwho = [\"anyone\"]\nrepositories = [\"*/secret\"]\nactions = [\"*\"]\neffect = \"deny\"\n"
    ));
    let token = site.token(Some(ALICE), &["repository:alice/app:pull,push", "repository:alice/secret:pull"]);
    assert_eq!(access(&token), ["repository:alice/app:pull,push"]);
    for _ in 0..3 {
        assert_eq!(site.get("/v2/alice/app/manifests/v1").bearer(&token).send().status, 200);
        assert_eq!(put(&site, "/v2/alice/app/manifests/v1", &token), 200);
        for (method, target) in [
            ("DELETE", "/v2/alice/app/manifests/v1"),
            ("GET", "/v2/alice/secret/manifests/v1"),
            ("GET", "/v2/alice/%73ecret/manifests/v1"),
            ("GET", "/v2/bob/app/manifests/v1"),
            ("GET", "/v2/alice/app/x/manifests/v1"),
            ("GET", "/v2/_catalog"),
        ] {
            assert_eq!(site.request(method, target).bearer(&token).send().status, 401, "{method} {target}");
        }
    }
    assert!(site.forwarded().iter().all(|seen| seen.target == "/v2/alice/app/manifests/v1" && seen.method != "DELETE"));
}

#[test]
fn callers_on_one_connection_are_apart() {
    let site = Site::start();
    let token = site.token(Some(ALICE), &["repository:alice/app:pull"]);
    let alice = format!("Authorization: Bearer {token}\r\n");
    let bob = format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{}:{}", BOB.0, BOB.1)));
    let mut stream = connect(site.gateway.port);
    for (credentials, status) in
        [("", 401), (&*alice, 200), ("", 401), (&*bob, 403), (&*alice, 200), (&*bob, 403), ("", 401)]
    {
        let request =
            format!("GET /v2/alice/app/manifests/v1 HTTP/1.1\r\nHost: {}\r\n{credentials}\r\n", site.gateway.host());
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).unwrap().status, status, "{credentials}");
    }
    assert_eq!(site.forwarded().len(), 2);
}

#[test]
fn names_are_data() {
    let hash = bcrypt::hash("pass", 4).unwrap();
    let site = Site::with(|settings, _| {
        settings.rest = format!("{USERS}{OWN}");
        for name in ["a@b.com", "team/app", "*", "..", "alice.x"] {
            add(settings, &format!("[users.\"{name}\"]\npassword_hash = '{hash}'\n"));
        }
    });
    for name in ["a@b.com", "team/app", "*", ".."] {
        let scopes =
            ["repository:team/app/x:pull", "repository:alice/x:pull", "repository:a/b:pull", "repository:x:pull"];
        let token = site.token(Some((name, "pass")), &scopes);
        assert_eq!(access(&token), [""; 0], "{name}");
        site.get("/v2/team/app/x/manifests/v1").basic(name, "pass").send().expect(403);
    }
    assert_eq!(
        access(&site.token(Some(("alice.x", "pass")), &["repository:alice.x/a:pull"])),
        ["repository:alice.x/a:pull"]
    );
    assert_eq!(access(&site.token(Some(("alice.x", "pass")), &["repository:alice/a:pull"])), [""; 0]);
}
