//! Who gets in: how many connections there may be, and who is at the other end where a PROXY header tells it.
//!
//! What is decided here is decided before TLS and before HTTP, and costs next to nothing: who is refused hears nothing but the end
//! of the connection.

mod crowd;

use std::num::NonZeroUsize;
use std::sync::Arc;

use self::crowd::{Crowd, Place};
use super::connection::ConnectionSettings;
use super::peer::TrustedProxies;
use super::proxy_protocol::{self, ReadError, Told};
use super::seldom::Seldom;
use super::shutdown::ShutdownWatch;
use super::stream::{PeerAddr, Stream};
use crate::metrics::Refusal;

/// Who may come.
#[derive(Clone, Debug, Default)]
pub struct EntranceSettings {
    /// Connections in all; none: as many as come.
    pub connections: Option<NonZeroUsize>,
    /// Connections from one address, of IPv6 from one /64; none: as many as come. Trusted proxies, and whoever has no address, are
    /// not counted.
    pub per_address: Option<NonZeroUsize>,
    /// Whose PROXY headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// Whether connections begin with a PROXY header, by the position of the listener; not beyond the list.
    pub proxy_protocol: Vec<bool>,
}

impl EntranceSettings {
    fn expects_header(&self, listener: usize) -> bool {
        self.proxy_protocol.get(listener).copied().unwrap_or_default()
    }
}

/// The entrance that the workers of one server share.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    crowd: Arc<Crowd>,
    full: Seldom,
    full_of_one: Seldom,
    strangers: Seldom,
    bad_headers: Seldom,
}

impl Entrance {
    /// A place for a connection that was accepted, if it may stay.
    pub(crate) fn admit(&self, connection: &ConnectionSettings, listener: usize, peer: PeerAddr) -> Option<Place> {
        let settings = &connection.entrance;
        let Some(mut place) = self.crowd.enter(settings.connections) else {
            count(connection, Refusal::Connections);
            if let Some(refused) = self.full.due() {
                let limit = settings.connections;
                tracing::warn!(%peer, refused, limit, "connections are refused: limits.connections is reached");
            }
            return None;
        };
        if !settings.expects_header(listener) {
            return self.counted(connection, &mut place, peer).then_some(place);
        }
        if !settings.trusted_proxies.trusts(peer) {
            count(connection, Refusal::ProxyProtocol);
            if let Some(refused) = self.strangers.due() {
                tracing::warn!(
                    %peer,
                    refused,
                    "connections are refused: only trusted_proxies may send a PROXY header, and this listener takes nobody without one"
                );
            }
            return None;
        }
        Some(place)
    }

    /// Says who is at the other end: `peer`, or whoever the header tells that is expected. `None`: the connection is to be closed.
    pub(crate) async fn identify(
        &self,
        settings: &ConnectionSettings,
        listener: usize,
        peer: PeerAddr,
        stream: &mut Stream,
        place: &mut Place,
        mut shutdown: ShutdownWatch,
    ) -> Option<PeerAddr> {
        if !settings.entrance.expects_header(listener) {
            return Some(peer);
        }
        let ending = async {
            shutdown.draining().await;
            // For the runtime to hear of what the kernel holds already: there may be a request behind the header.
            tokio::task::yield_now().await;
        };
        let told = tokio::select! {
            biased;
            told = proxy_protocol::read(stream, settings.header_timeout) => told,
            () = ending => return None,
        };
        let client = match told {
            Ok(Told::Itself) => peer,
            Ok(Told::Client(address)) => PeerAddr::Ip(address),
            Ok(Told::Unknown) => PeerAddr::Unknown,
            Err(ReadError::Silent) => return None,
            Err(error) => {
                count(settings, Refusal::ProxyProtocol);
                if let Some(closed) = self.bad_headers.due() {
                    tracing::warn!(%peer, closed, "a connection of a proxy was closed: {error}");
                }
                return None;
            }
        };
        self.counted(settings, place, client).then_some(client)
    }

    /// Whether a connection from there may stay.
    fn counted(&self, connection: &ConnectionSettings, place: &mut Place, peer: PeerAddr) -> bool {
        let settings = &connection.entrance;
        let (Some(most), Some(address)) = (settings.per_address, peer.ip()) else { return true };
        if settings.trusted_proxies.trusts(peer) || place.is_from(address, most) {
            return true;
        }
        count(connection, Refusal::Address);
        if let Some(refused) = self.full_of_one.due() {
            tracing::warn!(%address, refused, limit = most, "connections are refused: limits.connections_per_address is reached");
        }
        false
    }
}

fn count(settings: &ConnectionSettings, why: Refusal) {
    if let Some(metrics) = &settings.metrics {
        metrics.connection_refused(why);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::{Entrance, EntranceSettings};
    use crate::server::connection::ConnectionSettings;
    use crate::server::peer::TrustedProxies;
    use crate::server::stream::PeerAddr;

    fn settings() -> ConnectionSettings {
        let entrance = EntranceSettings {
            connections: NonZeroUsize::new(3),
            per_address: NonZeroUsize::new(1),
            trusted_proxies: TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()], false),
            proxy_protocol: vec![false, true],
        };
        ConnectionSettings { entrance, ..ConnectionSettings::default() }
    }

    fn peer(address: &str) -> PeerAddr {
        PeerAddr::Ip(address.parse().unwrap())
    }

    #[test]
    fn each_address_has_its_share_and_proxies_have_more() {
        let (entrance, settings) = (Entrance::default(), settings());
        let first = entrance.admit(&settings, 0, peer("192.0.2.1:1"));
        assert!(first.is_some() && entrance.admit(&settings, 0, peer("192.0.2.1:2")).is_none());
        let proxies = [1, 2].map(|port| entrance.admit(&settings, 0, peer(&format!("10.0.0.1:{port}"))));
        assert!(proxies.iter().all(Option::is_some));
        assert!(entrance.admit(&settings, 0, peer("10.0.0.1:3")).is_none(), "in all there are three");
        drop(first);
        assert!(entrance.admit(&settings, 0, PeerAddr::Unix).is_some(), "who is gone takes no place");
    }

    #[test]
    fn only_trusted_proxies_come_where_a_header_is_expected() {
        let (entrance, settings) = (Entrance::default(), settings());
        for stranger in [peer("192.0.2.1:1"), PeerAddr::Unix, PeerAddr::Unknown] {
            assert!(entrance.admit(&settings, 1, stranger).is_none(), "{stranger}");
        }
        let proxies =
            [peer("10.0.0.1:1"), peer("[::ffff:10.0.0.1]:2")].map(|proxy| entrance.admit(&settings, 1, proxy));
        assert!(proxies.iter().all(Option::is_some));
    }
}
