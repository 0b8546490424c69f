//! `[api]`, `[api_keys]` and `[clients]`: who comes to API routes otherwise than as a user, and by which header.

use std::time::Duration;

use http::HeaderName;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::identity::header_name;
use super::item::Item;
use super::reader::{Names, Section, Title, shown};
use super::source::Span;
use super::token::{LONGEST, SHORTEST};
use super::tree::Value;
use super::users::{Users, group_names, user_name};
use crate::authn::{KEY_PREFIX, KeyHash, SecretHash};
use crate::clock::Clock;
use crate::subject::{GroupName, UserName};

const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// `[api]`.
#[derive(Debug)]
pub struct Api {
    /// The header that carries API keys (default `X-Api-Key`). It never reaches an upstream.
    pub key_header: HeaderName,
    /// Lifetime of a token for API routes (default: `token.ttl`).
    pub token_ttl: Option<Duration>,
}

/// One entry of `[api_keys]`.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Who comes with it.
    pub name: UserName,
    /// The SHA-256 of the key.
    pub hash: KeyHash,
    /// Groups of this name.
    pub groups: Vec<GroupName>,
    /// From this time on, in seconds since the epoch, it is refused.
    pub expires: Option<u64>,
}

/// One entry of `[clients]`.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its `client_id`.
    pub name: UserName,
    /// The hash of its secret.
    pub secret_hash: SecretHash,
    /// Groups of this client.
    pub groups: Vec<GroupName>,
}

/// The entries of a section whose keys are names, with the names of those that are wrong too.
pub(super) struct Named<'a, T> {
    pub(super) list: Vec<T>,
    pub(super) names: Names<'a>,
    /// Where the section begins; `None` when it is missing.
    pub(super) span: Option<Span>,
}

/// Reads `[api]`, or its defaults when it is missing. `identity` is the header that only the gateway may send.
pub(super) fn api(section: Option<Section<'_>>, identity: Option<&HeaderName>) -> Option<Api> {
    let Some(mut section) = section else { return Some(Api { key_header: KEY_HEADER, token_ttl: None }) };
    let key_header = section.take("key_header").map(|item| {
        header_name(&item).filter(|name| {
            let clashes = identity == Some(name);
            if clashes {
                item.fail(
                    "wrong-value",
                    "API keys cannot come in the identity header",
                    "what clients send in that one is thrown away: choose another, such as \"X-Api-Key\"",
                );
            }
            !clashes
        })
    });
    let token_ttl = section.take("token_ttl").and_then(|item| item.duration(SHORTEST..=LONGEST));
    section.finish();
    Some(Api { key_header: key_header.unwrap_or(Some(KEY_HEADER))?, token_ttl })
}

/// Reads `[api_keys]`.
pub(super) fn api_keys<'a>(item: Option<Item<'a>>, reserved: &[UserName], users: &Users<'_>) -> Named<'a, ApiKey> {
    named(item, "api_keys", reserved, &[("users", users.names)], |name, section, keys: &[ApiKey]| {
        let hash_item = section.require("hash", "\"sha256:…\"");
        let hash = hash_item.and_then(|item| key_hash(&item));
        let groups = group_names(section);
        let expires = section.take("expires").map(|item| moment(&item));
        if let (Some(item), Some(hash)) = (hash_item, hash)
            && keys.iter().any(|key| key.hash == hash)
        {
            item.fail("duplicate", "another API key has this hash", "make one for each: `tidegate api-key`");
        }
        let expires = match expires {
            Some(expires) => Some(expires?),
            None => None,
        };
        Some(ApiKey { name: name?, hash: hash?, groups, expires })
    })
}

/// Reads `[clients]`.
pub(super) fn clients<'a>(
    item: Option<Item<'a>>,
    reserved: &[UserName],
    users: &Users<'_>,
    keys: &Named<'_, ApiKey>,
) -> Named<'a, Client> {
    let others = [("users", users.names), ("api_keys", keys.names)];
    named(item, "clients", reserved, &others, |name, section, _: &[Client]| {
        let secret_hash = section.require("secret_hash", "\"sha256:…\"").and_then(|item| secret_hash(&item));
        let groups = group_names(section);
        Some(Client { name: name?, secret_hash: secret_hash?, groups })
    })
}

/// Reads a section whose keys are names that no section of `others` has: rules and `[groups]` know people by their names alone.
fn named<'a, T>(
    item: Option<Item<'a>>,
    title: &'static str,
    reserved: &[UserName],
    others: &[(&str, Names<'_>)],
    read: impl Fn(Option<UserName>, &mut Section<'_>, &[T]) -> Option<T>,
) -> Named<'a, T> {
    let mut named = Named { list: Vec::new(), names: Names::default(), span: item.map(|item| item.key) };
    let Some(section) = item.and_then(|item| item.section(Title::Header(title))) else { return named };
    named.names = section.names();
    for (text, item) in section.entries() {
        let name = user_name(text, item, reserved);
        if let Some((other, _)) = others.iter().find(|(_, names)| names.contains(text)) {
            let message = format!("there is a \"{}\" in [{other}] already", shown(text));
            item.reader.error(
                "duplicate",
                item.key,
                message,
                "rules could not tell the two apart: choose another name",
            );
        }
        let Some(mut section) = item.section(Title::Below(title, text)) else { continue };
        let entry = read(name, &mut section, &named.list);
        section.finish();
        named.list.extend(entry);
    }
    named
}

fn key_hash(item: &Item<'_>) -> Option<KeyHash> {
    let secret = item.secret()?;
    if secret.expose().starts_with(KEY_PREFIX) {
        let hint = "the key is for whoever uses it; here stands the hash that `tidegate api-key` printed with it";
        item.fail("wrong-value", "this is a key, and no hash of one", hint);
        return None;
    }
    KeyHash::parse(secret.expose())
        .map_err(|error| item.fail("wrong-value", "this is no hash of an API key", error.to_string()))
        .ok()
}

fn secret_hash(item: &Item<'_>) -> Option<SecretHash> {
    let secret = item.secret()?;
    SecretHash::parse(secret.expose())
        .map_err(|error| item.fail("wrong-value", "this is no hash of a secret", error.to_string()))
        .ok()
}

/// A moment as seconds since the epoch. One that has passed is told of.
fn moment(item: &Item<'_>) -> Option<u64> {
    let time = match item.value {
        Value::Datetime(time) => OffsetDateTime::parse(&time.to_string(), &Rfc3339).ok(),
        _ => None,
    };
    let seconds = time.and_then(|time| u64::try_from(time.unix_timestamp()).ok());
    if seconds.is_none() {
        let message = format!("`{}` must be a date and a time with its offset", item.name);
        item.fail("wrong-value", message, "without quotes, as in 2027-01-01T00:00:00Z");
    }
    if seconds.is_some_and(|seconds| seconds <= Clock::System.now()) {
        let message = "this API key has expired, and is refused";
        item.reader.warn("expired-key", item.span, message, "make a new one, or take it out");
    }
    seconds
}
