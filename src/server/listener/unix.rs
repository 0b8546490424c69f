//! Unix sockets: one for each path, which all workers accept from, and its file.

use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};

use super::acceptor::ListeningSocket;
use super::{Address, BACKLOG, Bound, ListenError};

/// The file of a socket that listens; removed with the last handle, if it is still this socket's.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and number: a file that a successor has put in its place is not ours.
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    /// Takes the file away. Nobody connects any more from then on; who has connected is not concerned.
    pub(crate) fn remove(&self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // On failure (a directory that has become read-only) a stale file stays, which the next start replaces.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Listens at a path. What a predecessor has left there is replaced; a socket that somebody listens on, or a file that is no
/// socket, is not.
pub(super) fn bind(
    address: &Address,
    path: &Path,
    mode: u32,
    workers: NonZeroUsize,
) -> Result<(Bound, Vec<ListeningSocket>), ListenError> {
    let failed = |error| ListenError::of(address, error);
    make_room(address, path)?;
    let socket = new_socket().map_err(failed)?;
    socket.bind(&SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
    let file = Arc::new(SocketFile::new(path).map_err(failed)?);
    // Before it listens: nobody whom the mode keeps out gets in between.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    // Two that start at once may each have found the other's file stale.
    if !identity(path).is_ok_and(|found| found == file.identity) {
        return Err(ListenError::InUse(address.clone()));
    }
    let listener = UnixListener::from(socket);
    let sockets = (0..workers.get())
        .map(|_| listener.try_clone().map(|own| ListeningSocket::unix(own, Some(Arc::clone(&file)))))
        .collect::<io::Result<Vec<_>>>()
        .map_err(failed)?;
    Ok((Bound::Unix(Some(path.to_owned())), sockets))
}

/// Takes away the file of a socket that nobody listens on any more.
fn make_room(address: &Address, path: &Path) -> Result<(), ListenError> {
    let failed = |error| ListenError::of(address, error);
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !meta.file_type().is_socket() {
        return Err(ListenError::NoSocket(address.clone()));
    }
    // Without waiting: a listener whose queue is full is one all the same.
    match new_socket().and_then(|probe| probe.connect(&SockAddr::unix(path)?)) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(ListenError::InUse(address.clone())),
    }
}

fn new_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
