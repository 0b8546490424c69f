//! `tidegate token`.

use crate::support::{ALICE, Place};

const RULES: &str = "
[[access]]
who = ['group:dev']
repositories = ['${user}/**']
actions = ['pull', 'push']
";

fn place() -> Place {
    Place::new(&format!("{ALICE}{RULES}"))
}

/// The one line that is a token.
fn minted(place: &Place, args: &[&str]) -> String {
    let ran = place.run(&[&["token", "mint"], args].concat());
    let token = ran.out(0).strip_suffix('\n').unwrap().to_owned();
    assert!(token.split('.').count() == 3 && !token.contains(char::is_whitespace), "{token}");
    assert!(!ran.err.contains(&token), "{}", ran.err);
    token
}

#[test]
fn a_token_carries_what_the_rules_grant() {
    let place = place();
    let args = ["--user", "alice", "--scope", "repository:alice/app:pull,push,delete repository:bob/app:pull"];
    let ran = place.run(&[&["token", "mint"], &args[..]].concat());
    assert!(ran.err.contains("granted: repository:alice/app:pull,push\n"), "{ran:#?}");
    assert!(ran.err.contains("less is granted than was asked for"), "{ran:#?}");
    let inspected = place.run_with(&["token", "inspect"], ran.out(0));
    let out = inspected.out(0);
    let accepted = "accepted: user alice, from users, for 127.0.0.1:5000, repository:alice/app:pull,push\n";
    assert!(out.ends_with(accepted), "{out}");
    assert!(out.contains("\"alg\": \"ES256\"") && out.contains("\"sub\": \"alice\""), "{out}");
    assert!(!out.contains(ran.out.trim().rsplit('.').next().unwrap()), "the signature is printed");
}

#[test]
fn without_asking_the_rules_all_of_it_is_granted() {
    let place = place();
    let denied = ["--anonymous", "--scope", "repository:bob/app:pull", "--scope", "registry:catalog:*"];
    let ran = place.run(&[&["token", "mint"], &denied[..]].concat());
    assert!(ran.err(1).contains("the rules grant nothing of what was asked for"), "{ran:#?}");
    assert!(ran.err.contains("hint: `tidegate explain` says why"), "{ran:#?}");
    let token = minted(&place, &[&denied[..], &["--all"]].concat());
    let inspected = place.run_with(&["token", "inspect", "-"], &token);
    assert!(inspected.out(0).contains("accepted: anonymous, for"), "{inspected:#?}");
    assert!(inspected.out.contains("registry:catalog:*, repository:bob/app:pull"), "{inspected:#?}");
}

#[test]
fn inspect_takes_a_token_as_it_was_copied() {
    let place = place();
    let token = minted(&place, &["--user", "alice"]);
    place.run_with(&["token", "inspect"], &format!("  Bearer {token}\r\n")).out(0);
    place.run(&["token", "inspect", &token]).out(0);
    place.run(&["token", "inspect", &minted(&place, &["--kind", "api"])]).out(0);
}

#[test]
fn a_refusal_is_said_in_words() {
    let place = place();
    let token = minted(&place, &["--user", "alice"]);
    let inspect = |token: &str| place.run_with(&["token", "inspect"], token);
    let refused = |token: &str, why: &str| {
        let ran = inspect(token);
        assert!(ran.out(1).contains(&format!("refused: {why}")), "{ran:#?}");
    };
    refused("abc", "the token is not a signed JWT of three parts");
    let (rest, _) = token.rsplit_once('.').unwrap();
    refused(&format!("{rest}.AAAA"), "the token's signature is wrong");
    refused(&"x".repeat(20_000), "the token is too long");

    place.configure(&format!("{ALICE}{RULES}[token]\nservice = 'elsewhere'\n"));
    refused(&token, "the token is for another audience");
    assert!(inspect(&token).out(1).contains("hint: aud is \"127.0.0.1:5000\"; `token.service` is [\"elsewhere\"]"));
    place.configure(&format!("{ALICE}{RULES}[token]\nissuer = 'x'\n"));
    refused(&token, "the token is from another issuer");
    place.configure(RULES);
    refused(&token, "the token is good, but the member users of the [[authn]] chain does not know alice");
    place.configure(&format!("{ALICE}{RULES}[token]\nkeys = ['other']\n"));
    place.run(&["keys", "generate", "--out", "other"]).out(0);
    refused(&token, "the token was signed with an unknown key");
}

#[test]
fn what_makes_no_sense_is_refused_before_a_key_is_made() {
    let place = place();
    let mint = |args: &[&str]| place.run(&[&["token", "mint"], args].concat());
    let ran = mint(&["--scope", "repository:Alice:pull"]);
    assert!(ran.err(2).contains("\"repository:Alice:pull\" is no scope"), "{ran:#?}");
    assert!(mint(&["--all"]).err(2).contains("--scope"));
    assert!(mint(&["--service", "x"]).err(2).contains("no such service"));
    assert!(place.run(&["token", "inspect"]).err(2).contains("there is no token"));
    let ran = place.run_with(&["token", "inspect"], "a.b.c");
    assert!(ran.err(1).contains("there is no signing key yet"), "{ran:#?}");
    assert!(!place.path("state").exists());
}
