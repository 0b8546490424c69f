//! Binding on this machine, with sockets of every kind.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::{Address, Bound, Inherited, ListenError, Listeners, ListeningSocket};

fn bind(addresses: &[&str], workers: usize) -> Result<Listeners, ListenError> {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Listeners::bind(&addresses, NonZeroUsize::new(workers).unwrap())
}

fn open(path: &Path, workers: usize) -> Result<Listeners, ListenError> {
    let address = Address::Unix { path: path.to_owned(), mode: 0o640 };
    Listeners::open(&[address], Inherited::none(), NonZeroUsize::new(workers).unwrap())
}

#[test]
fn all_workers_share_the_port_that_was_picked() {
    let listeners = bind(&["127.0.0.1:0", "127.0.0.2:0"], 3).unwrap();
    let addresses = listeners.local_addrs();
    assert!(addresses.iter().all(|address| address.port() != 0));
    let workers = listeners.into_workers();
    assert_eq!(workers.len(), 3);
    for sockets in workers {
        let own: Vec<_> = sockets.iter().map(|socket| socket.as_tcp().unwrap().local_addr().unwrap()).collect();
        assert_eq!(own, addresses);
        assert_eq!(sockets.iter().map(|socket| socket.address).collect::<Vec<_>>(), [0, 1]);
    }
}

#[test]
fn connections_are_spread_over_the_workers() {
    let listeners = bind(&["127.0.0.1:0"], 3).unwrap();
    let address = listeners.local_addrs()[0];
    // That one of three gets none of so many has a chance of one in 10^11.
    let clients: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    let accepted =
        |sockets: &[ListeningSocket]| std::iter::from_fn(|| sockets[0].as_tcp().unwrap().accept().ok()).count();
    let counts: Vec<usize> = listeners.into_workers().iter().map(|sockets| accepted(sockets)).collect();
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), clients.len());
}

#[test]
fn a_port_in_use_is_a_clear_error_even_when_its_owner_shares_ports() {
    let first = bind(&["127.0.0.1:0"], 2).unwrap();
    let address = first.local_addrs()[0];
    let error = bind(&[&address.to_string()], 2).unwrap_err();
    assert!(matches!(&error, ListenError::InUse(Address::Tcp(at)) if *at == address), "{error:?}");
    assert!(error.to_string().contains("already in use"), "{error}");

    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    assert!(matches!(bind(&[&address.to_string()], 1), Err(ListenError::InUse(_))));
}

/// A client that tries until somebody listens, as those of a gateway that starts anew do, is not taken in only to be cut off.
#[test]
fn whoever_connects_while_sockets_are_bound_is_served() {
    for workers in [1, 3] {
        for _ in 0..100 {
            // Nobody else has this address, and who connects to it has another: so no connection meets itself.
            let address = TcpListener::bind("127.91.0.1:0").unwrap().local_addr().unwrap();
            let (trying, tries) = std::sync::mpsc::channel();
            let client = std::thread::spawn(move || {
                loop {
                    match TcpStream::connect(address) {
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => trying.send(()).unwrap_or(()),
                        connected => return connected,
                    }
                }
            });
            tries.recv().unwrap();
            let listeners = bind(&[&address.to_string()], workers).unwrap();
            let mut stream = client.join().unwrap().unwrap();
            let sockets = listeners.into_workers();
            let accepted = sockets.iter().find_map(|sockets| sockets[0].as_tcp().unwrap().accept().ok());
            let (mut accepted, _) = accepted.expect("the connection is still there");
            accepted.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
    }
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
    let socket = workers[0][0].as_tcp().unwrap();
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

#[test]
fn a_unix_socket_has_its_mode_serves_all_workers_and_goes_with_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sock");
    let listeners = open(&path, 3).unwrap();
    assert_eq!(listeners.bound(), [Bound::Unix(Some(path.clone()))]);
    assert!(listeners.local_addrs().is_empty());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let mut workers = listeners.into_workers();
    assert_eq!(workers.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    workers.truncate(1);
    UnixStream::connect(&path).unwrap();
    drop(workers);
    assert!(!path.exists());
}

#[test]
fn what_a_predecessor_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sock");
    // std leaves the file when the listener is dropped, as a process does that is killed.
    drop(UnixListener::bind(&path).unwrap());
    let listeners = open(&path, 1).unwrap();
    UnixStream::connect(&path).unwrap();
    drop(listeners);
    assert!(!path.exists());
}

#[test]
fn a_socket_that_somebody_listens_on_stays_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sock");
    let first = open(&path, 1).unwrap();
    let error = open(&path, 1).unwrap_err();
    assert!(matches!(error, ListenError::InUse(Address::Unix { .. })), "{error:?}");
    UnixStream::connect(&path).unwrap();
    drop(first);

    // Nor is it taken while its owner has no time to accept.
    let busy = UnixListener::bind(&path).unwrap();
    socket2::SockRef::from(&busy).listen(0).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    assert!(matches!(open(&path, 1), Err(ListenError::InUse(_))));
    assert!(path.exists());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sock");
    std::fs::write(&path, "precious").unwrap();
    let error = open(&path, 1).unwrap_err();
    assert!(error.to_string().contains("is no socket"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let link = dir.path().join("link.sock");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(open(&link, 1), Err(ListenError::NoSocket(_))));
}

#[test]
fn the_file_of_a_successor_is_not_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sock");
    let first = open(&path, 1).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = open(&path, 1).unwrap();
    drop(first);
    UnixStream::connect(&path).unwrap();
    drop(second);
}

#[tokio::test]
async fn closing_yields_what_has_connected_and_takes_the_file_away_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.sock");
    let mut workers = open(&path, 2).unwrap().into_workers();
    let other = workers.pop().unwrap();
    let acceptor = super::Acceptor::new(workers.pop().unwrap().pop().unwrap()).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"hello").unwrap();
    let mut streams = acceptor.close();
    assert!(!path.exists(), "another worker has a handle, and nobody shall come any more");
    let (mut stream, peer) = streams.pop().unwrap();
    assert_eq!(peer.to_string(), "unix");
    let mut heard = [0; 5];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut heard).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &heard).await.unwrap();
    drop((stream, other));
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

#[test]
fn without_activation_the_address_is_refused() {
    let address = Address::Inherited(Some("web".into()));
    let error = Listeners::open(&[address], Inherited::none(), NonZeroUsize::MIN).unwrap_err();
    assert!(error.to_string().starts_with("systemd:web was not passed on"), "{error}");
}
