//! `[[upstream]]`: where requests go, and what is said there about the caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::item::Item;
use super::reader::Section;
use super::server::TIMEOUTS;
use super::source::Span;
use super::url::{PublicUrl, public_url, upstream_url};
use crate::secret::Secret;

/// `[[upstream]]`.
#[derive(Debug)]
pub struct Upstream {
    /// Its name, unique.
    pub name: Arc<str>,
    /// `http://host:port`, without a path.
    pub url: Uri,
    /// What it is told about the caller.
    pub credentials: Credentials,
    /// Whether connections are kept and used again (default true).
    pub pool: bool,
    /// How long a pooled connection may be idle (default 4 s; keep it below the upstream's own limit).
    pub pool_idle_timeout: Duration,
    /// Time to connect (default 5 s).
    pub connect_timeout: Duration,
    /// Time from the end of the request to the head of the response (default 5 min).
    pub response_timeout: Duration,
    /// Whether cross-repository mounts are forwarded as such (default true); otherwise they become plain uploads.
    pub mounts: bool,
    /// `X-Registry-Supports-Signatures: 1` on the gateway's own `/v2/` answers.
    pub signatures: bool,
    /// Origins of the upstream's content (`http://host:port`), made path-absolute in `Location` and `Link`.
    pub content_origins: Vec<PublicUrl>,
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
    section.not_built("spool", "leave it out: bodies are streamed");
    let url = section.require("url", "\"http://127.0.0.1:5050\"").and_then(|item| upstream_url(&item));
    let credentials = match section.take("credentials") {
        Some(item) => credentials(&item),
        None => Some(Credentials::Identity),
    };
    let pool = section.boolean("pool", true);
    let pool_idle_timeout = section.duration("pool_idle_timeout", Duration::from_secs(4), TIMEOUTS);
    let connect_timeout = section.duration("connect_timeout", Duration::from_secs(5), TIMEOUTS);
    let response_timeout = section.duration("response_timeout", Duration::from_secs(5 * 60), TIMEOUTS);
    let mounts = section.boolean("mounts", true);
    let signatures = section.boolean("signatures", false);
    let content_origins = section
        .take("content_origins")
        .map_or_else(Vec::new, |item| item.list_or_one().iter().filter_map(public_url).collect());
    section.finish();
    Some(Upstream {
        name: upstream_name(&name?)?,
        url: url?,
        credentials: credentials?,
        pool,
        pool_idle_timeout,
        connect_timeout,
        response_timeout,
        mounts,
        signatures,
        content_origins,
    })
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
    use toml::de::DeValue;
    if let DeValue::String(_) = item.value {
        return item.word(&[
            ("identity", Credentials::Identity),
            ("forward-token", Credentials::ForwardToken),
            ("mint-token", Credentials::MintToken),
            ("none", Credentials::None),
        ]);
    }
    let DeValue::Table(_) = item.value else {
        let hint = "write \"identity\", \"forward-token\", \"mint-token\", \"none\" or { basic = { username = …, password = … } }";
        item.fail("wrong-type", "`credentials` must be a string or a table", hint);
        return None;
    };
    let mut section = item.section("`credentials`")?;
    let basic = section.require("basic", "{ username = \"gateway\", password = { file = \"password\" } }");
    section.finish();
    let mut section = basic?.section("`basic`")?;
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
