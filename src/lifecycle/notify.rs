//! What a service manager is told: the protocol of `sd_notify`, one datagram for each thing.
//!
//! Without `NOTIFY_SOCKET` in the environment there is nobody to tell. A datagram that cannot be sent is logged and given up: a
//! supervisor that does not listen is no reason not to serve.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The line to a service manager, if there is one. Clones are the same line.
#[derive(Clone, Debug, Default)]
pub(super) struct Notifier(Option<Arc<UnixDatagram>>);

impl Notifier {
    /// As the environment says.
    pub(super) fn from_environment() -> Self {
        std::env::var_os("NOTIFY_SOCKET").map_or_else(Self::default, |name| {
            Self::to(&name).unwrap_or_else(|error| {
                tracing::warn!(socket = ?name, "cannot reach the service manager: {error}");
                Self::default()
            })
        })
    }

    /// To a socket by its path, or by its name in the abstract space behind an `@`.
    pub(super) fn to(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // Its queue may be full: nobody here waits for that.
        socket.set_nonblocking(true)?;
        socket.connect_addr(&address)?;
        Ok(Self(Some(Arc::new(socket))))
    }

    /// Requests are accepted.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The configuration is being read again; [`Notifier::ready`] ends it.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        // By this time the manager knows which of its requests is answered. It is never negative.
        let microseconds = now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reading the configuration again"));
    }

    /// The end has begun, and may take this long.
    pub(super) fn stopping(&self, within: Duration) {
        let microseconds = within.as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={microseconds}\nSTATUS=draining"));
    }

    /// Says every so often that the process lives, if the environment asks for that. Never returns.
    pub(super) async fn keep_alive(&self) {
        let every = watchdog(|name| std::env::var(name).ok(), std::process::id());
        let Some(every) = every.filter(|_| self.0.is_some()) else {
            return std::future::pending().await;
        };
        loop {
            self.tell("WATCHDOG=1");
            tokio::time::sleep(every).await;
        }
    }

    fn tell(&self, message: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(message.as_bytes())
        {
            tracing::warn!("cannot tell the service manager: {error}");
        }
    }
}

/// How often the watchdog is to hear of us: twice in its time, if it means this process.
fn watchdog(variable: impl Fn(&str) -> Option<String>, own: u32) -> Option<Duration> {
    let time: u64 = variable("WATCHDOG_USEC")?.parse().ok().filter(|time| *time > 0)?;
    let means_us = variable("WATCHDOG_PID").is_none_or(|id| id.parse() == Ok(own));
    means_us.then(|| Duration::from_micros(time) / 2)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::time::Duration;

    use super::{Notifier, watchdog};

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn sockets_with_paths_and_abstract_ones_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("tidegate-test-{}", std::process::id());
        let listening = [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).unwrap()),
            (
                OsString::from(format!("@{name}")),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
            ),
        ];
        for (name, socket) in listening {
            let notifier = Notifier::to(&name).unwrap();
            notifier.ready("serving");
            assert_eq!(heard(&socket), "READY=1\nSTATUS=serving");
            notifier.reloading();
            let text = heard(&socket);
            let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().split('\n').next().unwrap();
            assert!(time.parse::<u64>().unwrap() > 0, "{text}");
            notifier.stopping(Duration::from_secs(2));
            assert_eq!(heard(&socket), "STOPPING=1\nEXTEND_TIMEOUT_USEC=2000000\nSTATUS=draining");
        }
    }

    #[test]
    fn nobody_listening_is_no_trouble() {
        assert!(Notifier::to("/nowhere/at/all".as_ref()).is_err());
        Notifier::default().ready("serving");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();
        drop(socket);
        notifier.ready("serving");
    }

    #[test]
    fn the_watchdog_is_told_twice_in_its_time_if_it_means_us() {
        let every = |time: Option<&str>, id: Option<&str>| {
            let value = |name: &str| if name == "WATCHDOG_USEC" { time } else { id };
            watchdog(|name| value(name).map(str::to_owned), 7)
        };
        assert_eq!(every(Some("3000000"), None), Some(Duration::from_millis(1500)));
        assert_eq!(every(Some("3000000"), Some("7")), Some(Duration::from_millis(1500)));
        for (time, id) in [(None, None), (Some("0"), None), (Some("soon"), None), (Some("3000000"), Some("8"))] {
            assert_eq!(every(time, id), None);
        }
    }
}
