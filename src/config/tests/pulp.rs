//! What is read of a Pulp beyond its defaults, and what is warned of in front of one.

use super::{SERVER, parse, problems, warnings};
use crate::config::{Config, UserAccount};

const USERS: &str = "[users.alice]\npassword_hash.env = 'HASH'\ngroups = ['dev']\n";
const ROUTES: &str = "[[route]]\nprefix = '/v2/'\nupstream = 'pulp'\nauth = 'registry'\n";
const API: &str = "[[route]]\nprefix = '/pulp/api/v3/'\nupstream = 'pulp'\nauth = 'api'\ncredentials = 'identity'\n";
const CONTENT: &str = "[[upstream]]\nname = 'content'\nurl = 'http://127.0.0.1:2'\n[[route]]\nprefix = '/pulp/container/'\n\
    upstream = 'content'\nauth = 'public'\n";
const ELEVATED: &str = "[identity]\nfilter = '{identity: {user: {username: (if (.request.action | IN(\"push\", \"delete\")) \
    then \"registry-writer\" else .subject end)}}}'\nelevated = ['registry-writer']\n";

fn pulp(more: &str) -> String {
    format!("[[upstream]]\nname = 'pulp'\nurl = 'http://127.0.0.1:1'\nkind = 'pulp'\n{more}")
}

fn pushers(who: &str) -> String {
    format!("[[access]]\nwho = {who}\nrepositories = ['${{user}}/**', 'shared/*']\nactions = ['pull', 'push']\n")
}

/// An identity section with this name in its filter.
fn named(name: &str, more: &str) -> String {
    format!("[identity]\nfilter = '{{identity: {{user: {{username: {name}}}}}}}'\n{more}\n")
}

/// The codes of what a configuration with this identity is warned of.
fn codes(upstream: &str, rest: &str) -> Vec<&'static str> {
    let text = format!("{SERVER}{USERS}{}{rest}", pulp(upstream));
    let checked = Config::parse_with_warnings(&text, "g", std::path::Path::new(""), &super::environment);
    let (_, report) = checked.unwrap_or_else(|report| panic!("{report}"));
    report.diagnostics().iter().map(|warning| warning.code).collect()
}

fn of_identity(identity: &str, who: &str) -> Vec<&'static str> {
    codes("", &format!("{ROUTES}{API}{CONTENT}{identity}{}", pushers(who)))
}

#[test]
fn a_filter_that_raises_writes_alone_is_as_it_should_be() {
    for who in ["'group:dev'", "'user:alice'", "['user:*', 'group:dev']", "'authenticated'"] {
        assert_eq!(of_identity(ELEVATED, who), Vec::<&str>::new(), "{who}");
    }
    assert_eq!(
        of_identity(&named("(if .request.action == \"push\" then \"admin\" else .subject end)", ""), "'group:dev'"),
        [""; 0]
    );
    // Only those who may push are raised.
    let by_group = "(if .request.action == \"push\" and any(.groups[]; . == \"dev\") then \"admin\" else .subject end)";
    for who in ["'group:dev'", "'user:alice'", "'group:d*'"] {
        let expected: &[&str] = if who == "'group:d*'" { &["pulp-push"] } else { &[] };
        assert_eq!(of_identity(&named(by_group, ""), who), expected, "{who}");
    }
    // Nobody may push, so nobody has to be raised.
    assert_eq!(
        codes("", &format!("{ROUTES}{CONTENT}[[access]]\nwho = 'anyone'\nrepositories = '**'\nactions = 'pull'\n")),
        [""; 0]
    );
    // Who has which claims is not known here.
    assert_eq!(
        of_identity(&named("(if .claims.role == \"w\" then \"admin\" else .subject end)", ""), "'group:dev'"),
        [""; 0]
    );
}

#[test]
fn pushes_that_pulp_would_refuse() {
    let text = format!("{USERS}{}{ROUTES}{CONTENT}{}", pulp(""), pushers("'group:dev'"));
    assert_eq!(
        warnings(&text),
        "\
warning: every push would fail: Pulp lets only superusers push, and the filter makes none of those who may
 --> gateway.toml:7:1
  |
7 | [[upstream]]
  | ^^^^^^^^^^^^
  = hint: give approved writes the name of a superuser: `if (.request.action | IN(\"push\", \"delete\")) then \
         \"registry-writer\" else .subject end`, with `elevated = [\"registry-writer\"]`
"
    );
    // The last request of a push is not the whole of it.
    let put = "(if .request.method == \"PUT\" then \"admin\" else .subject end)";
    assert_eq!(of_identity(&named(put, ""), "'group:dev'"), ["pulp-push"]);
    // Tokens are none of the filter's.
    assert_eq!(codes("credentials = 'mint-token'\n", &format!("{ROUTES}{CONTENT}{}", pushers("'group:dev'"))), [""; 0]);
}

#[test]
fn more_than_writes_raised() {
    let always = of_identity(&named("\"admin\"", ""), "'group:dev'");
    assert_eq!(always, ["elevated-read"; 3], "who pulls, who lists the catalog, who reads the API");
    let reads = "(if .request.action == \"pull\" then \"admin\" elif .request.action == \"push\" then \"admin\" else .subject end)";
    assert_eq!(of_identity(&named(reads, ""), "'group:dev'"), ["elevated-read"]);
    let group = "(if any(.groups[]; . == \"dev\") then \"writer\" else .subject end)";
    assert_eq!(of_identity(&named(group, "elevated = 'writer'"), "'group:dev'"), ["elevated-read"; 3]);
}

#[test]
fn names_that_anybody_could_have() {
    let raised = "(if .request.action == \"push\" then \"writer\" else .subject end)";
    assert_eq!(of_identity(&named(raised, ""), "'group:dev'"), ["unlisted-elevated"]);
    assert_eq!(of_identity(&named(raised, "elevated = 'writer'"), "'group:dev'"), [""; 0]);
    let everybody = of_identity(&named("\"gateway\"", ""), "'group:dev'");
    // Whether "gateway" is a superuser, Pulp alone knows.
    assert_eq!(everybody, ["unlisted-elevated"]);
}

#[test]
fn what_pulp_cannot_take() {
    let rest = format!("{ROUTES}{CONTENT}{ELEVATED}");
    let push = pushers("'group:dev'");
    assert_eq!(
        codes("pool = true\nchunk_uploads = false\nverify_digests = false\n", &format!("{rest}{push}")),
        ["pulp-pool", "pulp-uploads", "pulp-digests"]
    );
    assert_eq!(codes("", &format!("{rest}max_header = 8162\n{push}")), [""; 0]);
    assert_eq!(codes("", &format!("{rest}max_header = 8163\n{push}")), ["pulp-header"]);
    // A longer name leaves less.
    assert_eq!(codes("", &format!("{rest}header = 'X-Authentication-Service-Of-Ours'\n{push}")), ["pulp-header"]);
}

#[test]
fn blobs_that_nobody_gets() {
    let push = pushers("'group:dev'");
    assert_eq!(codes("", &format!("{ROUTES}{ELEVATED}{push}")), ["pulp-content"]);
    let wide = "[[route]]\nprefix = '/pulp/'\nupstream = 'pulp'\nauth = 'api'\n";
    assert_eq!(codes("", &format!("{ROUTES}{wide}{ELEVATED}{push}")), ["pulp-content"]);
    assert_eq!(codes("", &format!("{ROUTES}{wide}{CONTENT}{ELEVATED}{push}")), [""; 0]);
}

#[test]
fn users_are_created_with_the_header_or_an_account() {
    let created = |more: &str| {
        let config = parse(&format!("{SERVER}{}", pulp(more)));
        let create = config.upstreams.into_iter().next().unwrap().create_users;
        create.map(|create| (create.path.to_string(), matches!(create.account, UserAccount::Basic { .. })))
    };
    assert_eq!(created(""), None);
    assert_eq!(created("create_users = { credentials = 'identity' }"), Some(("/pulp/api/v3/users/".into(), false)));
    let moved = "api_root = '/p/'\ndomains = true\ncreate_users = { credentials = { basic = { username = 'g', password = 'x' } } }";
    assert_eq!(created(moved), Some(("/p/default/api/v3/users/".into(), true)));
    assert_eq!(created("create_users = { path = '/u/', credentials = 'identity' }"), Some(("/u/".into(), false)));

    let said = |value: &str| problems(&pulp(&format!("create_users = {value}\n")));
    assert!(said("{}").contains("`create_users` needs the key `credentials`"));
    assert!(said("{ credentials = 'none' }").contains("users are not created with these credentials"));
    assert!(said("{ credentials = 'identity', path = 'users' }").contains("\"users\" is no path"));
    assert!(said("{ credentials = 'identity', paths = '/' }").contains("did you mean `path`?"));
    let secret = said("{ credentials = { basic = { username = 'g', password = 's3cret', more = 1 } } }");
    assert!(secret.contains("unknown key") && !secret.contains("s3cret"), "{secret}");
}

#[test]
fn users_that_are_not_created() {
    let rest = format!("{ROUTES}{CONTENT}{}", pushers("'group:dev'"));
    let create = "create_users = { credentials = 'identity' }\n";
    let token = format!("credentials = 'forward-token'\n{create}");
    assert_eq!(codes(&token, &rest), [""; 0]);
    assert_eq!(codes(create, &format!("{rest}{ELEVATED}")), ["pulp-users"]);
    assert_eq!(codes(&token, &format!("{rest}{}", named("(\"team-\" + .subject)", ""))), ["pulp-users"]);
    let none = warnings(&format!(
        "{USERS}[[upstream]]\nname = 'r'\nurl = 'http://127.0.0.1:1'\n{create}[[route]]\nprefix = '/v2/'\nupstream = 'r'\n\
         auth = 'registry'\n{}",
        pushers("'group:dev'")
    ));
    assert!(none.contains("`create_users` says how a Pulp is set up, and this upstream is none"), "{none}");
}
