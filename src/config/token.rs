//! `[token]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::item::Item;
use super::listen::{Listener, address};
use super::reader::Section;
use super::server::Server;
use crate::keys::KeyIdFormat;
use crate::registry::path::{ROOTS, is_at_or_below};

/// `[token]`.
#[derive(Debug)]
pub struct Token {
    /// Path of the token endpoint (default `/token`).
    pub path: String,
    /// A listener of its own for the token endpoint and the JWKS; they stay on the main listeners too.
    pub listen: Option<SocketAddr>,
    /// Accepted services, the first is the default. Never empty.
    pub services: Vec<String>,
    /// `iss` (default: the first realm).
    pub issuer: String,
    /// Lifetime of a token; at least 60 s.
    pub ttl: Duration,
    /// PEM files: the first signs, all verify. Empty: one ES256 key is made in `state_dir`.
    pub keys: Vec<PathBuf>,
    /// `kid`: `"rfc7638"` (default) or `"libtrust"`.
    pub key_id: KeyIdFormat,
    /// Whether tokens carry the certificate of their key as `x5c`.
    pub x5c: bool,
}

/// Clients take a token without a longer life for one of 60 s (distribution, "Token Authentication Specification").
pub(super) const SHORTEST: Duration = Duration::from_secs(60);
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads the section, or its defaults when it is missing. Without a correct `[server]` there is nothing to derive them from.
pub(super) fn token(section: Option<Section<'_>>, server: Option<&Server>) -> Option<Token> {
    let mut token = Token {
        path: "/token".into(),
        listen: None,
        services: Vec::new(),
        issuer: String::new(),
        ttl: Duration::from_secs(5 * 60),
        keys: Vec::new(),
        key_id: KeyIdFormat::default(),
        x5c: false,
    };
    if let Some(section) = section {
        fill(&mut token, section, server);
    }
    let first = server?.public_urls.first()?;
    if token.services.is_empty() {
        token.services.push(first.authority.clone());
    }
    if token.issuer.is_empty() {
        token.issuer = format!("{}://{}{}", first.scheme, first.authority, token.path);
    }
    Some(token)
}

fn fill(token: &mut Token, mut section: Section<'_>, server: Option<&Server>) {
    if let Some(path) = section.take("path").and_then(|item| endpoint(&item)) {
        token.path = path;
    }
    if let Some(item) = section.take("listen") {
        token.listen = address(&item);
        let twice =
            |server: &Server, own: SocketAddr| server.listen.iter().filter_map(Listener::tcp).any(|other| other == own);
        if server.zip(token.listen).is_some_and(|(server, own)| own.port() != 0 && twice(server, own)) {
            item.fail(
                "duplicate",
                "`server.listen` has this address already",
                "leave out token.listen: the token endpoint is on the main listeners too",
            );
        }
    }
    if let Some(item) = section.take("service") {
        token.services = services(&item);
    }
    if let Some(issuer) = section.take("issuer").and_then(|item| plain(&item)) {
        token.issuer = issuer;
    }
    token.ttl = section.duration("ttl", token.ttl, SHORTEST..=LONGEST);
    if let Some(item) = section.take("keys") {
        token.keys = key_files(&item);
    }
    let words = [("rfc7638", KeyIdFormat::Rfc7638), ("libtrust", KeyIdFormat::Libtrust)];
    token.key_id = section.take("key_id").and_then(|item| item.word(&words)).unwrap_or_default();
    token.x5c = section.boolean("x5c", false);
    section.finish();
}

/// The path of the token endpoint: absolute, normal, and not where the registry is.
fn endpoint(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let normal = super::route::is_normal_path(text) && text.len() > 1 && !text.ends_with('/');
    if !normal {
        item.fail(
            "wrong-value",
            format!("\"{}\" is no path for the token endpoint", item.shown()),
            "write a plain absolute path, such as \"/token\"",
        );
        return None;
    }
    let mut taken = ROOTS.into_iter().chain(["/.well-known", "/healthz", "/readyz"]);
    if let Some(taken) = taken.find(|taken| is_at_or_below(text, taken)) {
        item.fail(
            "wrong-value",
            format!("the token endpoint cannot be at \"{text}\""),
            format!("{taken} is taken: write, for example, \"/token\""),
        );
        return None;
    }
    Some(text.to_owned())
}

fn services(item: &Item<'_>) -> Vec<String> {
    let items = item.list_or_one();
    if items.is_empty() {
        item.fail("empty-list", "`service` must not be empty", "leave it out for the host of the first public_url");
    }
    let mut services: Vec<String> = Vec::new();
    for item in items {
        let Some(service) = plain(&item) else { continue };
        if services.contains(&service) {
            item.fail("duplicate", format!("\"{service}\" is listed twice"), "");
        }
        services.push(service);
    }
    services
}

/// A text that can stand in a quoted challenge parameter and in a claim as it is.
fn plain(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    if !good {
        let message = format!("`{}` cannot be \"{}\"", item.name, item.shown());
        item.fail("wrong-value", message, "it must be printable ASCII without blanks, quotes and backslashes");
    }
    good.then(|| text.to_owned())
}

fn key_files(item: &Item<'_>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for item in item.list_or_one() {
        let Some(file) = item.path() else { continue };
        if files.contains(&file) {
            item.fail("duplicate", "this key is listed twice", "");
        }
        item.reader.note_secret_file(&file, item.span);
        item.reader.note_file(&file);
        files.push(file);
    }
    files
}
