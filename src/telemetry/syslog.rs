//! A syslog daemon as a place for lines: one datagram each.
//!
//! Over a Unix socket (`/dev/log`) a line comes as the C library's `syslog` writes it, but for the time, which the daemon adds:
//! journald, rsyslog and syslog-ng all read that. Over UDP it comes in the form of RFC 5424. A daemon that was started anew is found
//! again; what becomes of lines while it is away is the sink's matter.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::line::timestamp;
use super::sink::Opener;

/// The longest datagram over a Unix socket: what fits the socket buffers of every Linux.
const LONGEST_LOCAL: usize = 128 * 1024;

/// The longest datagram over UDP: what IPv4 lets through, without the headers.
const LONGEST_UDP: usize = 65_000;

/// `informational` (RFC 5424, section 6.2.1).
const SEVERITY: u8 = 6;

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A datagram socket of this machine.
    Unix(PathBuf),
    /// Host and port.
    Udp(String),
}

/// What kind of program a line is from, in the words of syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// Where request lines belong.
    pub const DAEMON: Self = Self(3);
    /// Where audit lines belong.
    pub const AUTHPRIV: Self = Self(10);

    /// All names with what they stand for.
    pub const ALL: [(&'static str, Self); 13] = [
        ("user", Self(1)),
        ("daemon", Self::DAEMON),
        ("auth", Self(4)),
        ("syslog", Self(5)),
        ("authpriv", Self::AUTHPRIV),
        ("local0", Self(16)),
        ("local1", Self(17)),
        ("local2", Self(18)),
        ("local3", Self(19)),
        ("local4", Self(20)),
        ("local5", Self(21)),
        ("local6", Self(22)),
        ("local7", Self(23)),
    ];
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(place) => write!(f, "udp:{place}"),
        }
    }
}

/// What reaches a daemon, for a [`Sink`](super::Sink).
pub fn syslog(address: SyslogAddress, facility: Facility) -> Opener {
    Box::new(move || Ok(Box::new(Syslog::open(address.clone(), facility)?)))
}

/// A daemon that lines are sent to.
#[derive(Debug)]
struct Syslog {
    address: SyslogAddress,
    priority: u8,
    host: String,
    socket: Option<Socket>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl Syslog {
    /// Connects.
    fn open(address: SyslogAddress, facility: Facility) -> io::Result<Self> {
        let socket = Some(Socket::connect(&address)?);
        Ok(Self { address, priority: facility.0 * 8 + SEVERITY, host: host_name(), socket })
    }

    fn datagram(&self, line: &[u8]) -> Vec<u8> {
        let id = std::process::id();
        let mut start = format!("<{}>", self.priority);
        // Writing to a string or a vector cannot fail.
        let (mut datagram, longest) = match self.address {
            SyslogAddress::Unix(_) => {
                let _ = write!(start, "tidegate[{id}]: ");
                (start.into_bytes(), LONGEST_LOCAL)
            }
            SyslogAddress::Udp(_) => {
                let mut datagram = (start + "1 ").into_bytes();
                timestamp(&mut datagram, SystemTime::now());
                datagram.extend_from_slice(format!(" {} tidegate {id} - - ", self.host).as_bytes());
                (datagram, LONGEST_UDP)
            }
        };
        let room = longest - datagram.len();
        datagram.extend_from_slice(line.get(..room).unwrap_or(line));
        datagram
    }

    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if self.socket.is_none() {
            self.socket = Some(Socket::connect(&self.address)?);
        }
        let sent = match &self.socket {
            Some(Socket::Unix(socket)) => socket.send(datagram),
            Some(Socket::Udp(socket)) => socket.send(datagram),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        // A daemon that was started anew has another socket under the same name.
        sent.map(drop).inspect_err(|_| self.socket = None)
    }
}

impl Write for Syslog {
    /// Sends the first line of what is given.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let end = lines.iter().position(|byte| *byte == b'\n');
        let line = &lines[..end.unwrap_or(lines.len())];
        let taken = end.map_or(lines.len(), |end| end + 1);
        if line.is_empty() {
            return Ok(taken);
        }
        let datagram = self.datagram(line);
        // The second try is over a new socket.
        self.send(&datagram).or_else(|_| self.send(&datagram)).map(|()| taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket {
    fn connect(address: &SyslogAddress) -> io::Result<Self> {
        match address {
            SyslogAddress::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                // A daemon that takes nothing is as good as away.
                socket.set_write_timeout(Some(Duration::from_secs(1)))?;
                Ok(Self::Unix(socket))
            }
            SyslogAddress::Udp(place) => {
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                for address in place.to_socket_addrs()? {
                    match from_any(address).and_then(|socket| socket.connect(address).map(|()| socket)) {
                        Ok(socket) => return Ok(Self::Udp(socket)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
}

fn from_any(to: SocketAddr) -> io::Result<UdpSocket> {
    match to {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

/// The name of this machine, or what RFC 5424 has for "unknown".
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let fits = (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { name.to_owned() } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{Facility, LONGEST_UDP, Syslog, SyslogAddress};
    use std::io::Write;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    fn heard(received: std::io::Result<usize>, buffer: &[u8]) -> String {
        String::from_utf8(buffer[..received.unwrap()].to_vec()).unwrap()
    }

    #[test]
    fn a_local_daemon_gets_a_line_in_each_datagram() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::open(SyslogAddress::Unix(path), Facility::AUTHPRIV).unwrap();
        syslog.write_all(b"{\"a\":1}\n\n{\"b\":2}\n").unwrap();
        let mut buffer = [0; 1024];
        for line in ["{\"a\":1}", "{\"b\":2}"] {
            let text = heard(daemon.recv(&mut buffer), &buffer);
            assert_eq!(text, format!("<86>tidegate[{}]: {line}", std::process::id()));
        }
    }

    #[test]
    fn a_distant_daemon_gets_the_form_of_the_standard() {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = SyslogAddress::Udp(daemon.local_addr().unwrap().to_string());
        let mut syslog = Syslog::open(address, Facility::DAEMON).unwrap();
        syslog.write_all(b"{\"a\":1}\n").unwrap();
        let mut buffer = vec![0; 70_000];
        let text = heard(daemon.recv(&mut buffer), &buffer);
        let fields: Vec<&str> = text.splitn(8, ' ').collect();
        let [priority, time, _host, app, id, message_id, data, message] = fields[..] else { panic!("{text}") };
        assert_eq!((priority, app, message_id, data, message), ("<30>1", "tidegate", "-", "-", "{\"a\":1}"));
        assert_eq!(id, std::process::id().to_string());
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        // What no datagram can hold is cut.
        syslog.write_all(&[b"x".repeat(LONGEST_UDP).as_slice(), b"\n"].concat()).unwrap();
        assert_eq!(daemon.recv(&mut buffer).unwrap(), LONGEST_UDP);
    }

    #[test]
    fn a_daemon_that_is_away_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let address = SyslogAddress::Unix(path.clone());
        assert!(Syslog::open(address.clone(), Facility::DAEMON).is_err());
        let first = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::open(address, Facility::DAEMON).unwrap();
        drop(first);
        assert!(syslog.write_all(b"lost\n").is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(syslog.write_all(b"lost too\n").is_err());
        let second = UnixDatagram::bind(&path).unwrap();
        syslog.write_all(b"found\n").unwrap();
        let mut buffer = [0; 1024];
        assert!(heard(second.recv(&mut buffer), &buffer).ends_with(" found"));
    }
}
