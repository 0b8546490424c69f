//! `[server]` and `[admin]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::item::Item;
use super::listen::{Listener, address, listeners};
use super::reader::{Reader, Section};
use super::source::Span;
use super::tls::{self, Tls, is_spoken};
use super::tree::Value;
use super::url::{PublicUrl, public_url};

/// `[server]`.
#[derive(Debug)]
pub struct Server {
    /// Where to listen. Never empty.
    pub listen: Vec<Listener>,
    /// What clients call the gateway; the first is the default. Never empty.
    pub public_urls: Vec<PublicUrl>,
    /// TLS; none: it is not spoken.
    pub tls: Option<Tls>,
    /// Whether HTTP/2 is spoken (default: it is).
    pub http2: bool,
    /// Peers whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether whoever comes over a unix socket is believed like one of them.
    pub trusts_unix: bool,
    /// Where the generated key lives.
    pub state_dir: PathBuf,
    /// Worker threads; default: the number of cores.
    pub workers: usize,
    /// How long a client may take to send a request head (default 15 s).
    pub header_timeout: Duration,
    /// How long a kept-alive connection may be idle between requests (default 75 s).
    pub idle_timeout: Duration,
    /// How long a request or response body may stand still (default 60 s).
    pub body_idle_timeout: Duration,
    /// How long to go on serving after SIGTERM, not ready any more, before the drain begins (default: not at all).
    pub drain_delay: Duration,
    /// How long in-flight requests may take to finish once the drain has begun (default 30 s).
    pub drain_timeout: Duration,
    /// Whether the configuration is read again when it or a file that it names changes (default true).
    pub watch: bool,
}

/// `[admin]`.
#[derive(Debug)]
pub struct Admin {
    /// Where `/healthz` and `/readyz` are served.
    pub listen: SocketAddr,
}

/// The shortest and the longest time-out that makes sense.
pub(super) const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

pub(super) fn server(mut section: Section<'_>) -> Option<Server> {
    let listen = section.require("listen", "[\"127.0.0.1:5000\"]").map(|item| listeners(&item));
    let tls_item = section.take("tls");
    let tls = tls_item.map(|item| tls::tls(&item));
    let public_urls = section.require("public_url", "\"http://127.0.0.1:5000\"").map(|item| public_urls(&item));
    let proxies = section.take("trusted_proxies").map_or_else(Vec::new, |item| item.list_or_one());
    let is_unix = |item: &Item<'_>| matches!(item.value, Value::String(text) if text == "unix");
    let trusts_unix = proxies.iter().any(is_unix);
    let trusted_proxies = proxies.iter().filter(|item| !is_unix(item)).filter_map(network).collect();
    let state_dir = match section.take("state_dir") {
        Some(item) => item.path(),
        None => Some(section.reader.resolve("state")),
    };
    let http2 = section.boolean("http2", true);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = section.number("workers", cores, 1..=1024);
    let header_timeout = section.duration("header_timeout", Duration::from_secs(15), TIMEOUTS);
    let idle_timeout = section.duration("idle_timeout", Duration::from_secs(75), TIMEOUTS);
    let body_idle_timeout = section.duration("body_idle_timeout", Duration::from_secs(60), TIMEOUTS);
    let drain_delay = section.duration("drain_delay", Duration::ZERO, Duration::ZERO..=Duration::from_secs(3600));
    let drain_timeout = section.duration("drain_timeout", Duration::from_secs(30), Duration::ZERO..=*TIMEOUTS.end());
    let watch = section.boolean("watch", true);
    let (reader, header) = (section.reader, section.header);
    section.finish();
    let server = Server {
        listen: listen?,
        public_urls: public_urls?,
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        http2,
        trusted_proxies,
        trusts_unix,
        state_dir: state_dir?,
        workers,
        header_timeout,
        idle_timeout,
        body_idle_timeout,
        drain_delay,
        drain_timeout,
        watch,
    };
    match tls_item {
        Some(item) => tls::lint(&server, reader, item.key),
        None => wants_tls(&server, reader),
    }
    exposed(&server, reader, header);
    Some(server)
}

pub(super) fn admin(mut section: Section<'_>) -> Option<Admin> {
    let item = section.require("listen", "\"127.0.0.1:5001\"");
    section.finish();
    let item = item?;
    let listen = address(&item)?;
    if !listen.ip().is_loopback() {
        let message = format!("the admin listener at {listen} is not bound to a loopback address");
        let hint = "it asks for no credentials: bind it to 127.0.0.1, or see that only probes and monitoring reach it";
        item.reader.warn("public-admin", item.span, message, hint);
    }
    Some(Admin { listen })
}

fn public_urls(item: &Item<'_>) -> Vec<PublicUrl> {
    let items = item.list_or_one();
    if items.is_empty() {
        item.fail("empty-list", "`public_url` must not be empty", "");
    }
    let mut urls: Vec<PublicUrl> = Vec::new();
    for item in items {
        let Some(url) = public_url(&item) else { continue };
        if urls.contains(&url) {
            item.fail("duplicate", format!("{}://{} is listed twice", url.scheme, url.authority), "");
        }
        if url.scheme == http::uri::Scheme::HTTP && !is_loopback(&url.authority) {
            let message = format!("clients are told to send passwords to http://{} in the clear", url.authority);
            item.reader.warn(
                "plain-http",
                item.span,
                message,
                "put a proxy with TLS in front, and name its https URL here",
            );
        }
        urls.push(url);
    }
    urls
}

/// A network, or one address as the network of it alone.
pub(super) fn network(item: &Item<'_>) -> Option<IpNet> {
    let text = item.text_as("a network such as \"10.0.0.0/8\"")?;
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Some(address.into());
    }
    match text.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Some(network),
        Ok(network) => {
            let message = format!("\"{text}\" has bits set beyond its prefix");
            item.fail(
                "wrong-value",
                message,
                format!("write \"{}\" for the network, \"{}\" for the one address", network.trunc(), network.addr()),
            );
            None
        }
        Err(_) => {
            item.fail(
                "wrong-value",
                format!("\"{}\" is no network", item.shown()),
                "write \"10.0.0.0/8\", \"fd00::/8\" or a single address",
            );
            None
        }
    }
}

/// Whether an authority names this host alone.
fn is_loopback(authority: &str) -> bool {
    let host = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Listeners that would speak TLS if there were any.
fn wants_tls(server: &Server, reader: &Reader<'_>) {
    if let Some(item) = server.listen.iter().find_map(|listener| listener.tls_at.filter(|_| listener.tls == Some(true)))
    {
        let hint = "add `tls = { cert = \"tls.crt\", key = \"tls.key\" }` to [server]";
        reader.error("missing-key", item, "this listener is to speak TLS, and there is no `server.tls`", hint);
    }
}

/// Passwords over the network in the clear: no TLS of our own, and nobody in front who could end it.
fn exposed(server: &Server, reader: &Reader<'_>, header: Span) {
    let plain = server.listen.iter().filter(|listener| !is_spoken(listener, server.tls.as_ref()));
    let mut addresses = plain.filter_map(Listener::tcp);
    let Some(open) = addresses.find(|address| !address.ip().is_loopback()) else { return };
    let https = server.public_urls.iter().any(|url| url.scheme == http::uri::Scheme::HTTPS);
    if !https {
        let message = format!("{open} is reachable from other hosts, and no public_url is https");
        reader.warn("open-listener", header, message, "listen on a loopback address, or put a proxy with TLS in front");
    } else if server.trusted_proxies.is_empty() {
        let message = format!("{open} is reachable from other hosts, and no proxy is trusted");
        let hint = "name the proxy that ends TLS in `trusted_proxies`: else client addresses in rules and logs are the proxy's";
        reader.warn("untrusted-proxy", header, message, hint);
    }
}
