//! Binding: from configured addresses to listening sockets, for each worker its own handle.
//!
//! Here is what is common to all kinds of addresses; each kind has a file of its own. Accepting connections is in `acceptor`, and
//! what becomes of them is `worker`'s part.

mod acceptor;
mod inherited;
mod tcp;
mod unix;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use self::acceptor::{Acceptor, ListeningSocket};
pub use self::inherited::Inherited;
use super::stream::PeerAddr;
use super::tls::Tls;

/// Connections that the kernel keeps for us per socket until they are accepted.
const BACKLOG: i32 = 1024;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port; port 0 picks a free one.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix {
        /// Where its file is made.
        path: PathBuf,
        /// The permissions of the file.
        mode: u32,
    },
    /// Sockets that whoever started the process (systemd) passed on: those of this name, or else those that no other address names.
    Inherited(Option<String>),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Inherited(None) => f.write_str("systemd"),
            Self::Inherited(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// At an address, with the picked port where 0 was asked for.
    Tcp(SocketAddr),
    /// At a file; none for a socket that was passed on without one.
    Unix(Option<PathBuf>),
}

impl Bound {
    /// The address, where it has one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix"),
        }
    }
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another socket listens there, of this process or of another one.
    #[error("{0} is already in use: another process listens there, or the address is configured twice")]
    InUse(Address),
    /// No interface of this machine has the address.
    #[error("{0} is not an address of this machine")]
    NotLocal(Address),
    /// The port is reserved for privileged processes.
    #[error("not permitted to listen on {0}: ports below 1024 need a privilege")]
    Forbidden(Address),
    /// A file stands where a unix socket should be made, and it is none.
    #[error("{0} cannot be made: a file of that name is there that is no socket")]
    NoSocket(Address),
    /// Whoever started the process passed on no such socket.
    #[error(
        "{0} was not passed on: the process was not started by a socket unit, or no socket of it has this name \
         (FileDescriptorName=); it passed on {1}"
    )]
    NotInherited(Address, String),
    /// A socket that was passed on is not one that connections could be accepted from.
    #[error("{0} is not a listening stream socket: {1}")]
    Unusable(Address, String),
    /// Whatever else the operating system says.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// The address asked for.
        address: Address,
        /// What the operating system says.
        source: io::Error,
    },
}

impl ListenError {
    /// What an error of the operating system means at this address.
    fn of(address: &Address, source: io::Error) -> Self {
        let of_tcp = matches!(address, Address::Tcp(_));
        let address = address.clone();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::AddrNotAvailable => Self::NotLocal(address),
            io::ErrorKind::PermissionDenied if of_tcp => Self::Forbidden(address),
            _ => Self::Other { address, source },
        }
    }
}

/// Listening sockets for a number of workers.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<Bound>,
    workers: Vec<Vec<ListeningSocket>>,
    secured: Vec<Option<Secured>>,
}

/// TLS on one listener.
#[derive(Clone, Debug)]
pub struct Secured {
    /// With these certificates.
    pub tls: Arc<Tls>,
    /// Whether it is spoken by who comes over a unix socket too.
    pub over_unix: bool,
}

impl Listeners {
    /// Binds every address once per worker. Port 0 picks a free port, the same for all workers.
    pub fn bind(addresses: &[SocketAddr], workers: NonZeroUsize) -> Result<Self, ListenError> {
        let addresses: Vec<Address> = addresses.iter().copied().map(Address::from).collect();
        Self::open(&addresses, Inherited::none(), workers)
    }

    /// Listens on every address, with the sockets that were passed on to this process.
    pub fn open(addresses: &[Address], mut inherited: Inherited, workers: NonZeroUsize) -> Result<Self, ListenError> {
        let mut listeners = Self {
            bound: Vec::with_capacity(addresses.len()),
            workers: (0..workers.get()).map(|_| Vec::new()).collect(),
            secured: Vec::new(),
        };
        // Names first: what stands without a name gets what is left.
        let mut order: Vec<usize> = (0..addresses.len()).collect();
        order.sort_by_key(|&position| addresses[position] == Address::Inherited(None));
        let mut opened: Vec<(usize, Bound, Vec<ListeningSocket>)> = Vec::new();
        for position in order {
            let address = &addresses[position];
            let sockets = match address {
                Address::Tcp(wanted) => {
                    vec![tcp::bind(*wanted, workers).map_err(|error| ListenError::of(address, error))?]
                }
                Address::Unix { path, mode } => vec![unix::bind(address, path, *mode, workers)?],
                Address::Inherited(name) => inherited.take(address, name.as_deref(), workers)?,
            };
            opened.extend(sockets.into_iter().map(|(bound, sockets)| (position, bound, sockets)));
        }
        opened.sort_by_key(|(position, ..)| *position);
        for (position, bound, sockets) in opened {
            listeners.bound.push(bound);
            for (worker, mut socket) in listeners.workers.iter_mut().zip(sockets) {
                socket.address = position;
                worker.push(socket);
            }
        }
        Ok(listeners)
    }

    /// Where each socket really listens, in configured order.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// With TLS on some of them, by the position of the address; none where it is not spoken, or beyond the list.
    #[must_use]
    pub fn secured(mut self, secured: Vec<Option<Secured>>) -> Self {
        self.secured = secured;
        self
    }

    /// The addresses among them.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.bound.iter().filter_map(Bound::tcp).collect()
    }

    /// The sockets of each worker, each in the order of the addresses.
    pub(crate) fn into_workers(self) -> Vec<Vec<ListeningSocket>> {
        self.workers
    }

    /// What is spoken below HTTP.
    pub(crate) fn security(&self) -> Security {
        Security(self.secured.clone().into())
    }
}

/// Which connections begin with TLS.
#[derive(Clone, Debug)]
pub(crate) struct Security(Arc<[Option<Secured>]>);

impl Security {
    /// For a connection of this peer to the address at a position.
    pub(crate) fn of(&self, address: usize, peer: PeerAddr) -> Option<Arc<Tls>> {
        let secured = self.0.get(address)?.as_ref()?;
        (secured.over_unix || peer != PeerAddr::Unix).then(|| Arc::clone(&secured.tls))
    }
}

#[cfg(test)]
mod tests;
