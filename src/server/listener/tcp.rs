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
/// the same user could bind the port without noticing; so it is tried without it first.
pub(super) fn bind(wanted: SocketAddr, workers: NonZeroUsize) -> io::Result<(Bound, Vec<ListeningSocket>)> {
    // With port 0 there is nothing to collide with: for it the kernel never picks a port that another socket shares.
    if wanted.port() != 0 {
        drop(bound_socket(wanted, Sharing::Exclusive)?);
    }
    let mut address = wanted;
    let mut sockets = Vec::with_capacity(workers.get());
    for _ in 0..workers.get() {
        let socket: TcpListener = bound_socket(address, Sharing::BetweenWorkers)?.into();
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    // Only now: a socket that listens while others are still being bound would take connections for all of them.
    for socket in &sockets {
        SockRef::from(socket).listen(BACKLOG)?;
    }
    Ok((Bound::Tcp(address), sockets.into_iter().map(ListeningSocket::tcp).collect()))
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
