//! Who is at the other end of a connection, and what may be believed of what they say about it.
//!
//! Only a peer in `server.trusted_proxies` is believed when it tells a client address, a host or a request id; towards the upstream
//! the gateway's own view replaces whatever came.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::forwarded::{Hop, address_of, hops, is_withheld};
use super::headers::is_authority;
use super::memory::Memory;
use super::stream::PeerAddr;
use crate::subject::Origin;
use crate::telemetry::CONTEXT_HEADERS;

/// `X-Request-Id`.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Told by proxies, read by some upstreams, never ours to pass on.
const OTHERS: [&str; 18] = [
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "front-end-https",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-original-url",
    "x-real-ip",
    "x-url-scheme",
];

/// The longest request id that is taken from a proxy.
const MAX_REQUEST_ID: usize = 128;

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    unix: bool,
}

impl TrustedProxies {
    /// Believes peers in these networks, and if `unix` those who come over a unix socket.
    pub fn new(networks: Vec<IpNet>, unix: bool) -> Self {
        Self { networks, unix }
    }

    /// Whether this address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether this peer is one of them.
    pub fn trusts(&self, peer: PeerAddr) -> bool {
        match peer {
            PeerAddr::Ip(address) => self.contains(address.ip()),
            PeerAddr::Unix => self.unix,
            PeerAddr::Unknown => false,
        }
    }
}

/// What is known of the way a request came.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The client: the connection's peer, or what trusted proxies say.
    pub(crate) client: Origin,
    /// The id of the request.
    pub(crate) request_id: RequestId,
    /// Whether what it says is believed.
    pub(crate) trusted: bool,
    description: Arc<Description>,
}

/// What the upstream is told of a client and the way its request came.
#[derive(Debug)]
pub(crate) struct Description {
    client: Origin,
    /// The host that the client addressed: `Host`, or what a trusted proxy says.
    host: Box<str>,
    /// Addresses before the client that trusted proxies told, as they told them.
    chain: Option<String>,
    scheme: &'static str,
    /// The headers that say so; those without a value are left out.
    headers: [(HeaderName, Option<HeaderValue>); 4],
}

impl Peer {
    /// Reads the headers of a request that came over a connection from `address`. `scheme` is that of the public name for a host.
    pub(crate) fn new(
        address: PeerAddr,
        host: &str,
        headers: &HeaderMap,
        trusted: &TrustedProxies,
        scheme: impl Fn(&str) -> &'static str,
        memory: &Memory,
    ) -> Self {
        let peer = address.origin();
        let describe = |client: Origin, host: &str, chain: Option<String>| {
            let scheme = scheme(host);
            let same = |last: &Description| {
                last.client == client && *last.host == *host && last.chain == chain && last.scheme == scheme
            };
            memory.description(same, || Description::new(address, client, host, chain.clone(), scheme))
        };
        if !trusted.trusts(address) {
            let description = describe(peer, host, None);
            return Self { client: peer, request_id: RequestId::fresh(), trusted: false, description };
        }
        let told = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        // Where both are told the older headers count: they are what most proxies write.
        let forwarded = joined(headers, &FORWARDED);
        // One that cannot be read says that there is somebody, and not who.
        let unreadable = || vec![Hop { from: Some("unknown".to_owned()), host: None }];
        let hops = forwarded.map_or_else(Vec::new, |text| hops(&text).unwrap_or_else(unreadable));
        let chain = joined(headers, &X_FORWARDED_FOR).or_else(|| chain_of(&hops));
        let client = chain.as_deref().and_then(|chain| first_untrusted(chain, trusted)).unwrap_or(peer);
        // Of several hosts the nearest proxy's is the last.
        let host = told(X_FORWARDED_HOST)
            .map(str::to_owned)
            .or_else(|| hops.into_iter().filter_map(|hop| hop.host).next_back())
            .filter(|text| is_authority(text))
            .unwrap_or_else(|| host.to_owned());
        let request_id = told(X_REQUEST_ID).and_then(RequestId::told).unwrap_or_else(RequestId::fresh);
        Self { client, request_id, trusted: true, description: describe(client, &host, chain) }
    }

    /// The host that the client addressed: `Host`, or what a trusted proxy says.
    pub(crate) fn host(&self) -> &str {
        &self.description.host
    }

    /// Whether the upstream hears nothing of a header of this name but what the gateway says.
    pub(crate) fn replaces(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        is_other_description(name) || !self.trusted && CONTEXT_HEADERS.contains(&name)
    }

    /// Tells the upstream about the client, in place of whatever the client said.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.description.headers {
            match value {
                Some(value) => drop(headers.insert(name, value.clone())),
                None => drop(headers.remove(name)),
            }
        }
        // Whoever told one told it in characters of headers.
        match HeaderValue::from_str(&self.request_id) {
            Ok(value) => drop(headers.insert(X_REQUEST_ID, value)),
            Err(_) => drop(headers.remove(X_REQUEST_ID)),
        }
    }
}

impl Description {
    /// The host that the client addressed: a valid one, or an empty text.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    fn new(address: PeerAddr, client: Origin, host: &str, chain: Option<String>, scheme: &'static str) -> Self {
        let forwarded_for = match (&chain, address.ip()) {
            (Some(chain), Some(peer)) => format!("{chain}, {peer}"),
            (Some(chain), None) => chain.clone(),
            (None, Some(peer)) => peer.to_string(),
            (None, None) => String::new(),
        };
        let node = match client {
            Origin::Ip(IpAddr::V6(client)) => format!("\"[{client}]\""),
            Origin::Ip(client) => client.to_string(),
            Origin::Unix | Origin::Unknown => "unknown".to_owned(),
        };
        let forwarded = format!("for={node};host=\"{host}\";proto={scheme}");
        let value = |text: &str| HeaderValue::from_str(text).ok().filter(|value| !value.is_empty());
        let headers = [
            (X_FORWARDED_FOR, value(&forwarded_for)),
            (X_FORWARDED_PROTO, value(scheme)),
            (X_FORWARDED_HOST, value(host)),
            (FORWARDED, value(&forwarded)),
        ];
        Self { client, host: host.into(), chain, scheme, headers }
    }
}

/// The id of a request: as text, of characters that a header may have.
#[derive(Clone, Debug)]
pub(crate) enum RequestId {
    /// One that no other request of this process has; its random half tells processes apart.
    Own([u8; 24]),
    /// One that a trusted proxy told.
    Told(Arc<str>),
}

impl RequestId {
    fn fresh() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        static PROCESS: std::sync::OnceLock<[u8; 12]> = std::sync::OnceLock::new();
        let process = PROCESS.get_or_init(|| {
            let mut bytes = [0; 8];
            // Without randomness ids are unique in this process only, which is all that the logs of one process need.
            let _ = aws_lc_rs::rand::fill(&mut bytes);
            digits(u64::from_ne_bytes(bytes))
        });
        let mut id = [0; 24];
        let (front, back) = id.split_at_mut(12);
        front.copy_from_slice(process);
        back.copy_from_slice(&digits(COUNT.fetch_add(1, Ordering::Relaxed)));
        Self::Own(id)
    }

    fn told(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
        ((1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(fits)).then(|| Self::Told(text.into()))
    }
}

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            // Digits are always text.
            Self::Own(id) => std::str::from_utf8(id).unwrap_or_default(),
            Self::Told(id) => id,
        }
    }
}

/// The lower twelve hexadecimal digits of a number.
fn digits(number: u64) -> [u8; 12] {
    std::array::from_fn(|place| {
        let digit = number >> (4 * (11 - place)) & 0xf;
        b"0123456789abcdef".get(digit as usize).copied().unwrap_or(b'0')
    })
}

/// Whether a name tells a client's address or scheme, in one of the ways that are not ours.
pub(crate) fn is_other_description(name: &str) -> bool {
    OTHERS.contains(&name)
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let parts: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The addresses of the hops, as `X-Forwarded-For` tells them. What is no address is told as unknown.
fn chain_of(hops: &[Hop]) -> Option<String> {
    let told = hops.iter().filter_map(|hop| hop.from.as_deref());
    let told: Vec<&str> = told.map(|node| if address_of(node).is_some() { node } else { "unknown" }).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// Who is nearest to us and no trusted proxy. What stands left of it was written by somebody who is not believed. A proxy that knows and
/// does not tell has a client that is nobody's neighbour; what cannot be read says nothing.
fn first_untrusted(chain: &str, trusted: &TrustedProxies) -> Option<Origin> {
    let mut nearest = None;
    for part in chain.rsplit(',') {
        let part = part.trim();
        let Some(address) = address_of(part) else {
            return if is_withheld(part) { Some(Origin::Unknown) } else { nearest };
        };
        nearest = Some(Origin::Ip(address));
        if !trusted.contains(address) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{Memory, Origin, Peer, PeerAddr, TrustedProxies};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    /// A peer of a gateway with this scheme.
    fn came(address: PeerAddr, host: &str, said: &HeaderMap, trusted: &TrustedProxies, scheme: &'static str) -> Peer {
        Peer::new(address, host, said, trusted, |_| scheme, &Memory::default())
    }

    /// What the upstream is told in place of what was said.
    fn tell(peer: &Peer, headers: &mut HeaderMap) {
        let gone: Vec<_> = headers.keys().filter(|name| peer.replaces(name)).cloned().collect();
        for name in gone {
            headers.remove(name);
        }
        peer.describe(headers);
    }

    fn ip(text: &str) -> PeerAddr {
        PeerAddr::Ip(text.parse().unwrap())
    }

    fn trusted() -> TrustedProxies {
        TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()], false)
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let mut said = headers(&[
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "mine"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("x-forwarded-uri", "/admin"),
        ]);
        let address = ip("192.0.2.1:1000");
        let peer = came(address, "gw", &said, &trusted(), "http");
        assert_eq!(peer.client.to_string(), "192.0.2.1");
        assert_ne!(&*peer.request_id, "mine");
        tell(&peer, &mut said);
        assert_eq!(said["x-forwarded-for"], "192.0.2.1");
        assert_eq!(said["x-forwarded-host"], "gw");
        assert_eq!(said["x-forwarded-proto"], "http");
        assert_eq!(said["forwarded"], "for=192.0.2.1;host=\"gw\";proto=http");
        assert!(!said.contains_key("x-real-ip") && !said.contains_key("x-forwarded-uri"));
    }

    #[test]
    fn a_trusted_proxy_is_believed_up_to_the_first_stranger() {
        let mut said = headers(&[("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.1.1.1"), ("x-request-id", "abc-1")]);
        let address = ip("10.0.0.1:1000");
        let peer = came(address, "gw", &said, &trusted(), "https");
        assert_eq!(peer.client.to_string(), "192.0.2.7");
        assert_eq!(&*peer.request_id, "abc-1");
        tell(&peer, &mut said);
        assert_eq!(said["x-forwarded-for"], "6.6.6.6, 192.0.2.7, 10.1.1.1, 10.0.0.1");
    }

    #[test]
    fn a_trusted_proxy_may_say_it_in_the_standard_s_words() {
        let mut said = headers(&[
            ("forwarded", "for=6.6.6.6;host=evil, For=\"192.0.2.7:4711\";Proto=https;Host=\"registry.example:5000\""),
            ("forwarded", "for=\"10.1.1.1\""),
        ]);
        let address = ip("10.0.0.1:1000");
        let peer = came(address, "gw", &said, &trusted(), "https");
        assert_eq!((peer.client.to_string().as_str(), peer.host()), ("192.0.2.7", "registry.example:5000"));
        tell(&peer, &mut said);
        assert_eq!(said["x-forwarded-for"], "6.6.6.6, 192.0.2.7:4711, 10.1.1.1, 10.0.0.1");
        assert_eq!(said["forwarded"], "for=192.0.2.7;host=\"registry.example:5000\";proto=https");
        let ipv6 = headers(&[("forwarded", "for=\"[2001:db8::1]:80\";host=\"a b\"")]);
        let peer = came(address, "gw", &ipv6, &trusted(), "https");
        assert_eq!((peer.client.to_string().as_str(), peer.host()), ("2001:db8::1", "gw"));
        let both = headers(&[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "192.0.2.7")]);
        assert_eq!(came(address, "gw", &both, &trusted(), "https").client.to_string(), "192.0.2.7");
    }

    #[test]
    fn nonsense_from_a_trusted_proxy_falls_back_to_it() {
        let said = headers(&[("x-forwarded-for", "192.0.2.7, nonsense"), ("x-request-id", "a b\tc")]);
        let peer = came(ip("[::ffff:10.0.0.1]:1"), "gw", &said, &trusted(), "http");
        assert_eq!(peer.client.to_string(), "10.0.0.1");
        assert_ne!(&*peer.request_id, "a b\tc");
    }

    #[test]
    fn a_unix_peer_has_no_address_and_is_believed_only_where_the_configuration_says_so() {
        let said = || headers(&[("x-forwarded-for", "192.0.2.7, 10.1.1.1"), ("forwarded", "for=192.0.2.7")]);
        let stranger = came(PeerAddr::Unix, "gw", &said(), &trusted(), "http");
        assert_eq!(stranger.client, Origin::Unix);
        let mut told = said();
        tell(&stranger, &mut told);
        assert!(!told.contains_key("x-forwarded-for"), "{told:?}");
        assert_eq!(told["forwarded"], "for=unknown;host=\"gw\";proto=http");

        let trusted = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()], true);
        let proxy = came(PeerAddr::Unix, "gw", &said(), &trusted, "http");
        assert_eq!(proxy.client.to_string(), "192.0.2.7");
        let mut told = said();
        tell(&proxy, &mut told);
        assert_eq!(told["x-forwarded-for"], "192.0.2.7, 10.1.1.1");
        assert_eq!(told["forwarded"], "for=192.0.2.7;host=\"gw\";proto=http");
    }

    #[test]
    fn a_client_that_a_proxy_does_not_tell_is_unknown_and_not_the_proxy() {
        let address = ip("10.0.0.1:1000");
        for told in [
            headers(&[("x-forwarded-for", "192.0.2.7, unknown")]),
            headers(&[("x-forwarded-for", "unknown, 10.1.1.1")]),
            headers(&[("forwarded", "for=unknown")]),
            headers(&[("forwarded", "for=192.0.2.7, for=\"_hidden\";host=a, for=10.1.1.1")]),
            headers(&[("forwarded", "for=\"open, for=192.0.2.7")]),
        ] {
            let peer = came(address, "gw", &told, &trusted(), "http");
            assert_eq!(peer.client, Origin::Unknown, "{told:?}");
            let mut told = told;
            tell(&peer, &mut told);
            assert_eq!(told["forwarded"].to_str().unwrap().split(';').next(), Some("for=unknown"));
        }
        let quoted = headers(&[("forwarded", "for=192.0.2.7;host=\"a, for=198.51.100.1\"")]);
        let peer = came(address, "gw", &quoted, &trusted(), "http");
        assert_eq!((peer.client.to_string().as_str(), peer.host()), ("192.0.2.7", "gw"));
    }
}
