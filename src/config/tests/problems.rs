//! What is said of files that are wrong.

use super::{SERVER, problems, whole_file_problems};

const UPSTREAM: &str = "[[upstream]]\nname = 'registry'\nurl = 'http://127.0.0.1:1'\n";

/// A file whose `[server]` is replaced by these lines, from line 2 on.
fn server(lines: &str) -> String {
    whole_file_problems(&format!("[server]\n{lines}"))
}

#[test]
fn every_problem_of_a_file_is_told_at_once() {
    let said = whole_file_problems(
        "\
[server]
lissten = ['127.0.0.1:5000']
listen = ['localhost:5000', 5000]
public_url = 'http://127.0.0.1:5000/registry'
tls = { cert = 'a' }

[token]
ttl = '30s'

[serverr]
",
    );
    assert_eq!(
        said,
        "\
error: unknown key `lissten` in [server]
 --> gateway.toml:2:1
  |
2 | lissten = ['127.0.0.1:5000']
  | ^^^^^^^
  = hint: did you mean `listen`?

error: \"localhost:5000\" is no address to listen on
 --> gateway.toml:3:11
  |
3 | listen = ['localhost:5000', 5000]
  |           ^^^^^^^^^^^^^^^^
  = hint: names are not resolved here: write \"127.0.0.1:5000\"

error: `listen` must be an address such as \"127.0.0.1:5000\", or a table with `address`, not a number
 --> gateway.toml:3:29
  |
3 | listen = ['localhost:5000', 5000]
  |                             ^^^^

error: \"http://127.0.0.1:5000/registry\" must not have a path, query or fragment
 --> gateway.toml:4:14
  |
4 | public_url = 'http://127.0.0.1:5000/registry'
  |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: write \"http://127.0.0.1:5000\"

error: `tls` needs the key `key`
 --> gateway.toml:5:7
  |
5 | tls = { cert = 'a' }
  |       ^^^^^^^^^^^^^^
  = hint: add, for example, `key = \"tls.key\"`

error: `ttl` is out of range
 --> gateway.toml:8:7
  |
8 | ttl = '30s'
  |       ^^^^^
  = hint: from 1m to 1d

error: unknown key `serverr` in the file
  --> gateway.toml:10:2
   |
10 | [serverr]
   |  ^^^^^^^
   = hint: did you mean `server`?
"
    );
}

#[test]
fn a_text_that_is_no_toml() {
    assert_eq!(
        server("listen = 127.0.0.1:5000\n"),
        "\
error: this is no TOML: invalid float
 --> gateway.toml:2:15
  |
2 | listen = 127.0.0.1:5000
  |               ^^^^^^^^^
  = hint: strings are in quotes, lists in [ ], and each key and each [section] stands once
"
    );
    assert_eq!(
        server("workers = 1\nworkers = 2\n"),
        "\
error: this is no TOML: duplicate key
 --> gateway.toml:3:1
  |
3 | workers = 2
  | ^^^^^^^
  = hint: strings are in quotes, lists in [ ], and each key and each [section] stands once
"
    );
}

#[test]
fn what_is_missing_is_told_at_the_header() {
    assert_eq!(
        whole_file_problems("# nothing\n"),
        "\
error: there is no [server] section
 --> gateway.toml:1:1
  |
1 | # nothing
  | ^
  = hint: it begins with [server], `listen = \"127.0.0.1:5000\"` and `public_url = \"http://127.0.0.1:5000\"`
"
    );
    assert_eq!(
        problems(&format!("{UPSTREAM}[[route]]\nprefix = '/v2/'\nupstream = 'registry'\n")),
        "\
error: [[route]] needs the key `auth`
 --> gateway.toml:7:1
  |
7 | [[route]]
  | ^^^^^^^^^
  = hint: add, for example, `auth = \"registry\"`
"
    );
}

#[test]
fn upstreams_that_are_named_and_not_there() {
    assert_eq!(
        problems(&format!("{UPSTREAM}[[route]]\nprefix = '/v2/'\nupstream = 'regsitry'\nauth = 'registry'\n")),
        "\
error: there is no upstream \"regsitry\"
 --> gateway.toml:9:12
  |
9 | upstream = 'regsitry'
  |            ^^^^^^^^^^
  = hint: did you mean \"registry\"?
"
    );
}

#[test]
fn an_upstream_that_is_wrong_is_not_missing_too() {
    let said = problems(
        "[[upstream]]\nname = 'a'\nurl = 'ftp://x'\n[[route]]\nprefix = '/v2/'\nupstream = 'a'\nauth = 'registry'\n",
    );
    assert_eq!(said.matches("error:").count(), 1, "{said}");
    assert!(said.contains("\"ftp://x\" is neither http nor https"), "{said}");
}

#[test]
fn rules_are_about_one_thing() {
    assert_eq!(
        problems("[[access]]\nwho = ['anyone']\nrepositories = ['**']\npaths = ['/**']\nactions = ['pull']\n"),
        "\
error: a rule is about one kind of thing: this one has `repositories` already
 --> gateway.toml:7:1
  |
7 | paths = ['/**']
  | ^^^^^
  = hint: write two rules
"
    );
    assert_eq!(
        problems("[[access]]\nwho = 'anyone'\nregistry = 'catalog'\nexcept_repositories = 'a'\nactions = 'pull'\n"),
        "\
error: `except_repositories` has no meaning beside `registry`
 --> gateway.toml:7:1
  |
7 | except_repositories = 'a'
  | ^^^^^^^^^^^^^^^^^^^
  = hint: it takes names out of `repositories`

error: the catalog is granted as a whole
 --> gateway.toml:8:11
  |
8 | actions = 'pull'
  |           ^^^^^^
  = hint: write `actions = [\"*\"]`
"
    );
}

#[test]
fn words_of_rules() {
    assert_eq!(
        problems(
            "[[access]]\nwho = 'anyone'\nrepositories = '**'\nactions = ['pul', 'push']\nfrom = '10.0.0.1/8'\neffect = 'forbid'\n"
        ),
        "\
error: `actions` cannot be \"pul\"
 --> gateway.toml:7:12
  |
7 | actions = ['pul', 'push']
  |            ^^^^^
  = hint: did you mean \"pull\"?

error: \"10.0.0.1/8\" has bits set beyond its prefix
 --> gateway.toml:8:8
  |
8 | from = '10.0.0.1/8'
  |        ^^^^^^^^^^^^
  = hint: write \"10.0.0.0/8\" for the network, \"10.0.0.1\" for the one address

error: `effect` cannot be \"forbid\"
 --> gateway.toml:9:10
  |
9 | effect = 'forbid'
  |          ^^^^^^^^
  = hint: it is one of \"allow\", \"deny\"
"
    );
    let said = problems("[[access]]\nwho = 'anyone'\npaths = '/**'\nmethods = ['get', 'TRACE', 'read']\n");
    assert!(said.contains("gateway.toml:7:12") && said.contains("gateway.toml:7:19"), "{said}");
}

#[test]
fn names_that_nobody_may_have() {
    let said = problems(
        "[identity]\nelevated = ['writer']\n[users.admin]\npassword_hash.env = 'HASH'\n[users.writer]\npassword_hash.env = 'HASH'\n\
         [users.'a:b']\npassword_hash.env = 'HASH'\n",
    );
    assert!(said.contains("nobody can be called \"admin\"\n --> gateway.toml:6:8\n"), "{said}");
    assert!(said.contains("nobody can be called \"writer\"\n --> gateway.toml:8:8\n"), "{said}");
    assert!(said.contains("\"a:b\" is no user name\n  --> gateway.toml:10:8\n"), "{said}");
    assert_eq!(said.matches("error:").count(), 3, "{said}");
    // A mistake in what reserves them does not hide it.
    let said =
        problems("[identity]\nelevated = ['writer']\nfilter = 'env'\n[users.writer]\npassword_hash.env = 'HASH'\n");
    assert!(said.contains("nobody can be called \"writer\""), "{said}");
    assert_eq!(said.matches("error:").count(), 2, "{said}");
}

#[test]
fn secrets_that_are_not_where_they_should_be() {
    assert_eq!(
        problems("[users.a]\npassword_hash = { env = 'NO_SUCH' }\n"),
        "\
error: the environment variable `NO_SUCH` is not set
 --> gateway.toml:5:25
  |
5 | password_hash = { env = 'NO_SUCH' }
  |                         ^^^^^^^^^
  = hint: set it where the gateway is started
"
    );
    let said = problems("[users.a]\npassword_hash = { file = 'no-such-file' }\n");
    assert!(said.starts_with("error: /etc/tidegate/no-such-file cannot be read: "), "{said}");
}

/// Each of these is one error, at this line and column, whose text holds these words.
#[test]
fn one_error_each() {
    let secure = |rest: &str| format!("[[upstream]]\nname = 'a'\nurl = 'https://x'\n{rest}");
    let route = |lines: &str| format!("{UPSTREAM}[[route]]\nupstream = 'registry'\n{lines}");
    let cases = [
        ("[server2]\n".to_owned(), (4, 2), "did you mean `server`"),
        ("[token]\npath = 'token'\n".to_owned(), (5, 8), "no path for the token endpoint"),
        ("[token]\npath = '/v2/token'\n".to_owned(), (5, 8), "/v2 is taken"),
        ("[token]\nservice = []\n".to_owned(), (5, 11), "must not be empty"),
        ("[token]\nservice = 'a b'\n".to_owned(), (5, 11), "printable ASCII"),
        ("[token]\nttl = 300\n".to_owned(), (5, 7), "must be a duration such as \"90s\", not a number"),
        ("[token]\nttl = '5 minutes'\n".to_owned(), (5, 7), "a whole number and a unit"),
        ("[token]\nkey_id = 'rfc7683'\n".to_owned(), (5, 10), "did you mean \"rfc7638\""),
        ("[token]\nlisten = '127.0.0.1:5000'\n".to_owned(), (5, 10), "has this address already"),
        ("[token]\nx5c = 'yes'\n".to_owned(), (5, 7), "must be true or false, not a string"),
        ("[admin]\n".to_owned(), (4, 1), "needs the key `listen`"),
        ("[admin]\nlisten = 'unix:/run/t.sock'\n".to_owned(), (5, 10), "not for this listener"),
        ("[admin]\nlisten = 'systemd:web'\n".to_owned(), (5, 10), "not for this listener"),
        ("[limits]\nheader_bytes = '1KiB'\n".to_owned(), (5, 16), "from 8KiB to 1MiB"),
        ("[limits]\nheader_bytes = '64KB'\n".to_owned(), (5, 16), "\"64KB\" is no size"),
        ("[limits]\nscopes = -1\n".to_owned(), (5, 10), "from 1 to 1000"),
        ("[log]\nlevel = 'tidegate=loud'\n".to_owned(), (5, 9), "no log level"),
        ("[log]\nlevel = 'inof'\n".to_owned(), (5, 9), "no log level"),
        ("[log]\naudit = 'stdin'\n".to_owned(), (5, 9), "{ file = \"path\" }"),
        ("[log]\naudit = { syslog = '/dev/log' }\n".to_owned(), (5, 20), "write \"unix:/dev/log\""),
        ("[log]\naudit = { syslog = 'udp:loghost' }\n".to_owned(), (5, 20), "with host and port"),
        (
            "[log]\naudit = { syslog = 'unix:/dev/log', facility = 'local9' }\n".to_owned(),
            (5, 48),
            "did you mean \"local",
        ),
        ("[log]\naudit = { syslog = 'unix:/dev/log', file = 'x' }\n".to_owned(), (5, 37), "unknown key `file`"),
        ("[identity]\nheader = 'X_User'\n".to_owned(), (5, 10), "no header name"),
        ("[identity]\nheader = 'Authorization'\n".to_owned(), (5, 10), "a meaning of its own"),
        ("[identity]\nusername = 'user'\n".to_owned(), (5, 12), "no path to a name"),
        ("[groups]\nops = ['bob']\n".to_owned(), (5, 8), "write \"user:bob\""),
        ("[groups]\nops = ['group:dev']\n".to_owned(), (5, 8), "groups do not nest"),
        ("[[authn]]\nkind = 'ldap'\n".to_owned(), (5, 8), "\"users\", \"htpasswd\""),
        ("[[authn]]\nkind = 'htpasswd'\n".to_owned(), (4, 1), "needs the key `file`"),
        ("[[authn]]\nkind = 'users'\n[[authn]]\nkind = 'users'\n".to_owned(), (7, 8), "one such member"),
        ("[upstream]\nname = 'a'\n".to_owned(), (4, 1), "[[upstream]]"),
        (format!("{UPSTREAM}{UPSTREAM}"), (8, 8), "another upstream \"registry\""),
        (format!("{UPSTREAM}kind = 'Pulp'\n"), (7, 8), "did you mean \"pulp\""),
        (format!("{UPSTREAM}kind = 'pulp'\napi_root = '/pulp'\n"), (8, 12), "no API_ROOT"),
        (format!("{UPSTREAM}spool = 'yes'\n"), (7, 9), "write true, or { memory"),
        (format!("{UPSTREAM}spool = {{ memory = '1KiB' }}\n"), (7, 20), "from 4KiB to 1GiB"),
        (format!("{UPSTREAM}spool = {{ dir = 'x' }}\n"), (7, 11), "unknown key `dir` in `spool`"),
        (format!("{UPSTREAM}max_concurrent = -1\n"), (7, 18), "from 0 to 65536"),
        (format!("{UPSTREAM}retry_after = '2h'\n"), (7, 15), "from 0s to 1h"),
        (format!("{UPSTREAM}pass_headers = ['cookies']\n"), (7, 17), "did you mean \"cookie\""),
        (
            format!("{UPSTREAM}credentials = 'forward-token'\npass_headers = 'authorization'\n"),
            (8, 16),
            "where the gateway sends one of its own",
        ),
        (format!("{UPSTREAM}credentials = 'forward_token'\n"), (7, 15), "did you mean \"forward-token\""),
        ("[[upstream]]\nname = 'a'\nurl = 'http://x:99999'\n".to_owned(), (6, 7), "no valid host"),
        ("[[upstream]]\nname = 'a'\nurl = 'http://x/v2'\n".to_owned(), (6, 7), "path, query or fragment"),
        ("[[upstream]]\nname = 'a'\nurl = 'unix:run/x'\n".to_owned(), (6, 7), "an absolute path"),
        ("[[upstream]]\nname = 'a'\nurl = []\n".to_owned(), (6, 7), "must not be empty"),
        (
            "[[upstream]]\nname = 'a'\nurl = ['http://a', 'https://b']\n".to_owned(),
            (6, 20),
            "https://b is https, and http://a is http",
        ),
        ("[[upstream]]\nname = 'a'\nurl = ['http://a', 'unix:/b']\n".to_owned(), (6, 20), "unix:/b is unix"),
        (
            "[[upstream]]\nname = 'a'\nurl = ['http://a', 'http://A:80']\n".to_owned(),
            (6, 20),
            "http://a is listed twice",
        ),
        (secure("tls = { ca = 'none.pem' }\n"), (7, 7), "none.pem cannot be read"),
        (secure("tls = { cert = 'a.pem' }\n"), (7, 7), "`cert` and no `key`"),
        (secure("tls = { server_name = 'a:1' }\n"), (7, 23), "no name that a certificate can be good for"),
        (secure("tls = { verify = false }\n"), (7, 9), "known here: ca, cert, key, server_name"),
        (format!("{UPSTREAM}tls = {{ server_name = 'a' }}\n"), (7, 1), "this upstream is reached in cleartext"),
        (format!("{UPSTREAM}http2 = 'yes'\n"), (7, 9), "true or false"),
        (format!("{UPSTREAM}retries = {{ budget = 2 }}\n"), (7, 22), "from 0 to 1"),
        (format!("{UPSTREAM}retries = 'none'\n"), (7, 11), "{ budget = 0.2, burst = 100 }, or false"),
        (format!("{UPSTREAM}health = {{ path = 'v2' }}\n"), (7, 19), "\"v2\" is no path"),
        (format!("{UPSTREAM}health = {{ interval = '1ms' }}\n"), (7, 23), "from 100ms to 1h"),
        (format!("{UPSTREAM}health = {{ unhealthy_after = 0 }}\n"), (7, 30), "from 1 to 1000"),
        (route("prefix = '/'\nauth = 'registry'\n"), (9, 10), "\"/v2/\" or \"/extensions/v2/\""),
        (route("prefix = '/v2/x'\nauth = 'public'\n"), (9, 10), "belongs to the registry"),
        (route("prefix = '/v2/../'\nauth = 'registry'\n"), (9, 10), "no path prefix"),
        (route("prefix = '/a%2fb'\nauth = 'api'\n"), (9, 10), "no path prefix"),
        (route("prefix = '/v2'\nauth = 'open'\n"), (10, 8), "\"registry\", \"api\", \"public\""),
        (route("prefix = '/a'\nauth = 'api'\ncredentials = 'mint-token'\n"), (11, 15), "can send a token upstream"),
        (
            format!(
                "{}{}",
                route("prefix = '/v2'\nauth = 'registry'\n"),
                "[[route]]\nprefix = '/v2/'\nupstream = 'registry'\nauth = 'registry'\n"
            ),
            (12, 10),
            "another route",
        ),
        ("[[access]]\nrepositories = '**'\nactions = '*'\n".to_owned(), (4, 1), "needs the key `who`"),
        ("[[access]]\nwho = 'anyone'\n".to_owned(), (4, 1), "about nothing"),
        ("[[access]]\nwho = []\nrepositories = '**'\nactions = '*'\n".to_owned(), (5, 7), "must not be empty"),
        ("[[access]]\nwho = 'anyone'\npaths = '/**'\n".to_owned(), (4, 1), "needs the key `methods`"),
        (
            "[[access]]\nwho = 'anyone'\nrepositories = '**'\nactions = 'catalog'\n".to_owned(),
            (7, 11),
            "\"pull\", \"push\", \"delete\"",
        ),
    ];
    for (rest, (line, column), words) in cases {
        let said = problems(&rest);
        assert_eq!(said.matches("error:").count(), 1, "{rest}\n{said}");
        assert!(said.contains(&format!("gateway.toml:{line}:{column}\n")), "{rest}\n{said}");
        assert!(said.contains(words), "{rest}\n{said}");
    }
}

#[test]
fn public_urls_are_origins() {
    for (url, words) in [
        ("127.0.0.1:5000", "is no URL"),
        ("ftp://a", "neither http nor https"),
        ("http://", "no valid host"),
        ("http://a:b", "no valid host"),
        ("http://a:", "no valid host"),
        ("http://a b", "no valid host"),
        ("http://a?b", "path, query or fragment"),
        ("http://a#b", "path, query or fragment"),
        ("http://user@a", "must not hold a user"),
    ] {
        let said = server(&format!("listen = '127.0.0.1:1'\npublic_url = '{url}'\n"));
        assert!(said.contains(words), "{url}: {said}");
    }
    let said = server("listen = []\npublic_url = ['http://a', 'http://A:80']\n");
    assert!(said.contains("http://a is listed twice") && said.contains("`listen` must not be empty"), "{said}");
}

#[test]
fn json_says_the_same() {
    let text = format!("{SERVER}[tokn]\n");
    let report = super::super::Config::parse(&text, "g.toml", std::path::Path::new(""), &|_| None).unwrap_err();
    assert_eq!(
        serde_json::to_value(report.diagnostics()).unwrap(),
        serde_json::json!([{
            "severity": "error", "code": "unknown-key", "message": "unknown key `tokn` in the file",
            "file": "g.toml", "line": 4, "column": 2, "hint": "did you mean `token`?"
        }])
    );
}

/// Items of `server.listen` that are wrong, each with the words that say why.
#[test]
fn what_cannot_be_listened_on() {
    let long = format!("'unix:/{}'", "x".repeat(108));
    let cases = [
        ("'unix:'", "no path of a unix socket"),
        ("'unix:@tidegate'", "no path of a unix socket"),
        ("'unix:/run/tidegate/'", "no path of a unix socket"),
        (long.as_str(), "is 109 bytes long"),
        ("'/run/t.sock'", "write \"unix:/run/t.sock\""),
        ("'systemd:'", "names no socket"),
        ("'systemd:a:b'", "names no socket"),
        ("'127.0.0.1:1', { address = '127.0.0.1:1' }", "listed twice"),
        ("'unix:a', { address = 'unix:a', mode = '0600' }", "listed twice"),
        ("'systemd', 'systemd'", "listed twice"),
        ("{ proxy_protocol = false }", "needs the key `address`"),
        ("{ address = '127.0.0.1:1', port = 1 }", "unknown key `port` in `listen`"),
        ("{ address = '127.0.0.1:1', mode = '0660' }", "for unix sockets"),
        ("{ address = 'systemd', mode = '0660' }", "for unix sockets"),
        ("{ address = 'unix:a', mode = '660 ' }", "are no permissions"),
        ("{ address = 'unix:a', mode = '0888' }", "are no permissions"),
        ("{ address = 'unix:a', mode = '4660' }", "are no permissions"),
        ("{ address = 'unix:a', mode = 660 }", "must be permissions such as \"0660\", not a number"),
        ("{ address = '127.0.0.1:1', proxy_protocol = 1 }", "must be true or false"),
    ];
    for (items, says) in cases {
        let text = format!("[server]\npublic_url = 'http://127.0.0.1:5000'\nlisten = [{items}]\n");
        let report = whole_file_problems(&text);
        assert_eq!(report.matches("error: ").count(), 1, "{items}: {report}");
        assert!(report.contains(says) && report.contains("gateway.toml:3:"), "{items}: {report}");
    }
}
