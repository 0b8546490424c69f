//! Log-ins that fail too often, and who is not concerned by them.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::setup::{ALICE, BOB, DIGEST, Site, add};
use crate::support::http::{Reply, Request};

/// Clients are told apart by what a proxy says of them, three failures are free, and nothing that was right is remembered.
fn site(limits: &str) -> Site {
    Site::with(|settings, _| {
        settings.server = "trusted_proxies = [\"127.0.0.1\"]".into();
        add(settings, &format!("[limits]\npassword_cache = \"0\"\nlogin_failures = 3\n{limits}"));
    })
}

const HERE: &str = "192.0.2.1";
const THERE: &str = "192.0.2.2";

fn from(request: Request, address: &str) -> Request {
    request.header("X-Forwarded-For", address)
}

/// What GET to the token endpoint is answered.
fn token(site: &Site, address: &str, (user, password): (&str, &str)) -> Reply {
    from(site.get("/token"), address).basic(user, password).send()
}

/// Fails with passwords that are all different until one has to wait; says how many were judged.
///
/// The first delays are short: on a machine that is slower than they are, some more are judged.
#[track_caller]
fn exhaust(fail: impl Fn(&str) -> Reply) -> usize {
    for count in 0..20 {
        let reply = fail(&format!("wrong-{count}-{}", fresh()));
        if reply.status != 401 {
            is_throttled(&reply);
            return count;
        }
    }
    panic!("nobody ever has to wait");
}

/// A number that was not there before.
fn fresh() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[track_caller]
fn is_throttled(reply: &Reply) {
    assert_eq!(reply.status, 429, "{}", reply.text());
    assert_eq!(reply.json()["errors"][0]["code"], "TOOMANYREQUESTS");
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=300).contains(&wait), "{wait}");
}

#[test]
fn failures_of_one_account_from_one_address_are_delayed_and_nobody_else_is() {
    let site = site("");
    // Known as right from now on.
    assert_eq!(token(&site, THERE, ALICE).status, 200);
    assert!(exhaust(|password| token(&site, HERE, (ALICE.0, password))) >= 3, "three are free");
    assert_eq!(token(&site, HERE, BOB).status, 200, "another account");
    assert_eq!(token(&site, THERE, (ALICE.0, "wrong")).status, 401, "from elsewhere");
    for _ in 0..5 {
        assert_eq!(token(&site, HERE, ALICE).status, 200, "a password that is known to be right");
    }
    // The audit says who was tried.
    let line = site.gateway.log();
    assert!(line.contains("too many failed log-ins") && line.contains("\"claimed\":\"alice\""), "{line}");
}

#[test]
fn every_door_counts() {
    let site = site("");
    let get = |address: &str, password: &str| {
        from(site.get(&format!("/v2/alice/app/blobs/{DIGEST}")), address).basic(ALICE.0, password).send()
    };
    assert!(exhaust(|password| get(HERE, password)) >= 3);
    // None is free any more, whatever the door.
    assert!(exhaust(|password| token(&site, HERE, (ALICE.0, password))) < 3);
    assert!(exhaust(|password| post(&site, HERE, (ALICE.0, password))) < 3);
    assert!(exhaust(|password| get(HERE, password)) < 3);
}

/// What a POST to the token endpoint is answered.
fn post(site: &Site, address: &str, (user, password): (&str, &str)) -> Reply {
    let form = format!(
        "grant_type=password&service={}&client_id=containerd&username={user}&password={password}",
        site.gateway.host()
    );
    let request =
        from(site.request("POST", "/token"), address).header("Content-Type", "application/x-www-form-urlencoded");
    request.body(form.as_bytes()).send()
}

#[test]
fn a_client_that_tries_post_and_then_get_fails_once() {
    let site = site("");
    for n in 0..3 {
        let wrong = format!("wrong-{n}");
        assert_eq!(post(&site, HERE, (ALICE.0, &wrong)).status, 401);
        assert_eq!(token(&site, HERE, (ALICE.0, &wrong)).status, 401, "try {n}: the client is to hear why");
    }
    // That was three, not six: the next one has to wait.
    assert!(exhaust(|password| token(&site, HERE, (ALICE.0, password))) < 3);
}

#[test]
fn one_address_that_tries_many_accounts_has_to_wait() {
    let site = site("login_failures_per_address = 5\n");
    let tried = (0..50).take_while(|n| token(&site, HERE, (&format!("user-{n}"), "x")).status == 401).count();
    assert_eq!(tried, 5);
    is_throttled(&token(&site, HERE, BOB));
    assert_eq!(token(&site, THERE, BOB).status, 200);
    assert_eq!(token(&site, HERE, BOB).status, 200, "known by now");
}

#[test]
fn keys_and_clients_are_guessed_no_faster() {
    let site = Site::with(|settings, _| {
        settings.server = "trusted_proxies = [\"127.0.0.1\"]".into();
        add(
            settings,
            "[limits]\nlogin_failures = 3\nlogin_failures_per_address = 6\n\
             [[route]]\nprefix = \"/api/\"\nupstream = \"registry\"\nauth = \"api\"\n",
        );
    });
    let key = |n: usize| from(site.get("/api/x"), HERE).header("X-API-Key", &format!("tgk_{n}")).send();
    let tried = (0..50).take_while(|n| key(*n).status == 401).count();
    assert_eq!(tried, 6);
    is_throttled(&key(50));
    is_throttled(&token(&site, HERE, ALICE));
}

#[test]
fn token_requests_have_a_rate_that_known_callers_do_not_feel() {
    let site = Site::with(|settings, _| {
        settings.server = "trusted_proxies = [\"127.0.0.1\"]".into();
        add(settings, "[limits]\ntoken_rate = 1\n");
    });
    assert_eq!(token(&site, THERE, ALICE).status, 200);
    let anonymous = |address: &str| from(site.get("/token"), address).send().status;
    // Ten at once, and one a second: as fast as they come, they are soon too many.
    let passed = (0..200).take_while(|_| anonymous(HERE) == 200).count();
    assert!((10..200).contains(&passed), "{passed}");
    assert_eq!(anonymous(THERE), 200);
    for _ in 0..20 {
        assert_eq!(token(&site, HERE, ALICE).status, 200);
    }
}
