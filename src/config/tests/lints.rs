//! What a correct file is warned of.

use super::warnings;

/// Somebody who can log in, so that this is not warned of. Five lines.
const USER: &str = "[users.alice]\npassword_hash.env = 'HASH'\ngroups = ['dev']\n\n\n";
const UPSTREAM: &str = "[[upstream]]\nname = 'registry'\nurl = 'http://127.0.0.1:1'\n";
const ROUTE: &str = "[[route]]\nprefix = '/v2/'\nupstream = 'registry'\nauth = 'registry'\n";

fn rule(who: &str, repositories: &str, actions: &str) -> String {
    format!("[[access]]\nwho = {who}\nrepositories = {repositories}\nactions = {actions}\n")
}

#[test]
fn rules_among_themselves() {
    assert_eq!(
        warnings(&format!("{USER}{}", rule("['group:dev']", "['team/app']", "['push']"))),
        "\
warning: this rule allows push without pull, and clients ask for both to push; add \"pull\"
 --> gateway.toml:9:1
  |
9 | [[access]]
  | ^^^^^^^^^^
"
    );
    let deny = format!("{}effect = 'deny'\n", rule("'anyone'", "'**'", "'*'"));
    assert!(warnings(&format!("{USER}{}{deny}", rule("'group:dev'", "'team/*'", "'pull'"))).contains("takes back all"));
    let except = format!("{}except_repositories = ['a', 'b']\n", rule("'anyone'", "['b', 'a']", "'pull'"));
    assert!(warnings(&format!("{USER}{except}")).contains("this rule can never match"));
    let use_only = format!("{}when = '.request.method == \"GET\"'\n", rule("'anyone'", "'a'", "'pull'"));
    assert!(warnings(&format!("{USER}{use_only}")).contains("null when a token is issued"));
}

#[test]
fn paths_that_no_route_leads_to() {
    let api = "[[access]]\nwho = 'anyone'\npaths = '/**'\nmethods = 'read'\n";
    assert!(warnings(&format!("{USER}{api}")).contains("no route has `auth = \"api\"`"));
}

#[test]
fn names_that_nobody_has() {
    assert_eq!(
        warnings(&format!("{USER}{}", rule("['user:alcie', 'group:ops', 'user:*', 'group:dev']", "'**'", "'pull'"))),
        "\
warning: there is no user \"alcie\"
  --> gateway.toml:10:8
   |
10 | who = ['user:alcie', 'group:ops', 'user:*', 'group:dev']
   |        ^^^^^^^^^^^^
   = hint: did you mean \"user:alice\"?

warning: the group \"ops\" has no members
  --> gateway.toml:10:22
   |
10 | who = ['user:alcie', 'group:ops', 'user:*', 'group:dev']
   |                      ^^^^^^^^^^^
"
    );
    let with_file = "[[authn]]\nkind = 'htpasswd'\nfile = 'htpasswd'\n[[authn]]\nkind = 'users'\n";
    assert_eq!(
        warnings(&format!("{USER}{with_file}{}", rule("'user:bob'", "'**'", "'pull'"))),
        "",
        "bob may be in the file"
    );
    assert!(warnings(&format!("{USER}[groups]\nops = ['user:bob']\n")).contains("there is no user \"bob\""));
    assert!(warnings(&format!("{USER}[groups]\nops = []\n")).contains("the group `ops` has no members"));
}

#[test]
fn sections_that_nothing_uses() {
    let said = warnings(&format!("{USER}[[authn]]\nkind = 'htpasswd'\nfile = 'htpasswd'\n"));
    assert!(said.starts_with("warning: nobody of [users] can log in"), "{said}");
    assert!(warnings("").starts_with("warning: nobody can log in"));
    assert!(warnings("[[authn]]\nkind = 'users'\n").contains("there are no [users] for this member"));
    let said = warnings(&format!("{USER}{UPSTREAM}"));
    assert!(said.contains("no route leads to the upstream \"registry\"\n --> gateway.toml:9:1\n"), "{said}");
    let said = warnings(&format!("{USER}{UPSTREAM}{ROUTE}"));
    assert!(said.contains("there is no [[access]] rule"), "{said}");
    assert_eq!(warnings(&format!("{USER}{UPSTREAM}{ROUTE}{}", rule("'anyone'", "'**'", "'pull'"))), "");
    let said = warnings(&format!(
        "{USER}{UPSTREAM}credentials = 'none'\n{ROUTE}identity = '.subject'\n{}",
        rule("'anyone'", "'**'", "'pull'")
    ));
    assert!(said.contains("this filter is never run"), "{said}");
}

#[test]
fn passwords_in_the_clear() {
    let server = |listen: &str, url: &str, more: &str| {
        let text = format!("[server]\nlisten = '{listen}'\npublic_url = '{url}'\n{more}{USER}");
        let checked =
            super::super::Config::parse_with_warnings(&text, "g", std::path::Path::new(""), &super::environment);
        checked.unwrap().1.diagnostics().iter().map(|warning| warning.code).collect::<Vec<_>>()
    };
    assert_eq!(server("127.0.0.1:1", "http://localhost:1", ""), Vec::<&str>::new());
    assert_eq!(server("127.0.0.1:1", "http://[::1]:1", ""), Vec::<&str>::new());
    assert_eq!(server("127.0.0.1:1", "http://registry.example.com", ""), ["plain-http"]);
    assert_eq!(server("0.0.0.0:1", "http://localhost:1", ""), ["open-listener"]);
    assert_eq!(server("0.0.0.0:1", "https://registry.example.com", ""), ["untrusted-proxy"]);
    assert_eq!(
        server("0.0.0.0:1", "https://registry.example.com", "trusted_proxies = '10.0.0.1'\n"),
        Vec::<&str>::new()
    );
    assert_eq!(server("127.0.0.1:1", "http://localhost:1", "[admin]\nlisten = '0.0.0.0:2'\n"), ["public-admin"]);
    assert_eq!(server("127.0.0.1:1", "http://localhost:1", "[log]\naudit = 'off'\n"), ["audit-off"]);
}
