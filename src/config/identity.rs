//! `[identity]`: the header that tells upstreams who asks.

use std::sync::Arc;

use http::HeaderName;

use super::filter::filter;
use super::item::Item;
use super::reader::Section;
use crate::jq::{CompileError, Filter};
use crate::subject::UserName;

/// `[identity]`.
#[derive(Debug)]
pub struct Identity {
    /// The header's name (default `X-Authentication-Service`).
    pub header: HeaderName,
    /// The compiled filter (default `{identity: {user: {username: .subject}}}`).
    pub filter: Arc<Filter>,
    /// Where the upstream looks for the name (default `.identity.user.username`).
    pub username: String,
    /// Names that only the filter may produce; `admin` is always among them.
    pub reserved: Vec<UserName>,
    /// Whether the filter runs for anonymous requests.
    pub anonymous: bool,
    /// Further headers that never reach an upstream, beyond the built-in list.
    pub strip: Vec<HeaderName>,
    /// The longest identity header value in bytes (default 8160).
    pub max_header: usize,
}

const FILTER: &str = "{identity: {user: {username: .subject}}}";
const USERNAME: &str = ".identity.user.username";
/// The name that Pulp and others give their superuser.
const ALWAYS_RESERVED: &str = "admin";

/// Headers that carry the request itself: an identity cannot travel in them, and they cannot be stripped.
const TAKEN: [&str; 19] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// Reads the section, or its defaults when it is missing. The reserved names are known even when the rest is wrong, so that one
/// mistake does not hide another.
pub(super) fn identity(section: Option<Section<'_>>) -> (Option<Identity>, Vec<UserName>) {
    let mut header = Some(HeaderName::from_static("x-authentication-service"));
    let (mut username, mut reserved, mut anonymous) = (Some(USERNAME.to_owned()), reserved_names(None), false);
    let (mut strip, mut max_header, mut own) = (Vec::new(), 8160, None);
    if let Some(mut section) = section {
        if let Some(item) = section.take("header") {
            header = header_name(&item);
        }
        own = section.take("filter").map(|item| filter(&item));
        if let Some(item) = section.take("username") {
            username = name_path(&item);
        }
        reserved = reserved_names(section.take("elevated"));
        anonymous = section.boolean("anonymous", false);
        if let Some(item) = section.take("strip") {
            strip = item.list_or_one().iter().filter_map(header_name).collect();
        }
        max_header = section.size("max_header", max_header, 64..=65_536);
        section.finish();
    }
    let filter = own.unwrap_or_else(|| default_filter().ok());
    let identity = match (header, filter, username) {
        (Some(header), Some(filter), Some(username)) => {
            Some(Identity { header, filter, username, reserved: reserved.clone(), anonymous, strip, max_header })
        }
        _ => None,
    };
    (identity, reserved)
}

/// The filter of a configuration that has none.
fn default_filter() -> Result<Arc<Filter>, CompileError> {
    Filter::compile(FILTER).map(Arc::new)
}

/// A header's name that neither carries the request itself nor has an `_`.
pub(super) fn header_name(item: &Item<'_>) -> Option<HeaderName> {
    let text = item.text_as("a header name")?;
    let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| !text.contains('_'));
    let Some(name) = name else {
        let message = format!("\"{}\" is no header name", item.shown());
        item.fail("wrong-value", message, "letters, digits and `-`, as in \"X-Authentication-Service\"");
        return None;
    };
    if TAKEN.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-") && name != "x-forwarded-user" {
        item.fail(
            "wrong-value",
            format!("`{}` cannot be {name}: it has a meaning of its own", item.name),
            "choose a header of your own, beginning with X-",
        );
        return None;
    }
    Some(name)
}

/// A jq path of plain names.
fn name_path(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let good = text.strip_prefix('.').is_some_and(|rest| rest.is_empty() || rest.split('.').all(name));
    if !good {
        item.fail(
            "wrong-value",
            format!("\"{}\" is no path to a name", item.shown()),
            format!("names with dots before them, as in \"{USERNAME}\""),
        );
    }
    good.then(|| text.to_owned())
}

fn reserved_names(elevated: Option<Item<'_>>) -> Vec<UserName> {
    let mut names: Vec<UserName> = UserName::parse(ALWAYS_RESERVED).into_iter().collect();
    for item in elevated.map(|item| item.list_or_one()).unwrap_or_default() {
        let Some(text) = item.text() else { continue };
        match UserName::parse(text) {
            Ok(name) if names.contains(&name) => {}
            Ok(name) => names.push(name),
            Err(error) => item.fail("wrong-value", format!("\"{}\" is no name", item.shown()), error.to_string()),
        }
    }
    names
}
