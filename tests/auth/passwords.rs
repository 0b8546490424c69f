//! Log-ins: what can be told from their answers, and what they may cost.

use std::sync::Barrier;

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};

use crate::jwt::claims;
use crate::setup::{ALICE, BOB, Site, USERS, add, eventually};
use crate::support::http::{Reply, Request, get};

/// An argon2id hash that takes this many passes over 19 MiB.
fn argon2id(password: &str, passes: u32) -> String {
    let params = Params::new(19_456, passes, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password.as_bytes()).unwrap().to_string()
}

/// What a client can see of an answer.
fn seen(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let headers = reply.headers.iter().filter(|(name, _)| name != "date").cloned().collect();
    (reply.status, headers, reply.text())
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let site = Site::with(|settings, dir| {
        std::fs::write(dir.join("htpasswd"), format!("dave:{}\n", bcrypt::hash("right", 4).unwrap())).unwrap();
        settings.rest.push_str("[[authn]]\nkind = \"htpasswd\"\nfile = \"htpasswd\"\n");
    });
    for (method, target) in [("GET", "/token"), ("GET", "/v2/"), ("HEAD", "/v2/"), ("GET", "/v2/alice/a/manifests/v1")]
    {
        let ask = |name: &str| seen(&site.request(method, target).basic(name, "wrong").send());
        let known = ask("alice");
        assert_eq!(known.0, 401);
        for name in ["dave", "nobody", "admin", "al ice", &"a".repeat(300)] {
            assert_eq!(ask(name), known, "{method} {target} {name}");
        }
    }
    let form = |name: &str| seen(&site.form(&format!("grant_type=password&username={name}&password=wrong")));
    assert_eq!(form("alice"), form("nobody"));
    assert_eq!(form("alice"), form("dave"));
}

#[test]
fn both_kinds_of_hashes_are_taken() {
    let hash = argon2id("right", 1);
    let site = Site::with(|settings, dir| {
        let bcrypt = bcrypt::hash("right", 5).unwrap();
        std::fs::write(dir.join("htpasswd"), format!("# people\n\ndave:{bcrypt}\nerin:{hash}\n")).unwrap();
        add(
            settings,
            &format!("[[authn]]\nkind = \"htpasswd\"\nfile = \"htpasswd\"\n[users.frank]\npassword_hash = '{hash}'\n"),
        );
    });
    for name in ["dave", "erin", "frank"] {
        let token = site.token(Some((name, "right")), &[]);
        assert_eq!(claims(&token)["sub"], name);
        let member = if name == "frank" { "users" } else { "htpasswd" };
        assert_eq!(claims(&token)["tidegate"]["authn"], member);
        site.gateway.ask_token(Some((name, "wrong")), &[]).expect(401);
        site.gateway.ask_token(Some((name, "right ")), &[]).expect(401);
    }
}

/// bcrypt looks at 72 bytes, the NUL at the end among them; what is longer must not be taken for what it begins with.
#[test]
fn a_long_password_is_not_cut() {
    let full = "a".repeat(71);
    let hash = bcrypt::hash(&full, 4).unwrap();
    let site = Site::with(|settings, _| add(settings, &format!("[users.long]\npassword_hash = '{hash}'\n")));
    site.get("/token").basic("long", &full).send().expect(200);
    for longer in [format!("{full}a"), format!("{full}b"), "a".repeat(500)] {
        site.get("/token").basic("long", &longer).send().expect(401);
    }
    site.get("/token").basic("long", &full[1..]).send().expect(401);
}

#[test]
fn the_first_member_that_knows_a_user_decides() {
    for (first, second, expected) in [(USERS, "htpasswd", "users"), ("htpasswd", USERS, "htpasswd")] {
        let file = "[[authn]]\nkind = \"htpasswd\"\nfile = \"htpasswd\"\n";
        let chain = [first, second].map(|member| if member == "htpasswd" { file } else { member }).concat();
        let site = Site::with(|settings, dir| {
            std::fs::write(dir.join("htpasswd"), format!("alice:{}\n", bcrypt::hash("of-the-file", 4).unwrap()))
                .unwrap();
            settings.rest = chain;
        });
        let passwords = [("users", ALICE.1), ("htpasswd", "of-the-file")];
        for (member, password) in passwords {
            let reply = site.gateway.ask_token(Some(("alice", password)), &[]);
            assert_eq!(reply.status, if member == expected { 200 } else { 401 }, "{member} where {expected} is first");
        }
        // Whom only the second knows, it decides about.
        site.gateway.ask_token(Some(BOB), &[]).expect(200);
    }
}

/// Lets `count` threads ask at once.
fn at_once(count: usize, ask: impl Fn(usize) -> Reply + Sync, meanwhile: impl FnOnce()) -> Vec<Reply> {
    let start = Barrier::new(count + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                let (start, ask) = (&start, &ask);
                scope.spawn(move || {
                    start.wait();
                    ask(n)
                })
            })
            .collect();
        start.wait();
        meanwhile();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn hashing_is_bounded_and_the_rest_goes_on() {
    // So dear that the bound is reached long before the first check ends.
    let hash = argon2id("right", 15);
    let site = Site::with(|settings, _| {
        settings.users.clear();
        add(settings, &format!("[users.dear]\npassword_hash = '{hash}'\n[limits]\npassword_hashing = 1\n"));
    });
    let dear = || site.get("/token").basic("dear", "right");
    // Remembered from now on: it costs nothing more.
    dear().send().expect(200);
    let anonymous = site.token(None, &["repository:public/a:pull"]);
    let (port, admin) = (site.gateway.port, site.gateway.admin);
    let ask = |n: usize| match n % 3 {
        0 => Request::new(port, "GET", "/token").basic("dear", &format!("wrong-{n}")).send(),
        1 => Request::new(port, "GET", "/v2/").basic(&format!("nobody-{n}"), "wrong").send(),
        _ => {
            let form = format!("grant_type=password&username=dear&password=wrong-{n}");
            let request = Request::new(port, "POST", "/token");
            request.header("Content-Type", "application/x-www-form-urlencoded").body(form.as_bytes()).send()
        }
    };
    let replies = at_once(45, ask, || {
        for _ in 0..3 {
            get(admin, "/healthz", None).expect(200);
            dear().send().expect(200);
            site.get("/v2/public/a/manifests/v1").bearer(&anonymous).send().expect(200);
        }
    });
    let with = |status: u16| replies.iter().filter(|reply| reply.status == status).collect::<Vec<_>>();
    let (busy, judged) = (with(429), with(401));
    assert_eq!(busy.len() + judged.len(), replies.len(), "{:?}", replies.iter().map(|r| r.status).collect::<Vec<_>>());
    assert!(!busy.is_empty() && !judged.is_empty(), "{} busy, {} judged", busy.len(), judged.len());
    for reply in busy {
        let after: u32 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&after));
        assert_eq!(crate::setup::code(reply), "TOOMANYREQUESTS");
        assert_eq!(reply.header("www-authenticate"), None, "busy is not wrong");
    }
    // And when it is over, it is over.
    site.gateway.ask_token(Some(("dear", "right")), &[]).expect(200);
    eventually("a wrong password is judged again", || {
        site.gateway.ask_token(Some(("dear", "wrong")), &[]).status == 401
    });
}

#[test]
fn identical_log_ins_share_one_check() {
    let hash = argon2id("right", 15);
    let site = Site::with(|settings, _| {
        settings.users.clear();
        add(
            settings,
            &format!(
                "[users.dear]\npassword_hash = '{hash}'\n[limits]\npassword_hashing = 1\npassword_cache = \"0s\"\n"
            ),
        );
    });
    // Many more than the bound would let wait.
    let replies = at_once(30, |_| site.get("/token").basic("dear", "right").send(), || {});
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{:?}",
        replies.iter().map(|r| r.status).collect::<Vec<_>>()
    );
}
