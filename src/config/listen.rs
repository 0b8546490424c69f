//! `listen`: where connections are accepted, and what is spoken there.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;

use super::item::Item;
use super::reader::Title;
use super::source::Span;
use super::tree::Value;
use crate::server::listener::Address;

/// The permissions of a unix socket's file: for the gateway's user and group alone.
const MODE: u32 = 0o660;
/// The longest path that a unix socket may have; the kernel keeps the last byte of its 108 for the end.
const LONGEST_PATH: usize = 107;

/// One item of `server.listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where connections are accepted.
    pub address: Address,
    /// Whether TLS is spoken there; `None`: as its kind of address has it.
    pub tls: Option<bool>,
    /// Where the file says so.
    pub(super) tls_at: Option<Span>,
    /// Whether every connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
}

impl Listener {
    /// The address, where it has one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self.address {
            Address::Tcp(address) => Some(address),
            Address::Unix { .. } | Address::Inherited(_) => None,
        }
    }
}

/// The items of `listen`: strings, or tables with options.
pub(super) fn listeners(item: &Item<'_>) -> Vec<Listener> {
    let Some(items) = item.nonempty_list() else { return Vec::new() };
    let mut listeners: Vec<Listener> = Vec::new();
    for item in items {
        let Some(listener) = listener(&item) else { continue };
        let picked = listener.tcp().is_some_and(|address| address.port() == 0);
        if !picked && listeners.iter().any(|other| same_place(&other.address, &listener.address)) {
            item.fail("duplicate", format!("{} is listed twice", listener.address), "");
        }
        listeners.push(listener);
    }
    listeners
}

fn same_place(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Unix { path: one, .. }, Address::Unix { path: other, .. }) => one == other,
        _ => one == other,
    }
}

fn listener(item: &Item<'_>) -> Option<Listener> {
    let Value::Table(_) = item.value else {
        let plain = |address| Listener { address, tls: None, tls_at: None, proxy_protocol: false };
        let text = item.text_as("an address such as \"127.0.0.1:5000\", or a table with `address`")?;
        return any_address(item, text, MODE).map(plain);
    };
    let mut section = item.section(Title::Key(item.name))?;
    let address = section.require("address", "\"127.0.0.1:5000\"");
    let mode_item = section.take("mode");
    let mode = mode_item.map_or(Some(MODE), |item| mode(&item));
    let tls_item = section.take("tls");
    let (tls, tls_at) = (tls_item.and_then(|item| item.boolean()), tls_item.map(|item| item.span));
    let proxy_protocol = section.boolean("proxy_protocol", false);
    section.finish();
    let address_item = address?;
    let address = any_address(&address_item, address_item.text_as("an address such as \"127.0.0.1:5000\"")?, mode?)?;
    if let Some(item) = mode_item
        && !matches!(address, Address::Unix { .. })
    {
        item.fail("wrong-value", "`mode` is for unix sockets that are made here", "take it out");
    }
    Some(Listener { address, tls, tls_at, proxy_protocol })
}

/// Permissions as chmod takes them.
fn mode(item: &Item<'_>) -> Option<u32> {
    let text = item.text_as("permissions such as \"0660\"")?;
    let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && mode & !0o777 == 0);
    if mode.is_none() {
        let hint = "write them as chmod takes them: \"0660\" for user and group, \"0666\" for everybody";
        item.fail("wrong-value", format!("\"{}\" are no permissions", item.shown()), hint);
    }
    mode
}

fn any_address(item: &Item<'_>, text: &str, mode: u32) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(item, path, mode);
    }
    match text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name))) {
        ("systemd", None) => Some(Address::Inherited(None)),
        ("systemd", Some(name)) => {
            let known =
                !name.is_empty() && name.len() <= 255 && !name.contains(|char: char| char == ':' || char.is_control());
            if !known {
                let hint =
                    "write \"systemd:NAME\" with the unit's FileDescriptorName=, or \"systemd\" for all its sockets";
                item.fail("wrong-value", format!("\"{}\" names no socket", item.shown()), hint);
            }
            known.then(|| Address::Inherited(Some(name.to_owned())))
        }
        _ => tcp(item, text).map(Address::Tcp),
    }
}

fn unix(item: &Item<'_>, path: &str, mode: u32) -> Option<Address> {
    if path.is_empty() || path.contains('\0') || path.starts_with('@') || path.ends_with('/') {
        let hint = "write \"unix:/run/tidegate/gateway.sock\"; sockets without a file (\"@name\") are not for this";
        item.fail("wrong-value", format!("\"{}\" is no path of a unix socket", item.shown()), hint);
        return None;
    }
    let path = item.reader.resolve(path);
    let length = path.as_os_str().as_bytes().len();
    if length > LONGEST_PATH {
        let message = format!("the path of this unix socket is {length} bytes long");
        item.fail(
            "wrong-value",
            message,
            format!("the system takes {LONGEST_PATH} at most, the directory of this file included"),
        );
        return None;
    }
    Some(Address::Unix { path, mode })
}

/// An IP address and a port, and nothing else.
pub(super) fn address(item: &Item<'_>) -> Option<SocketAddr> {
    let text = item.text_as("an address such as \"127.0.0.1:5000\"")?;
    if text.starts_with("unix:") || text == "systemd" || text.starts_with("systemd:") {
        let message = format!("\"{}\" is not for this listener", item.shown());
        item.fail("wrong-value", message, "write an IP address and a port; only `server.listen` takes other sockets");
        return None;
    }
    tcp(item, text)
}

fn tcp(item: &Item<'_>, text: &str) -> Option<SocketAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        let hint = match text.rsplit_once(':') {
            Some(("", port)) if port.parse::<u16>().is_ok() => {
                format!("write \"0.0.0.0:{port}\" for all IPv4 addresses, \"[::]:{port}\" for IPv6 too")
            }
            Some(("localhost", port)) if port.parse::<u16>().is_ok() => {
                format!("names are not resolved here: write \"127.0.0.1:{port}\"")
            }
            _ if text.parse::<IpAddr>().is_ok() => {
                "the port is missing, as in \"127.0.0.1:5000\" or \"[::1]:5000\"".into()
            }
            _ if text.starts_with('/') => format!("write \"unix:{text}\" for a unix socket"),
            _ => "write an IP address and a port, as in \"127.0.0.1:5000\" or \"[::1]:5000\"".into(),
        };
        item.fail("wrong-value", format!("\"{}\" is no address to listen on", item.shown()), hint);
    }
    address
}
