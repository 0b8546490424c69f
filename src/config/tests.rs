//! Tests of whole files: what they mean, and what is said when they are wrong.

use std::path::Path;
use std::time::Duration;

use super::{Config, Credentials, Kind, LogTarget, Member, Pulp, Retries, RouteAuth};
use crate::server::listener::Address;

mod api;
mod example;
mod guards;
mod lints;
mod patterns;
mod problems;
mod pulp;
mod secrets;
mod tls;

/// A correct `[server]`, three lines long.
const SERVER: &str = "[server]\nlisten = '127.0.0.1:5000'\npublic_url = 'http://127.0.0.1:5000'\n";

fn environment(name: &str) -> Option<String> {
    (name == "HASH").then(|| "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy".into())
}

fn parse(text: &str) -> Config {
    Config::parse(text, "gateway.toml", Path::new("/etc/tidegate"), &environment)
        .unwrap_or_else(|report| panic!("{report}"))
}

/// What is said about a file that begins with [`SERVER`], so that `rest` begins at line 4.
fn problems(rest: &str) -> String {
    whole_file_problems(&format!("{SERVER}{rest}"))
}

fn whole_file_problems(text: &str) -> String {
    let result = Config::parse(text, "gateway.toml", Path::new("/etc/tidegate"), &environment);
    result.map(|_| ()).expect_err("the file must be wrong").to_string()
}

/// What a correct file that begins with [`SERVER`] is warned of.
fn warnings(rest: &str) -> String {
    let text = format!("{SERVER}{rest}");
    let checked = Config::parse_with_warnings(&text, "gateway.toml", Path::new("/etc/tidegate"), &environment);
    checked.map_or_else(|report| panic!("{report}"), |(_, warnings)| warnings.to_string())
}

#[test]
fn the_least_file_is_a_token_server_with_every_default() {
    let config = parse(SERVER);
    assert_eq!(config.server.listen[0].tcp(), Some("127.0.0.1:5000".parse().unwrap()));
    assert_eq!(config.server.public_urls[0].authority, "127.0.0.1:5000");
    assert_eq!(config.server.state_dir, Path::new("/etc/tidegate/state"));
    assert_eq!(config.server.header_timeout, Duration::from_secs(15));
    assert!(config.admin.is_none() && config.routes.is_empty() && config.authn.is_empty() && config.rules.is_empty());
    assert_eq!(config.token.services, ["127.0.0.1:5000"]);
    assert_eq!(config.token.issuer, "http://127.0.0.1:5000/token");
    assert_eq!(config.token.ttl, Duration::from_secs(5 * 60));
    assert_eq!(config.identity.header, "x-authentication-service");
    assert_eq!(config.identity.username, ".identity.user.username");
    assert_eq!(config.identity.reserved.len(), 1);
    assert_eq!(config.identity.max_header, 8160);
    assert_eq!((config.limits.header_bytes, config.limits.scopes), (32_768, 64));
    assert_eq!((config.log.level.as_str(), config.log.audit), ("info", LogTarget::Stdout));
}

#[test]
fn there_are_listeners_of_every_kind() {
    let config = parse(
        "[server]\npublic_url = 'http://127.0.0.1:5000'\ntrusted_proxies = ['10.0.0.0/8', 'unix']\nlisten = [\n\
         '[::]:5000', { address = '0.0.0.0:0', tls = false }, '0.0.0.0:0', 'unix:run/a.sock',\n\
         { address = 'unix:/b.sock', mode = '666' }, 'systemd', 'systemd:web',\n]\n",
    );
    let listen: Vec<_> = config.server.listen.iter().map(|listener| listener.address.clone()).collect();
    let path = |path: &str, mode| Address::Unix { path: path.into(), mode };
    assert_eq!(
        listen,
        [
            Address::Tcp("[::]:5000".parse().unwrap()),
            Address::Tcp("0.0.0.0:0".parse().unwrap()),
            Address::Tcp("0.0.0.0:0".parse().unwrap()),
            path("/etc/tidegate/run/a.sock", 0o660),
            path("/b.sock", 0o666),
            Address::Inherited(None),
            Address::Inherited(Some("web".into())),
        ]
    );
    assert_eq!(config.server.listen[1].tls, Some(false));
    assert!(config.server.listen.iter().all(|listener| !listener.proxy_protocol));
    assert!(config.server.trusts_unix && config.server.trusted_proxies.len() == 1);
}

#[test]
fn names_follow_the_first_public_url() {
    let config = parse(
        "[server]\nlisten = ['[::1]:0', '127.0.0.1:0']\npublic_url = ['https://Registry.Example.com:443/', 'http://127.0.0.1:80']\n\
         [token]\npath = '/auth'\n",
    );
    let names: Vec<_> = config.server.public_urls.iter().map(|url| url.authority.as_str()).collect();
    assert_eq!(names, ["registry.example.com", "127.0.0.1"]);
    assert_eq!(config.token.services, ["registry.example.com"]);
    assert_eq!(config.token.issuer, "https://registry.example.com/auth");
}

#[test]
fn routes_are_sorted_and_take_after_their_upstream() {
    let config = parse(&format!(
        "{SERVER}
[[upstream]]
name = 'a'
url = 'http://127.0.0.1:1'
credentials = 'forward-token'
[[upstream]]
name = 'b'
url = 'http://127.0.0.1:2'
credentials = {{ basic = {{ username = 'gateway', password = 'x' }} }}
[[route]]
prefix = '/v2/'
upstream = 'a'
auth = 'registry'
[[route]]
prefix = '/v2/team/'
upstream = 'b'
auth = 'registry'
[[route]]
prefix = '/'
upstream = 'a'
auth = 'public'
[[route]]
prefix = '/api/'
upstream = 'a'
auth = 'api'
credentials = 'identity'
"
    ));
    let routes: Vec<_> =
        config.routes.iter().map(|route| (route.prefix.as_str(), route.upstream, route.auth)).collect();
    assert_eq!(
        routes,
        [
            ("/v2/team/", 1, RouteAuth::Registry),
            ("/api/", 0, RouteAuth::Api),
            ("/v2/", 0, RouteAuth::Registry),
            ("/", 0, RouteAuth::Public),
        ]
    );
    let credentials: Vec<_> = config.routes.iter().map(|route| &route.credentials).collect();
    assert!(
        matches!(
            credentials[..],
            [Credentials::Basic { .. }, Credentials::Identity, Credentials::ForwardToken, Credentials::None]
        ),
        "{credentials:?}"
    );
    assert_eq!(config.upstreams[0].pool_idle_timeout, Duration::from_secs(4));
    assert_eq!(config.upstreams[0].urls[0].to_string(), "http://127.0.0.1:1");
}

#[test]
fn an_upstream_may_have_several_addresses() {
    let transport = |url: &str, more: &str| {
        let text = format!("{SERVER}[[upstream]]\nname = 'a'\nurl = {url}\n{more}");
        let upstream = parse(&text).upstreams.remove(0);
        let urls: Vec<_> = upstream.urls.iter().map(ToString::to_string).collect();
        (urls, upstream.transport)
    };
    let (urls, plain) = transport("['http://[::1]:5050', 'http://Registry:80']", "");
    assert_eq!(urls, ["http://[::1]:5050", "http://registry"]);
    assert!(!plain.http2);
    assert_eq!(plain.retries, Some(Retries { budget: 0.2, burst: 100 }));
    assert_eq!((plain.health.timeout.as_secs(), plain.health.path), (10, None));
    let more = "retries = false\nhttp2 = true\nhealth = { path = '/livez', eject_after = 0 }\nkind = 'pulp'\n";
    let (urls, other) = transport("'unix:/run/pulp.sock'", more);
    assert_eq!(urls, ["unix:/run/pulp.sock"]);
    assert_eq!((other.retries, other.http2, other.health.eject_after), (None, true, 0));
    assert_eq!((other.health.timeout.as_secs(), other.health.path.as_deref()), (60, Some("/livez")));
    let (_, other) = transport("['http://a', 'http://b']", "retries = { budget = 0.05 }");
    assert_eq!(other.retries, Some(Retries { budget: 0.05, burst: 100 }));
}

#[test]
fn a_pulp_has_defaults_of_its_own() {
    let settings = |more: &str| {
        let text = format!("{SERVER}[[upstream]]\nname = 'pulp'\nurl = 'http://pulp:80'\n{more}");
        let upstream = parse(&text).upstreams.remove(0);
        (upstream.kind, [upstream.pool, upstream.signatures, upstream.chunk_uploads, upstream.verify_digests])
    };
    let pulp = |api_root: &str, domains| Kind::Pulp(Pulp { api_root: api_root.into(), domains });
    assert_eq!(settings(""), (Kind::Registry, [true, false, false, false]));
    assert_eq!(settings("kind = 'pulp'"), (pulp("/pulp/", false), [false, true, true, true]));
    let moved = "kind = 'pulp'\napi_root = '/a/b/'\ndomains = true\npool = true\nverify_digests = false";
    assert_eq!(settings(moved), (pulp("/a/b/", true), [true, true, true, false]));
}

#[test]
fn users_alone_are_the_chain() {
    let config = parse(&format!(
        "{SERVER}[users.b]\npassword_hash.env = 'HASH'\n[users.a]\npassword_hash.env = 'HASH'\ngroups = 'dev'\n"
    ));
    let [Member::Users(users)] = &config.authn[..] else { panic!("{:?}", config.authn) };
    let users: Vec<_> = users.iter().map(|user| (user.name.as_str(), user.groups.len())).collect();
    assert_eq!(users, [("b", 0), ("a", 1)], "in file order");
}

#[test]
fn a_rule_knows_its_line() {
    let config = parse(&format!(
        "{SERVER}\n[[access]]\nwho = 'anyone'\nrepositories = '**'\nactions = '*'\nfrom = ['10.0.0.0/8', '::1']\n"
    ));
    let rule = &config.rules[0];
    assert_eq!((&*rule.source.file, rule.source.line), ("gateway.toml", 5));
    assert_eq!(rule.from, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
}
