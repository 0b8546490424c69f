//! Sockets that whoever started the process passed on: socket activation as systemd does it (`LISTEN_PID`, `LISTEN_FDS`,
//! `LISTEN_FDNAMES`; `sd_listen_fds(3)`).

use std::num::NonZeroUsize;

use listenfd::ListenFd;
use socket2::SockRef;

use super::acceptor::ListeningSocket;
use super::{Address, Bound, ListenError};

/// What a socket is called that its unit gives no name.
const UNNAMED: &str = "unknown";

/// The sockets that were passed on, each until it is taken.
pub struct Inherited {
    sockets: ListenFd,
    /// The name of each; none once it is taken.
    names: Vec<Option<String>>,
}

impl std::fmt::Debug for Inherited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Inherited").field(&self.names).finish()
    }
}

impl Inherited {
    /// None at all.
    pub fn none() -> Self {
        Self { sockets: ListenFd::empty(), names: Vec::new() }
    }

    /// Those that the environment tells of. To be asked once, early, before there are threads: the environment is changed, so that
    /// programs that this one starts do not take the sockets for theirs.
    pub fn from_environment() -> Self {
        let told = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let sockets = ListenFd::from_env();
        let mut told = told.split(':');
        let mut next = || told.next().filter(|name| !name.is_empty()).unwrap_or(UNNAMED).to_owned();
        let names = (0..sockets.len()).map(|_| Some(next())).collect();
        Self { sockets, names }
    }

    /// Takes all sockets of this name, or all that are left.
    pub(super) fn take(
        &mut self,
        address: &Address,
        name: Option<&str>,
        workers: NonZeroUsize,
    ) -> Result<Vec<(Bound, Vec<ListeningSocket>)>, ListenError> {
        let fits = |own: &Option<String>| own.as_deref().is_some_and(|own| name.is_none_or(|name| name == own));
        let wanted: Vec<usize> = (0..self.names.len()).filter(|&index| fits(&self.names[index])).collect();
        if wanted.is_empty() {
            return Err(ListenError::NotInherited(address.clone(), self.described()));
        }
        wanted.into_iter().map(|index| self.take_one(address, index, workers)).collect()
    }

    fn take_one(
        &mut self,
        address: &Address,
        index: usize,
        workers: NonZeroUsize,
    ) -> Result<(Bound, Vec<ListeningSocket>), ListenError> {
        let failed = |error| ListenError::of(address, error);
        let name = self.names[index].take().unwrap_or_default();
        let unusable = |why: String| ListenError::Unusable(address.clone(), format!("{name}: {why}"));
        let (bound, sockets) = if let Ok(Some(listener)) = self.sockets.take_tcp_listener(index) {
            let socket = SockRef::from(&listener);
            listens(&socket).map_err(unusable)?;
            socket.set_tcp_nodelay(true).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            let bound = Bound::Tcp(listener.local_addr().map_err(failed)?);
            let clones =
                (0..workers.get()).map(|_| listener.try_clone().map(ListeningSocket::tcp).map(ListeningSocket::kept));
            (bound, clones.collect::<Result<Vec<_>, _>>())
        } else {
            let taken = self.sockets.take_unix_listener(index).map_err(|error| unusable(error.to_string()))?;
            let listener = taken.ok_or_else(|| unusable("it was taken before".to_owned()))?;
            listens(&SockRef::from(&listener)).map_err(unusable)?;
            listener.set_nonblocking(true).map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let clones = (0..workers.get())
                .map(|_| listener.try_clone().map(|own| ListeningSocket::unix(own, None)).map(ListeningSocket::kept));
            (Bound::Unix(address.as_pathname().map(ToOwned::to_owned)), clones.collect::<Result<Vec<_>, _>>())
        };
        Ok((bound, sockets.map_err(failed)?))
    }

    fn described(&self) -> String {
        let names: Vec<&str> = self.names.iter().flatten().map(String::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

fn listens(socket: &SockRef<'_>) -> Result<(), String> {
    match socket.is_listener() {
        Ok(true) => Ok(()),
        Ok(false) => Err("nothing listens on it (Accept=yes and ListenDatagram= are not for this)".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
