//! The configuration: `gateway.toml` checked into domain types.
//!
//! [`Config`] is what a correct file means. It can only be had from [`Config::load`] and its like, which report every
//! problem of a file at once, each with file, line, column and what would be right.
//!
//! There is one file for each section: its types, and how it is read. `reader` and `item` walk the parsed file, `report` tells what was
//! found, `mask` keeps secrets out of that, and `lint` holds the warnings that need to see several sections.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

mod access;
mod api;
mod filter;
mod identity;
mod item;
mod limits;
mod lint;
mod listen;
mod mask;
mod nearest;
mod reader;
mod report;
mod route;
mod server;
mod source;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod tracing;
mod tree;
mod units;
mod upstream;
mod url;
mod users;

pub use api::{Api, ApiKey, Client};
pub use identity::Identity;
pub use limits::{Limits, Log, LogFormat, LogTarget};
pub use listen::Listener;
pub use report::{Diagnostic, Place, Report, Severity};
pub use route::{Challenge, Route, RouteAuth};
pub use server::{Admin, Server};
pub use tls::Tls;
pub use token::Token;
pub use units::{UnitError, format_duration, format_size, parse_duration, parse_size};
pub use upstream::{
    CreateUsers, Credentials, Guards, Health, Kind, PassHeader, Pulp, Retries, Spool, Transport, Upstream, UpstreamTls,
    UserAccount,
};
pub use url::{PublicUrl, UpstreamUrl};
pub use users::{Member, User};

use self::item::Item;
use self::reader::{Reader, Section, Surroundings, Title};
use self::source::{Source, Span};
use self::tree::{Mistake, Table};
use crate::authz::Rule;
use crate::subject::{GroupName, UserName};
use crate::telemetry::TraceSettings;

/// A whole, correct configuration.
#[derive(Debug)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[admin]`; none when the section is missing.
    pub admin: Option<Admin>,
    /// `[token]`.
    pub token: Token,
    /// `[[upstream]]`, in file order, names unique.
    pub upstreams: Vec<Upstream>,
    /// `[[route]]`, sorted by prefix, longest first. Empty: a token server alone.
    pub routes: Vec<Route>,
    /// `[identity]`; its defaults when the section is missing.
    pub identity: Identity,
    /// `[api]`; its defaults when the section is missing.
    pub api: Api,
    /// `[api_keys]`, in file order.
    pub api_keys: Vec<ApiKey>,
    /// `[clients]`, in file order.
    pub clients: Vec<Client>,
    /// `[[authn]]`, in file order.
    pub authn: Vec<Member>,
    /// `[groups]`: group to members.
    pub groups: Vec<(GroupName, Vec<UserName>)>,
    /// `[[access]]`.
    pub rules: Vec<Rule>,
    /// `[log]`.
    pub log: Log,
    /// `[tracing]`; none when the section is missing.
    pub tracing: Option<TraceSettings>,
    /// `[limits]`.
    pub limits: Limits,
    /// Files that it names and depends on: secrets and keys. Those that are read again by themselves, as htpasswd files are, are not
    /// among them.
    pub files: BTreeSet<PathBuf>,
}

impl Config {
    /// Reads and checks a file, with the process's environment for `{ env = … }`. The report holds every problem.
    pub fn load(path: &Path) -> Result<Self, Report> {
        Self::load_noting(path, &|_| {})
    }

    /// As [`Config::load`]. `depends_on` hears of each of [`Config::files`] before that is read, so that whoever looks at it there
    /// and then misses no change.
    pub fn load_noting(path: &Path, depends_on: &dyn Fn(&Path)) -> Result<Self, Report> {
        let (name, text) = read(path)?;
        let around = Surroundings { base: base(path), environment: &variable, depends_on };
        check(&text, &name, around, &Lints::None).map(|(config, _)| config)
    }

    /// As [`Config::load`], with the warnings beside the configuration.
    pub fn examine(path: &Path) -> Result<(Self, Report), Report> {
        let (name, text) = read(path)?;
        let around = Surroundings { base: base(path), environment: &variable, depends_on: &|_| {} };
        check(&text, &name, around, &Lints::File(path))
    }

    /// Checks a text as if it were a file `name` in the directory `base`.
    pub fn parse(text: &str, name: &str, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Report> {
        let around = Surroundings { base, environment: env, depends_on: &|_| {} };
        check(text, name, around, &Lints::None).map(|(config, _)| config)
    }

    /// As [`Config::parse`], with the warnings beside the configuration.
    pub fn parse_with_warnings(
        text: &str,
        name: &str,
        base: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Report), Report> {
        let around = Surroundings { base, environment: env, depends_on: &|_| {} };
        check(text, name, around, &Lints::Text)
    }
}

/// What is looked at beyond what is wrong. Starting needs none of it.
enum Lints<'a> {
    None,
    Text,
    /// The text, and this file that it was read from with all that it names.
    File(&'a Path),
}

/// A file's name as the operator wrote it, and its text.
fn read(path: &Path) -> Result<(String, String), Report> {
    let name = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes);
            Ok((name, text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())))
        }
        Err(error) => Err(Report::unreadable(&name, &error)),
    }
}

/// What paths within a file are relative to.
fn base(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn check(text: &str, name: &str, around: Surroundings<'_>, lints: &Lints<'_>) -> Result<(Config, Report), Report> {
    let mut source = Source::new(name, text);
    let table = match tree::parse(text) {
        Ok(table) => table,
        Err(mistake) => return Err(broken(source, around, mistake)),
    };
    source.mask_secrets_of(&table);
    let reader = Reader::new(source, around);
    let config = sections(&reader, &table, !matches!(lints, Lints::None));
    if let Lints::File(path) = lints {
        tls::check_files(&reader);
        lint::file_modes(&reader, path);
    }
    let failed = reader.has_errors();
    match config {
        // Warnings are for those who ask for them: to show them all costs more than the start.
        Some(mut config) if !failed && matches!(lints, Lints::None) => {
            config.files = reader.into_files();
            Ok((config, Report::default()))
        }
        Some(mut config) if !failed => {
            let report = Report::new(reader.finish());
            config.files.clone_from(report.files());
            Ok((config, report))
        }
        _ => Err(Report::new(reader.finish())),
    }
}

/// The report of a text that is no TOML: its first mistake, since what follows may only follow from that.
fn broken(mut source: Source<'_>, around: Surroundings<'_>, mistake: Mistake) -> Report {
    let span = mistake.span.map_or(Span { start: 0, end: 0 }, Span::from);
    let masks = mask::broken_line(&source, source.line(span.start));
    source.mask(masks);
    let reader = Reader::new(source, around);
    let hint = "strings are in quotes, lists in [ ], and each key and each [section] stands once";
    let message = mistake.message.trim_end_matches(", expected nothing");
    reader.error("syntax", span, format!("this is no TOML: {message}"), hint);
    Report::new(reader.finish())
}

/// Reads every section; none when one of them is wrong.
fn sections<'a>(reader: &'a Reader<'a>, table: &'a Table<'a>, lints: bool) -> Option<Config> {
    let mut root = Section::new(reader, Title::Text("the file"), Span { start: 0, end: 0 }, table);
    let server_item = root.take("server");
    if server_item.is_none() {
        let hint =
            "it begins with [server], `listen = \"127.0.0.1:5000\"` and `public_url = \"http://127.0.0.1:5000\"`";
        reader.error("missing-section", root.header, "there is no [server] section", hint);
    }
    let server = server_item.and_then(|item| item.section(Title::Header("server"))).and_then(server::server);
    let admin = one(root.take("admin")).map(server::admin);
    let token = token::token(one(root.take("token")), server.as_ref());
    let upstreams = upstream::upstreams(many(root.take("upstream")));
    let routes = route::routes(many(root.take("route")), &upstreams);
    let identity_item = root.take("identity");
    let identity_span = identity_item.map(|item| item.key);
    let (identity, reserved) = identity::identity(one(identity_item));
    let users = users::users(root.take("users"), &reserved);
    let api = api::api(one(root.take("api")), identity.as_ref().map(|identity| &identity.header));
    let api_keys = api::api_keys(root.take("api_keys"), &reserved, &users);
    let clients = api::clients(root.take("clients"), &reserved, &users, &api_keys);
    let authn_item = root.take("authn");
    let authn = users::authn(authn_item.map(|item| many(Some(item))), &users);
    let local = authn.iter().all(|member| matches!(member, Member::Users(_)));
    let names = [users.names, api_keys.names, clients.names];
    let groups = users::groups(root.take("groups"), local.then_some(&names[..]));
    let (rules, written) = access::access(root.take("access"), lints);
    let log = limits::log(one(root.take("log")));
    let tracing = one(root.take("tracing")).map(tracing::tracing);
    let limits = limits::limits(one(root.take("limits")));
    let root_span = root.header;
    root.finish();

    if lints && !reader.has_errors() {
        let facts = lint::Facts {
            upstreams: &upstreams,
            routes: &routes,
            identity: identity.as_ref(),
            identity_span,
            users: &users,
            api_keys: &api_keys,
            clients: &clients,
            groups: &groups,
            members: &authn,
            rules: &rules,
            written: &written,
        };
        lint::lint(reader, &facts);
        let client_auth = server.as_ref().and_then(|server| server.tls.as_ref()?.client_auth());
        let places = [authn_item, server_item].map(|item| item.map_or(root_span, |item| item.key));
        tls::lint_members(reader, client_auth, &authn, places);
    }
    let admin = match admin {
        Some(admin) => Some(admin?),
        None => None,
    };
    let tracing = match tracing {
        Some(tracing) => Some(tracing?),
        None => None,
    };
    Some(Config {
        server: server?,
        admin,
        token: token?,
        upstreams: upstreams.list,
        routes,
        identity: identity?,
        api: api?,
        api_keys: api_keys.list,
        clients: clients.list,
        authn,
        groups,
        rules,
        log,
        tracing,
        limits,
        files: BTreeSet::new(),
    })
}

/// The section `[name]`, if it is there and a table.
fn one(item: Option<Item<'_>>) -> Option<Section<'_>> {
    item.and_then(|item| item.section(Title::Header(item.name)))
}

/// The sections `[[name]]`; none when there are none.
fn many(item: Option<Item<'_>>) -> Vec<Section<'_>> {
    item.map(|item| item.sections().flatten().collect()).unwrap_or_default()
}
