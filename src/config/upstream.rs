//! `[[upstream]]`: where requests go, and what is said there about the caller.

mod guards;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;

pub use guards::{Guards, PassHeader, Spool};
pub use transport::{Health, Retries, Transport, UpstreamTls};

use super::item::Item;
use super::reader::{Section, Title};
use super::route::is_normal_path;
use super::server::TIMEOUTS;
use super::source::Span;
use super::tree::Value;
use super::url::{PublicUrl, UpstreamUrl, public_url};
use crate::pulp::Paths;
use crate::secret::Secret;

/// Pulp's own default.
const API_ROOT: &str = "/pulp/";

/// `[[upstream]]`.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Upstream {
    /// Its name, unique.
    pub name: Arc<str>,
    /// Its addresses, which all lead to the same content. Never empty, and all of one kind.
    pub urls: Vec<UpstreamUrl>,
    /// What kind of server it is.
    pub kind: Kind,
    /// What it is told about the caller.
    pub credentials: Credentials,
    /// Whether connections are kept and used again (default true; false for Pulp).
    pub pool: bool,
    /// How long a pooled connection may be idle (default 4 s; keep it below the upstream's own limit).
    pub pool_idle_timeout: Duration,
    /// Time to connect (default 5 s).
    pub connect_timeout: Duration,
    /// Time from the end of the request to the head of the response (default 5 min).
    pub response_timeout: Duration,
    /// Whether cross-repository mounts are forwarded as such (default true); otherwise they become plain uploads.
    pub mounts: bool,
    /// `X-Registry-Supports-Signatures: 1` on the gateway's own `/v2/` answers (default false; true for Pulp).
    pub signatures: bool,
    /// Whether the bodies of uploads and manifests go upstream chunked (default false; true for Pulp).
    pub chunk_uploads: bool,
    /// Whether bodies that must fit a digest are held against it on their way (default false; true for Pulp).
    pub verify_digests: bool,
    /// How users become known to a Pulp that takes tokens (default: not at all).
    pub create_users: Option<CreateUsers>,
    /// Origins of the upstream's content (`http://host:port`), made path-absolute in `Location` and `Link`.
    pub content_origins: Vec<PublicUrl>,
    /// What keeps it from being overrun.
    pub guards: Guards,
    /// How its addresses are spoken to, and watched.
    pub transport: Transport,
}

/// What kind of server an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A registry that keeps to the distribution specification, or any other server.
    Registry,
    /// The API app of Pulp.
    Pulp(Pulp),
}

/// How a Pulp is set up, as far as its paths tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulp {
    /// Pulp's `API_ROOT`, which begins and ends with `/`; the REST API is at `api/v3/` below it.
    pub api_root: String,
    /// Pulp's `DOMAIN_ENABLED`: a segment for the domain stands between the two, and after `/v2/`.
    pub domains: bool,
}

impl Pulp {
    /// Where its endpoints are.
    pub fn paths(&self) -> Paths {
        Paths::new(&self.api_root, self.domains)
    }

    /// Where its users are: with domains in the one that is always there, since users are of none.
    fn users(&self) -> String {
        format!("{}{}api/v3/users/", self.api_root, if self.domains { "default/" } else { "" })
    }
}

/// How users become known to a Pulp before their first token.
#[derive(Debug)]
pub struct CreateUsers {
    /// Where Pulp's users are (default: `api/v3/users/` below `api_root`).
    pub path: PathAndQuery,
    /// As whom Pulp is asked.
    pub account: UserAccount,
}

/// As whom Pulp is asked to create a user.
#[derive(Debug)]
pub enum UserAccount {
    /// As the user, with the identity header, which creates whom it names.
    Identity,
    /// As one fixed account that may create users.
    Basic {
        /// Its name.
        username: String,
        /// Its password.
        password: Secret,
    },
}

/// What an upstream is told about the caller.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// The identity header.
    Identity,
    /// The client's own bearer token.
    ForwardToken,
    /// A token signed for the one request.
    MintToken,
    /// Nothing.
    None,
    /// One fixed account.
    Basic {
        /// Its name.
        username: String,
        /// Its password.
        password: Secret,
    },
}

/// The upstreams of a file. A name that stands in the file is known even when the rest of its section is wrong, so that one
/// mistake is not reported twice.
#[derive(Default)]
pub(super) struct Upstreams {
    pub(super) list: Vec<Upstream>,
    /// Name to index into `list`; `None` where the section is wrong.
    pub(super) names: BTreeMap<String, Option<usize>>,
    /// Where each of `list` has its header.
    pub(super) headers: Vec<Span>,
}

pub(super) fn upstreams(sections: Vec<Section<'_>>) -> Upstreams {
    let mut upstreams = Upstreams::default();
    for mut section in sections {
        let header = section.header;
        let name = section.require("name", "\"registry\"");
        let upstream = upstream(section, name);
        let Some((item, text)) = name.and_then(|item| item.text().map(|text| (item, text))) else { continue };
        if upstreams.names.contains_key(text) {
            item.fail(
                "duplicate",
                format!("there is another upstream \"{}\"", item.shown()),
                "give each [[upstream]] a name of its own",
            );
            continue;
        }
        upstreams.names.insert(text.to_owned(), upstream.is_some().then_some(upstreams.list.len()));
        if let Some(upstream) = upstream {
            upstreams.list.push(upstream);
            upstreams.headers.push(header);
        }
    }
    upstreams
}

fn upstream(mut section: Section<'_>, name: Option<Item<'_>>) -> Option<Upstream> {
    let urls = section.require("url", "\"http://127.0.0.1:5050\"").and_then(|item| transport::urls(&item));
    let credentials = match section.take("credentials") {
        Some(item) => credentials(&item),
        None => Some(Credentials::Identity),
    };
    let kind = kind(&mut section);
    let is_pulp = matches!(kind, Some(Kind::Pulp(_)));
    // Each answer of Pulp's API app closes its connection.
    let pool = section.boolean("pool", !is_pulp);
    let pool_idle_timeout = section.duration("pool_idle_timeout", Duration::from_secs(4), TIMEOUTS);
    let connect_timeout = section.duration("connect_timeout", Duration::from_secs(5), TIMEOUTS);
    let response_timeout = section.duration("response_timeout", Duration::from_secs(5 * 60), TIMEOUTS);
    let mounts = section.boolean("mounts", true);
    let signatures = section.boolean("signatures", is_pulp);
    // Pulp takes an upload that broke off for whole, and holds none against its digest.
    let chunk_uploads = section.boolean("chunk_uploads", is_pulp);
    let verify_digests = section.boolean("verify_digests", is_pulp);
    let create_users_item = section.take("create_users");
    let content_origins = section
        .take("content_origins")
        .map_or_else(Vec::new, |item| item.list_or_one().iter().filter_map(public_url).collect());
    let guards = guards::guards(&mut section, kind.as_ref(), credentials.as_ref());
    let transport = transport::transport(&mut section, urls.as_deref(), is_pulp);
    section.finish();
    let create_users = match (create_users_item, &kind) {
        (Some(item), Some(Kind::Pulp(pulp))) => Some(create_users(&item, pulp)),
        (Some(item), Some(Kind::Registry)) => {
            unused_key(&item);
            None
        }
        _ => None,
    };
    Some(Upstream {
        name: upstream_name(&name?)?,
        urls: urls?,
        kind: kind?,
        create_users: match create_users {
            Some(create_users) => Some(create_users?),
            None => None,
        },
        credentials: credentials?,
        pool,
        pool_idle_timeout,
        connect_timeout,
        response_timeout,
        mounts,
        signatures,
        chunk_uploads,
        verify_digests,
        content_origins,
        guards,
        transport: transport?,
    })
}

/// `kind`, with the keys that belong to one kind only.
fn kind(section: &mut Section<'_>) -> Option<Kind> {
    let is_pulp = match section.take("kind") {
        Some(item) => item.word(&[("registry", false), ("pulp", true)]),
        None => Some(false),
    };
    let (api_root, domains) = (section.take("api_root"), section.take("domains"));
    let pulp = Pulp {
        api_root: api_root.map_or_else(|| Some(API_ROOT.to_owned()), |item| root(&item))?,
        domains: domains.map_or(Some(false), |item| item.boolean())?,
    };
    if is_pulp? {
        return Some(Kind::Pulp(pulp));
    }
    for item in [api_root, domains].into_iter().flatten() {
        unused_key(&item);
    }
    Some(Kind::Registry)
}

fn unused_key(item: &Item<'_>) {
    let message = format!("`{}` says how a Pulp is set up, and this upstream is none", item.name);
    item.reader.warn("unused-key", item.key, message, "set `kind = \"pulp\"`, or leave it out");
}

/// `create_users`.
fn create_users(item: &Item<'_>, pulp: &Pulp) -> Option<CreateUsers> {
    let mut section = item.section(Title::Key("create_users"))?;
    let path = match section.take("path") {
        Some(item) => users_path(&item),
        None => pulp.users().parse().ok(),
    };
    let account = section.require("credentials", "\"identity\"").and_then(|item| {
        let account = match credentials(&item)? {
            Credentials::Identity => Some(UserAccount::Identity),
            Credentials::Basic { username, password } => Some(UserAccount::Basic { username, password }),
            Credentials::ForwardToken | Credentials::MintToken | Credentials::None => None,
        };
        if account.is_none() {
            let hint = "write \"identity\" or { basic = { username = …, password = … } }";
            item.fail("wrong-value", "users are not created with these credentials", hint);
        }
        account
    });
    section.finish();
    Some(CreateUsers { path: path?, account: account? })
}

fn users_path(item: &Item<'_>) -> Option<PathAndQuery> {
    let text = item.text()?;
    let path = is_normal_path(text).then(|| text.parse().ok()).flatten();
    if path.is_none() {
        let message = format!("\"{}\" is no path", item.shown());
        item.fail("wrong-value", message, "that of Pulp's users, as in \"/pulp/api/v3/users/\"");
    }
    path
}

fn root(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let good = is_normal_path(text) && text.ends_with('/');
    if !good {
        let message = format!("\"{}\" is no API_ROOT", item.shown());
        item.fail("wrong-value", message, "as in Pulp's settings, with `/` on both ends: \"/pulp/\"");
    }
    good.then(|| text.to_owned())
}

/// Names stand in logs: they are short and plain.
fn upstream_name(item: &Item<'_>) -> Option<Arc<str>> {
    let text = item.text()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
        item.fail(
            "wrong-value",
            format!("\"{}\" is no name for an upstream", item.shown()),
            "up to 64 letters, digits, `-`, `_` and `.`",
        );
        return None;
    }
    Some(text.into())
}

/// `credentials` of an upstream or of a route.
pub(super) fn credentials(item: &Item<'_>) -> Option<Credentials> {
    if let Value::String(_) = item.value {
        return item.word(&[
            ("identity", Credentials::Identity),
            ("forward-token", Credentials::ForwardToken),
            ("mint-token", Credentials::MintToken),
            ("none", Credentials::None),
        ]);
    }
    let Value::Table(_) = item.value else {
        let hint = "write \"identity\", \"forward-token\", \"mint-token\", \"none\" or { basic = { username = …, password = … } }";
        item.fail("wrong-type", "`credentials` must be a string or a table", hint);
        return None;
    };
    let mut section = item.section(Title::Key("credentials"))?;
    let basic = section.require("basic", "{ username = \"gateway\", password = { file = \"password\" } }");
    section.finish();
    let mut section = basic?.section(Title::Key("basic"))?;
    let username = section.require("username", "\"gateway\"").and_then(|item| {
        let text = item.text()?;
        // RFC 7617, section 2: a user-id with a colon cannot be told from the password.
        let good = !text.is_empty() && !text.contains(':') && !text.chars().any(char::is_control);
        if !good {
            item.fail(
                "wrong-value",
                "a user name for Basic must not be empty or hold a colon or control characters",
                "",
            );
        }
        good.then(|| text.to_owned())
    });
    let password = section.require("password", "{ file = \"password\" }").and_then(|item| item.secret());
    section.finish();
    Some(Credentials::Basic { username: username?, password: password? })
}
