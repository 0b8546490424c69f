//! What is taken out of the configuration is gone at the next request, whatever was remembered of it.

use crate::change::Change as _;
use crate::support::http::Request;
use crate::support::site::{ALICE, BOB, SETUP, Setup, Site, blob};
use crate::support::upstream::ok;

const BOBS_RULE: &str = "who = [\"user:bob\"]\nrepositories = [\"team/**\"]\nactions = [\"pull\"]\n";

/// The status of alice's, bob's or nobody's request for a blob by a token.
fn by_token(site: &Site, token: &str) -> u16 {
    Request::new(site.gateway.port, "GET", &blob()).bearer(token).send().status
}

fn by_password(site: &Site, (user, password): (&str, &str)) -> u16 {
    Request::new(site.gateway.port, "GET", &blob()).basic(user, password).send().status
}

#[test]
fn a_rule_that_is_gone_grants_nothing_at_the_next_request() {
    let site = Site::new(ok);
    let token = site.gateway.token(Some(BOB), &["repository:team/app:pull"]);
    assert_eq!((by_token(&site, &token), by_password(&site, BOB)), (200, 200));
    site.replace(BOBS_RULE, "who = [\"user:bob\"]\nrepositories = [\"other/**\"]\nactions = [\"pull\"]\n");
    // The token still says what was granted when it was issued; what it is good for is decided at use.
    assert_eq!((by_token(&site, &token), by_password(&site, BOB)), (401, 403));
    let alice = site.gateway.token(Some(ALICE), &["repository:team/app:pull"]);
    assert_eq!(by_token(&site, &alice), 200);
}

#[test]
fn what_nobody_might_read_may_be_read_at_the_next_request() {
    let site = Site::new(ok);
    let by_nobody = || Request::new(site.gateway.port, "GET", &blob()).send().status;
    assert_eq!([by_nobody(), by_nobody()], [401, 401]);
    let for_all = BOBS_RULE.replace("user:bob", "anyone");
    site.replace(BOBS_RULE, &for_all);
    assert_eq!([by_nobody(), by_nobody()], [200, 200]);
    site.replace(&for_all, BOBS_RULE);
    assert_eq!([by_nobody(), by_nobody()], [401, 401]);
}

#[test]
fn a_user_that_is_gone_is_nobody_at_the_next_request() {
    let site = Site::new(ok);
    let token = site.gateway.token(Some(BOB), &["repository:team/app:pull"]);
    assert_eq!((by_token(&site, &token), by_password(&site, BOB)), (200, 200));
    site.replace("[users.bob]", "[users.bert]");
    assert_eq!((by_token(&site, &token), by_password(&site, BOB)), (401, 401));
    assert_eq!(site.gateway.ask_token(Some(BOB), &["repository:team/app:pull"]).status, 401);
    // And back again: what was refused is not remembered either.
    site.replace("[users.bert]", "[users.bob]");
    assert_eq!((by_token(&site, &token), by_password(&site, BOB)), (200, 200));
}

#[test]
fn a_group_that_is_gone_counts_for_nothing_at_the_next_request() {
    let rest = "[groups]\nops = [\"user:bob\"]\n";
    let site = Site::with(&Setup { rest, ..SETUP }, ok);
    site.replace(BOBS_RULE, "who = [\"group:ops\"]\nrepositories = [\"team/**\"]\nactions = [\"pull\"]\n");
    let token = site.gateway.token(Some(BOB), &["repository:team/app:pull"]);
    assert_eq!((by_token(&site, &token), by_password(&site, BOB)), (200, 200));
    site.replace("ops = [\"user:bob\"]", "ops = [\"user:alice\"]");
    assert_eq!((by_token(&site, &token), by_password(&site, BOB)), (401, 403));
}

#[test]
fn who_guesses_goes_on_waiting() {
    let rest = "[limits]\nlogin_failures_per_address = 5\npassword_cache = \"0\"\n";
    let site = Site::with(&Setup { rest, ..SETUP }, ok);
    assert_eq!(site.gateway.ask_token(Some(ALICE), &[]).status, 200);
    let guess = |number: u32| site.gateway.ask_token(Some((&format!("user-{number}"), "a guess")), &[]);
    let judged = (0..20).take_while(|number| guess(*number).status == 401).count();
    assert_eq!(judged, 5);
    // With the same configuration, and with another one.
    for change in [
        "# nothing else",
        "[users.carol]\npassword_hash = \"$2b$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy\"",
    ] {
        site.change(|text| format!("{text}\n{change}\n"));
        let refused = guess(100).expect(429);
        // Longer than any reload takes: it is the wait from before.
        let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((60..=600).contains(&wait), "{wait}");
        assert_eq!(site.gateway.ask_token(Some(ALICE), &[]).status, 200, "what was known to be right still is");
    }
}

#[test]
fn settings_of_connections_and_names_change_too() {
    let site = Site::new(ok);
    let long = format!("X-Long: {}\r\n", "x".repeat(20_000));
    assert_eq!(site.ask("GET", &blob(), &long).0.status(), 200);
    site.change(|text| format!("{text}\n[limits]\nheader_bytes = \"8KiB\"\n"));
    let mut client = site.connect();
    client.send(format!("{}{long}\r\n", site.begin("GET", &blob())));
    assert_eq!(client.head().status(), 431);
    site.replace("public_url = [", "public_url = [\"https://registry.example\", ");
    let challenge = Request::new(site.gateway.port, "GET", "/v2/").host("registry.example").send().expect(401);
    let challenge = challenge.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer realm=\"https://registry.example/token\""), "{challenge}");
}
