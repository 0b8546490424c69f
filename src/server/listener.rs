//! Binding: from configured addresses to listening sockets, one per address and worker.
//!
//! Accepting from them is `worker`'s part.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for us per socket until they are accepted.
const BACKLOG: i32 = 1024;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another socket listens there, of this process or of another one.
    #[error("{0} is already in use: another process listens there, or the address is configured twice")]
    InUse(SocketAddr),
    /// No interface of this machine has the address.
    #[error("{0} is not an address of this machine")]
    NotLocal(SocketAddr),
    /// The port is reserved for privileged processes.
    #[error("not permitted to listen on {0}: ports below 1024 need a privilege")]
    Forbidden(SocketAddr),
    /// Whatever else the operating system says.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Listening sockets for a number of workers.
#[derive(Debug)]
pub struct Listeners {
    addresses: Vec<SocketAddr>,
    workers: Vec<Vec<TcpListener>>,
}

impl Listeners {
    /// Binds every address once per worker. Port 0 picks a free port, the same for all workers.
    ///
    /// The kernel then spreads connections over the workers' sockets. The price of `SO_REUSEPORT` is that a second
    /// process of the same user could bind the port without noticing; so each address is tried without it first.
    pub fn bind(addresses: &[SocketAddr], workers: NonZeroUsize) -> Result<Self, ListenError> {
        let mut bound = Self {
            addresses: Vec::with_capacity(addresses.len()),
            workers: (0..workers.get()).map(|_| Vec::with_capacity(addresses.len())).collect(),
        };
        for &wanted in addresses {
            bound.bind_one(wanted).map_err(|error| describe(wanted, error))?;
        }
        Ok(bound)
    }

    /// The addresses really bound, in configured order, with the picked port where 0 was asked for.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The sockets of each worker, each in the order of the addresses.
    pub(crate) fn into_workers(self) -> Vec<Vec<TcpListener>> {
        self.workers
    }

    fn bind_one(&mut self, wanted: SocketAddr) -> io::Result<()> {
        // With port 0 there is nothing to collide with: for it the kernel never picks a port that another socket shares.
        if wanted.port() != 0 {
            drop(bound_socket(wanted, Sharing::Exclusive)?);
        }
        let mut address = wanted;
        for sockets in &mut self.workers {
            let socket: TcpListener = bound_socket(address, Sharing::BetweenWorkers)?.into();
            address = socket.local_addr()?;
            sockets.push(socket);
        }
        // Only now: a socket that listens while others are still being bound would take connections for all of them.
        for socket in self.workers.iter().filter_map(|sockets| sockets.last()) {
            socket2::SockRef::from(socket).listen(BACKLOG)?;
        }
        self.addresses.push(address);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Exclusive,
    BetweenWorkers,
}

fn bound_socket(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses to us on every machine, whatever its sysctl says.
        socket.set_only_v6(true)?;
    }
    // Connections of a predecessor in TIME_WAIT are no reason to wait a minute.
    socket.set_reuse_address(true)?;
    if sharing == Sharing::BetweenWorkers {
        socket.set_reuse_port(true)?;
    }
    // Accepted sockets inherit this.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if sharing == Sharing::Exclusive {
        // The kernel reports some collisions only now.
        socket.listen(1)?;
    }
    Ok(socket)
}

fn describe(address: SocketAddr, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        io::ErrorKind::AddrNotAvailable => ListenError::NotLocal(address),
        io::ErrorKind::PermissionDenied => ListenError::Forbidden(address),
        _ => ListenError::Other { address, source },
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::num::NonZeroUsize;

    use super::{ListenError, Listeners};

    fn bind(addresses: &[&str], workers: usize) -> Result<Listeners, ListenError> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Listeners::bind(&addresses, NonZeroUsize::new(workers).unwrap())
    }

    #[test]
    fn all_workers_share_the_port_that_was_picked() {
        let listeners = bind(&["127.0.0.1:0", "127.0.0.2:0"], 3).unwrap();
        let addresses = listeners.local_addrs().to_vec();
        assert!(addresses.iter().all(|address| address.port() != 0));
        let workers = listeners.into_workers();
        assert_eq!(workers.len(), 3);
        for sockets in workers {
            let own: Vec<SocketAddr> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
            assert_eq!(own, addresses);
        }
    }

    #[test]
    fn a_port_in_use_is_a_clear_error_even_when_its_owner_shares_ports() {
        let first = bind(&["127.0.0.1:0"], 2).unwrap();
        let address = first.local_addrs()[0];
        let error = bind(&[&address.to_string()], 2).unwrap_err();
        assert!(matches!(error, ListenError::InUse(at) if at == address), "{error:?}");
        assert!(error.to_string().contains("already in use"), "{error}");

        let plain = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = plain.local_addr().unwrap();
        assert!(matches!(bind(&[&address.to_string()], 1), Err(ListenError::InUse(_))));
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        // TEST-NET-1 (RFC 5737) belongs to nobody.
        assert!(matches!(bind(&["192.0.2.1:0"], 1), Err(ListenError::NotLocal(_))));
    }

    #[test]
    fn accepted_sockets_send_small_writes_at_once() {
        let listeners = bind(&["127.0.0.1:0"], 1).unwrap();
        let address = listeners.local_addrs()[0];
        let workers = listeners.into_workers();
        let socket = &workers[0][0];
        socket.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(address).unwrap();
        let (accepted, _) = socket.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    }

    #[test]
    fn ipv6_sockets_leave_ipv4_alone() {
        let Ok(listeners) = bind(&["[::]:0"], 1) else { return }; // a machine without IPv6
        let port = listeners.local_addrs()[0].port();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        assert!(TcpStream::connect(("::1", port)).is_ok());
    }
}
