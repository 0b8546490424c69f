//! `tidegate api-key`, and what the other commands make of API keys and OAuth2 clients.

use crate::support::{ALICE, Place};

const SITE: &str = "
[groups]
robots = ['user:ci']

[[upstream]]
name = 'registry'
url = 'http://127.0.0.1:5050'

[[route]]
prefix = '/v2/'
upstream = 'registry'
auth = 'registry'

[[route]]
prefix = '/api/'
upstream = 'registry'
auth = 'api'

[[access]]
who = ['group:robots', 'user:nightly']
paths = ['/api/**']
methods = ['read']

[[access]]
who = ['authenticated']
repositories = ['**']
actions = ['pull']
";

/// The key, and the section that goes with it.
fn made(place: &Place, args: &[&str]) -> (String, String) {
    let ran = place.run(&[&["api-key"], args].concat());
    let key = ran.out(0).strip_suffix('\n').unwrap().to_owned();
    assert!(key.len() == 47 && key.starts_with("tgk_") && !key.contains(char::is_whitespace), "{key}");
    assert!(!ran.err.contains(&key), "{ran:#?}");
    (key, ran.err)
}

/// A configuration with the key `ci`, the client `nightly`, and the key `old`, which has expired.
fn place() -> Place {
    let place = Place::new("");
    let (_, ci) = made(&place, &[]);
    let (_, nightly) = made(&place, &["--client", "--name", "nightly"]);
    let (_, old) = made(&place, &["--name", "old"]);
    let old = old.replace("groups = []", "groups = ['robots']\nexpires = 2020-01-01T00:00:00Z");
    place.configure(&[ALICE, &ci, &nightly, &old, SITE].concat());
    place
}

#[test]
fn what_is_printed_goes_into_the_configuration_as_it_is() {
    let place = place();
    let ran = place.run(&["check"]);
    ran.out(0);
    assert!(ran.err.contains("this API key has expired") && ran.err.contains("\n0 errors, "), "{ran:#?}");
    assert_ne!(made(&place, &[]).0, made(&place, &[]).0);
    let (_, section) = made(&place, &["--name", "Jane \"CI\" Doe"]);
    assert!(section.starts_with("[api_keys.\"Jane \\\"CI\\\" Doe\"]\nhash = \"sha256:"), "{section}");
    for name in ["a:b", "admin", ""] {
        place.run(&["api-key", "--name", name]).err(2);
    }
}

#[test]
fn explain_knows_them() {
    let place = place();
    let explain = |args: &[&str]| place.run(&[&["explain", "--user"], args].concat());
    let allowed = explain(&["ci", "read", "/api/x"]);
    assert!(allowed.out(0).starts_with("allowed: user ci (groups: robots), GET /api/x\n"), "{allowed:#?}");
    explain(&["nightly", "read", "/api/x"]).out(0);
    explain(&["ci", "write", "/api/x"]).out(1);
    let expired = explain(&["old", "read", "/api/x"]);
    assert!(expired.out(0).contains("note: the API key old has expired, and is refused"), "{expired:#?}");
    for (name, what) in [("ci", "an API key"), ("nightly", "an OAuth2 client")] {
        for (action, resource) in [("pull", "team/app"), ("catalog", "catalog")] {
            let denied = explain(&[name, action, resource]);
            let note = format!("note: {name} is {what}, which is good for routes with `auth = \"api\"` only");
            assert!(denied.out(1).starts_with("denied: ") && denied.out.contains(&note), "{denied:#?}");
        }
    }
    explain(&["alice", "pull", "team/app"]).out(0);
    let unknown = explain(&["nobody", "read", "/api/x"]);
    assert!(unknown.out(1).contains("no API key or client has that name"), "{unknown:#?}");
}

#[test]
fn tokens_for_the_api_are_minted_and_looked_into() {
    let place = place();
    let mint = |args: &[&str]| place.run(&[&["token", "mint"], args].concat());
    let inspect = |token: &str| place.run_with(&["token", "inspect"], token);
    for (args, said) in [
        (
            &["--user", "nightly", "--scope", "api:read"][..],
            "user nightly, from clients, for 127.0.0.1:5000, api:read\n",
        ),
        (&["--user", "alice", "--kind", "api"], "user alice, from users, for 127.0.0.1:5000, api:read api:write\n"),
        (
            &["--user", "ci", "--scope", "api:write api:read"],
            "user ci, from api-keys, for 127.0.0.1:5000, api:read api:write\n",
        ),
    ] {
        let minted = mint(args);
        let inspected = inspect(minted.out(0));
        assert!(inspected.out(0).ends_with(said), "{inspected:#?}");
        assert!(minted.err.contains("granted: api:"), "{minted:#?}");
    }
    for args in [
        &["--scope", "api:read repository:x:pull"][..],
        &["--scope", "api:read", "--kind", "registry"],
        &["--scope", "repository:x:pull", "--kind", "api"],
    ] {
        assert!(mint(args).err(2).contains("a token is either for the registry or for the API"));
    }
    assert!(mint(&["--scope", "api:fly"]).err(2).contains("\"api:fly\" is no scope"));
    let token = mint(&["--user", "nightly", "--scope", "api:read"]).out(0).to_owned();
    place.write("gateway.toml", &place.read("gateway.toml").replace("[clients.nightly]", "[clients.daily]"));
    let gone = inspect(&token);
    assert!(
        gone.out(1).contains("refused: the token is good, but nightly is not in the configuration any more"),
        "{gone:#?}"
    );
}
