//! TCP sockets: one per worker and address.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::acceptor::ListeningSocket;
use super::{BACKLOG, Bound};

/// Binds an address once per worker.
///
/// The kernel then spreads connections over the workers' sockets. The price of `SO_REUSEPORT` is that a second process of
/// the same user could bind the port without noticing; so the first socket has it only once it is bound.
pub(super) fn bind(wanted: SocketAddr, workers: NonZeroUsize) -> io::Result<(Bound, Vec<ListeningSocket>)> {
    let first = bound_socket(wanted, Sharing::Nothing)?;
    if workers.get() > 1 {
        first.set_reuse_port(true)?;
    }
    let mut sockets: Vec<TcpListener> = vec![first.into()];
    // The picked port, where 0 was asked for.
    let address = sockets[0].local_addr()?;
    for _ in 1..workers.get() {
        sockets.push(bound_socket(address, Sharing::BetweenWorkers)?.into());
    }
    // Only now: a socket that listens while others are still being bound would take connections for all of them, and one that is
    // closed again would reset them.
    for socket in &sockets {
        SockRef::from(socket).listen(BACKLOG)?;
    }
    Ok((Bound::Tcp(address), sockets.into_iter().map(ListeningSocket::tcp).collect()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Nothing,
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
    Ok(socket)
}
