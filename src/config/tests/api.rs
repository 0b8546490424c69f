//! `[api]`, `[api_keys]`, `[clients]`, and `challenge` of routes.

use std::time::Duration;

use proptest::prelude::*;

use super::super::Challenge;
use super::{SERVER, parse, problems, warnings};
use crate::authn::{KeyHash, SecretHash};
use crate::secret::Secret;

const API: &str =
    "[[upstream]]\nname = 'a'\nurl = 'http://127.0.0.1:1'\n[[route]]\nprefix = '/api/'\nupstream = 'a'\nauth = 'api'\n";

fn hash(text: &str) -> String {
    KeyHash::of(&Secret::new(text)).to_text()
}

#[test]
fn without_the_sections_there_are_defaults() {
    let config = parse(&format!("{SERVER}{API}"));
    assert_eq!((config.api.key_header.as_str(), config.api.token_ttl), ("x-api-key", None));
    assert!(config.api_keys.is_empty() && config.clients.is_empty());
    assert_eq!(config.routes[0].challenge, Challenge::Basic);
}

#[test]
fn keys_and_clients_are_read() {
    let (one, other) = (hash("one"), hash("other"));
    let config = parse(&format!(
        "{SERVER}{API}challenge = 'api-key'\n[api]\nkey_header = 'X-Our-Key'\ntoken_ttl = '90s'\n\
         [api_keys.ci]\nhash = '{one}'\ngroups = ['dev']\nexpires = 2999-01-01T00:00:00+01:00\n\
         [api_keys.'a b']\nhash = '{other}'\n\
         [clients.fast]\nsecret_hash = '{one}'\n[clients.slow]\nsecret_hash.env = 'HASH'\ngroups = 'dev'\n"
    ));
    assert_eq!((config.api.key_header.as_str(), config.api.token_ttl), ("x-our-key", Some(Duration::from_secs(90))));
    assert_eq!(config.routes[0].challenge, Challenge::ApiKey);
    let keys: Vec<_> = config.api_keys.iter().map(|key| (key.name.as_str(), key.groups.len(), key.expires)).collect();
    assert_eq!(keys, [("ci", 1, Some(32_472_140_400)), ("a b", 0, None)]);
    assert_eq!(config.api_keys[0].hash, KeyHash::parse(&one).unwrap());
    let clients: Vec<_> = config.clients.iter().map(|client| (client.name.as_str(), &client.secret_hash)).collect();
    assert!(matches!(clients[..], [("fast", SecretHash::Fast(_)), ("slow", SecretHash::Slow(_))]), "{clients:?}");
}

#[test]
fn what_is_wrong_is_told_with_what_would_be_right() {
    let good = hash("one");
    let key = |name: &str, more: &str| format!("[api_keys.{name}]\nhash = '{good}'\n{more}");
    for (text, says, hint) in [
        ("[api_keys.ci]\n".to_owned(), "[api_keys.ci] needs the key `hash`", "sha256:"),
        ("[api_keys.ci]\nhash = 'sha256:abc'\n".into(), "this is no hash of an API key", "tidegate api-key"),
        ("[api_keys.ci]\nhash = '$argon2id$v=19$x'\n".into(), "this is no hash of an API key", "tidegate api-key"),
        ("[api_keys.ci]\nhash = 'tgk_abc'\n".into(), "this is a key, and no hash of one", "the hash that"),
        ("[clients.ci]\nsecret_hash = 'hunter2'\n".into(), "this is no hash of a secret", "argon2id"),
        ("[clients.ci]\nsecret = 'hunter2'\n".into(), "unknown key `secret` in [clients.ci]", "secret_hash"),
        (key("admin", ""), "nobody can be called \"admin\"", "choose another"),
        (key("Admin", ""), "nobody can be called \"Admin\"", "choose another"),
        (key("w", "[identity]\nelevated = ['W']\n"), "nobody can be called \"w\"", "choose another"),
        (key("'a:b'", ""), "\"a:b\" is no user name", "colon"),
        (key("ci", "[users.ci]\npassword_hash.env = 'HASH'\n"), "there is a \"ci\" in [users] already", "choose"),
        (key("ci", &format!("[clients.ci]\nsecret_hash = '{good}'\n")), "there is a \"ci\" in [api_keys] already", ""),
        (key("ci", &key("cd", "")), "another API key has this hash", "tidegate api-key"),
        (key("ci", "expires = '2027-01-01T00:00:00Z'\n"), "must be a date and a time", "without quotes"),
        (key("ci", "expires = 2027-01-01\n"), "must be a date and a time", "2027-01-01T00:00:00Z"),
        (key("ci", "expires = 2027-01-01T00:00:00\n"), "must be a date and a time", "2027-01-01T00:00:00Z"),
        ("[api]\nkey_header = 'X_Api_Key'\n".into(), "X_Api_Key", ""),
        ("[api]\nkey_header = 'Authorization'\n".into(), "Authorization", ""),
        ("[api]\nkey_header = 'X-Authentication-Service'\n".into(), "the identity header", "choose another"),
        ("[api]\ntoken_ttl = '59s'\n".into(), "`token_ttl` is out of range", "1m"),
        (format!("{API}challenge = 'digest'\n"), "`challenge` cannot be \"digest\"", "api-key"),
        (
            format!("{API}challenge = 'basic'\n").replace("auth = 'api'", "auth = 'public'"),
            "only a route with `auth = \"api\"` has a choice",
            "leave it out",
        ),
    ] {
        let said = problems(&text);
        assert!(said.contains(says) && said.contains(hint), "{text}\n{said}");
        assert!(!said.contains("hunter2") && !said.contains(&good[10..]) && !said.contains("tgk_abc"), "{said}");
    }
}

#[test]
fn no_key_or_hash_is_shown_wherever_it_stands() {
    for text in [
        "[api_keys]\nci = 'hunter2'\n",
        "[api_keys.ci]\nkey = 'hunter2'\n",
        "[api_keys.ci]\nhash = ['hunter2']\n",
        "[api_keys.admin]\nhash = 'hunter2'\n",
        "[clients]\nci = 'hunter2'\n",
        "[clients.ci]\nid = 'hunter2'\n",
        "[clients]\nci = ['hunter2']\n",
        "[api_keys.ci]\nx = 'sha256:hunter2\n",
        "[api_keys.ci]\nx = tgk_hunter2\n",
    ] {
        let said = problems(text);
        assert!(said.contains("****") && !said.contains("hunter2"), "{text}\n{said}");
    }
}

#[test]
fn what_is_likely_not_meant_is_warned_of() {
    let users = "[users.alice]\npassword_hash.env = 'HASH'\n";
    let rules = "[[access]]\nwho = ['user:ci', 'group:robots']\npaths = ['/api/**']\nmethods = ['*']\n[groups]\nx = ['user:ci']\n";
    let key = format!("[api_keys.ci]\nhash = '{}'\ngroups = ['robots']\n", hash("one"));
    let client = format!("[clients.ci]\nsecret_hash = '{}'\ngroups = ['robots']\n", hash("one"));
    for programs in [&key, &client] {
        assert_eq!(warnings(&format!("{API}{users}{programs}{rules}")), "");
        assert_eq!(warnings(&format!("{API}{programs}{rules}")), "", "nobody logs in with a password");
        let said = warnings(&format!("{users}{programs}"));
        assert!(said.contains("are good for nothing here: no route has `auth = \"api\"`"), "{said}");
    }
    let said = warnings(&format!("{API}{users}{}", rules.replace("user:ci", "user:cj")));
    assert!(said.contains("there is no user \"cj\"") && said.contains("the group \"robots\" has no members"), "{said}");
    let expired = format!("{key}expires = 2020-02-29T23:59:59Z\n");
    let said = warnings(&format!("{API}{expired}{rules}"));
    assert!(said.contains("this API key has expired"), "{said}");
    let said = warnings(&format!("{API}challenge = 'api-key'\n{client}{rules}"));
    assert!(said.contains("the route \"/api/\" asks for an API key, and there is none"), "{said}");
}

proptest! {
    /// Whatever stands there, it is a hash or it is told without being shown.
    #[test]
    fn any_text_is_a_hash_or_refused(text in "(sha256:|tgk_|\\$argon2id\\$)?[a-zA-Z0-9$+/=_-]{20,70}") {
        for section in ["[api_keys.ci]\nhash", "[clients.ci]\nsecret_hash"] {
            let config = format!("{SERVER}{API}{section} = '{text}'\n");
            let parsed = super::Config::parse(&config, "gateway.toml", std::path::Path::new(""), &|_| None);
            if let Err(report) = parsed {
                prop_assert!(!report.to_string().contains(&text), "{report}");
            }
        }
    }
}
