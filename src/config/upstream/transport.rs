//! How the addresses of an upstream are spoken to, and watched: `url`, `tls`, `http2`, `health`, `retries`.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::item::Item;
use crate::config::reader::{Section, Title};
use crate::config::route::is_normal_path;
use crate::config::server::TIMEOUTS;
use crate::config::tree::Value;
use crate::config::url::{UpstreamUrl, upstream_url};
use crate::server::{IdentityFiles, TlsSettings, UpstreamTlsError};

/// Most addresses of one upstream.
const MOST: usize = 64;

/// How the addresses of an upstream are spoken to, and watched.
#[derive(Clone, Debug)]
pub struct Transport {
    /// What https needs to know.
    pub tls: UpstreamTls,
    /// Whether HTTP/2 is spoken (default false).
    pub http2: bool,
    /// Time for the TLS handshake (default 5 s).
    pub handshake_timeout: Duration,
    /// How addresses are watched.
    pub health: Health,
    /// How often another address gets what one failed at; none: never.
    pub retries: Option<Retries>,
}

/// `tls` of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file with the CAs that may have signed its certificate; none: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// PEM files with the certificate that it is shown, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that its certificate must be good for; none: the host of the URL.
    pub server_name: Option<String>,
}

/// `health` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What probes ask for; none: what follows from the routes.
    pub path: Option<String>,
    /// Time between two probes of one address (default 5 s).
    pub interval: Duration,
    /// How long a probe may take (default 10 s; a minute for Pulp).
    pub timeout: Duration,
    /// Failed probes in a row that take an address out (default 2).
    pub unhealthy_after: u32,
    /// Answered probes in a row that bring it back (default 1).
    pub healthy_after: u32,
    /// Failed requests in a row that take an address out for a while (default 3); 0: never.
    pub eject_after: u32,
    /// How long that is the first time (default 1 s).
    pub eject_time: Duration,
}

/// `retries` of an upstream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retries {
    /// Retries for each request, over time (default 0.2).
    pub budget: f64,
    /// The most that is saved up (default 100).
    pub burst: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { budget: 0.2, burst: 100 }
    }
}

/// `url`: one address, or several of one kind.
pub(super) fn urls(item: &Item<'_>) -> Option<Vec<UpstreamUrl>> {
    let items = item.nonempty_list()?;
    if items.len() > MOST {
        item.fail("out-of-range", format!("`url` has {} addresses", items.len()), format!("at most {MOST}"));
        return None;
    }
    let mut urls: Vec<UpstreamUrl> = Vec::new();
    let mut good = true;
    for item in items {
        let Some(url) = upstream_url(&item) else {
            good = false;
            continue;
        };
        if urls.contains(&url) {
            item.fail("duplicate", format!("{url} is listed twice"), "name each address once");
            good = false;
        }
        if let Some(first) = urls.first().filter(|first| first.kind() != url.kind()) {
            let message = format!("{url} is {}, and {first} is {}", url.kind(), first.kind());
            let hint =
                "all addresses of an upstream are spoken to in the same way: make them alike, or two upstreams of them";
            item.fail("mixed-schemes", message, hint);
            good = false;
        }
        urls.push(url);
    }
    good.then_some(urls)
}

/// The other keys. What does not fit the addresses is an error where it would leave something unguarded, else a warning.
pub(super) fn transport(section: &mut Section<'_>, urls: Option<&[UpstreamUrl]>, is_pulp: bool) -> Option<Transport> {
    let (tls_item, retries_item) = (section.take("tls"), section.take("retries"));
    let handshake_item = section.take("handshake_timeout");
    let http2 = section.boolean("http2", false);
    let handshake_timeout = handshake_item.map_or(Some(Duration::from_secs(5)), |item| item.duration(TIMEOUTS));
    let health = health(section.take("health"), is_pulp);
    let retries = retries_item.map_or_else(|| Some(Retries::default()), |item| retries(&item));
    let tls = tls_item.map_or(Some(UpstreamTls::default()), |item| tls(&item));
    if let Some(urls) = urls {
        let is_https = urls.iter().any(UpstreamUrl::is_https);
        if let (Some(item), false) = (tls_item, is_https) {
            let message = "`tls` is for https, and this upstream is reached in cleartext";
            item.reader.error("unused-tls", item.key, message, "write https:// in `url`, or leave it out");
        }
        if let (Some(item), false) = (handshake_item, is_https) {
            let message = "`handshake_timeout` says nothing here: there is no TLS";
            item.reader.warn("unused-key", item.key, message, "write https:// in `url`, or leave it out");
        }
        if let (Some(item), [_]) = (retries_item, urls) {
            let message = "`retries` says nothing here: there is no other address";
            item.reader.warn("unused-key", item.key, message, "name several addresses in `url`, or leave it out");
        }
        if let (Some(tls), true) = (&tls, is_https) {
            check(section, tls, tls_item)?;
        }
    }
    Some(Transport { tls: tls?, http2, handshake_timeout: handshake_timeout?, health: health?, retries })
}

/// Reads the files, as the gateway will.
fn check(section: &Section<'_>, tls: &UpstreamTls, item: Option<Item<'_>>) -> Option<()> {
    let identity = tls.identity.clone().map(|(cert, key)| IdentityFiles { cert, key });
    let settings = TlsSettings { ca: tls.ca.clone(), identity, server_name: tls.server_name.clone() };
    let span = item.map_or(section.header, |item| item.span);
    match settings.check() {
        Ok(()) => Some(()),
        // Of this machine, which need not be the one where the gateway will run.
        Err(error @ UpstreamTlsError::NoSystemCas) => {
            section.reader.warn("unusable-tls", span, error.to_string(), "the gateway will not start without");
            Some(())
        }
        Err(error) => {
            section.reader.error("unusable-tls", span, error.to_string(), "put right what `tls` names");
            None
        }
    }
}

fn tls(item: &Item<'_>) -> Option<UpstreamTls> {
    let mut section = item.section(Title::Key("tls"))?;
    let path = |item: Option<Item<'_>>| item.map_or(Some(None), |item| item.path().map(Some));
    let ca = path(section.take("ca"));
    let (cert_item, key_item) = (section.take("cert"), section.take("key"));
    let (cert, key) = (path(cert_item), path(key_item));
    let server_name = match section.take("server_name") {
        Some(item) => server_name(&item).map(Some),
        None => Some(None),
    };
    section.finish();
    if let (Some(item), Some(Some(path))) = (key_item, &key) {
        item.reader.note_secret_file(path, item.span);
    }
    let identity = match (cert?, key?) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (cert, _) => {
            let (there, missing) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            item.fail(
                "missing-key",
                format!("`tls` has `{there}` and no `{missing}`"),
                "a client certificate is of two files: `cert` and `key`",
            );
            return None;
        }
    };
    Some(UpstreamTls { ca: ca?, identity, server_name: server_name? })
}

fn server_name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let good = rustls_pki_types::ServerName::try_from(text).is_ok();
    if !good {
        let message = format!("\"{}\" is no name that a certificate can be good for", item.shown());
        item.fail(
            "wrong-value",
            message,
            "write a host name without a port, as in \"registry.internal\", or an IP address",
        );
    }
    good.then(|| text.to_owned())
}

fn health(item: Option<Item<'_>>, is_pulp: bool) -> Option<Health> {
    let mut health = Health {
        path: None,
        interval: Duration::from_secs(5),
        // A worker of Pulp's that takes a large upload answers nobody else meanwhile.
        timeout: Duration::from_secs(if is_pulp { 60 } else { 10 }),
        unhealthy_after: 2,
        healthy_after: 1,
        eject_after: 3,
        eject_time: Duration::from_secs(1),
    };
    let Some(item) = item else { return Some(health) };
    let mut section = item.section(Title::Key("health"))?;
    let times = Duration::from_millis(100)..=Duration::from_secs(3600);
    let mut count = |key, default: u32, least: usize| {
        u32::try_from(section.number(key, default as usize, least..=1000)).unwrap_or(default)
    };
    health.unhealthy_after = count("unhealthy_after", health.unhealthy_after, 1);
    health.healthy_after = count("healthy_after", health.healthy_after, 1);
    health.eject_after = count("eject_after", health.eject_after, 0);
    health.interval = section.duration("interval", health.interval, times.clone());
    health.timeout = section.duration("timeout", health.timeout, times);
    let most = Duration::from_secs(60);
    health.eject_time = section.duration("eject_time", health.eject_time, Duration::from_millis(10)..=most);
    let path = section.take("path").map(|item| path(&item));
    section.finish();
    if let Some(path) = path {
        health.path = Some(path?);
    }
    Some(health)
}

fn path(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let good = is_normal_path(text);
    if !good {
        item.fail("wrong-value", format!("\"{}\" is no path", item.shown()), "as in \"/v2/\"");
    }
    good.then(|| text.to_owned())
}

/// A table, or `false`.
fn retries(item: &Item<'_>) -> Option<Retries> {
    match item.value {
        Value::Boolean(on) => on.then(Retries::default),
        Value::Table(_) => {
            let mut section = item.section(Title::Key("retries"))?;
            let mut retries = Retries::default();
            if let Some(item) = section.take("budget") {
                retries.budget = item.fraction(0.0..=1.0)?;
            }
            let burst = section.number("burst", retries.burst as usize, 1..=100_000);
            retries.burst = u32::try_from(burst).unwrap_or(retries.burst);
            section.finish();
            Some(retries)
        }
        _ => {
            let hint = "write { budget = 0.2, burst = 100 }, or false";
            item.fail("wrong-type", "`retries` must be a table, true or false", hint);
            None
        }
    }
}
