//! The PROXY protocol: the input is what a connection begins with.

use std::net::{IpAddr, SocketAddr};

use tidegate::server::proxy_protocol::{Parsed, Told, parse};

/// The longest header of either version that anybody takes here: a line of version 1 is 107 bytes long at most.
const LONGEST: usize = 16 * 1024;

/// Reads as a connection is read: never more than is asked for.
pub fn check(data: &[u8]) {
    let mut taken = 0;
    let told = loop {
        match parse(&data[..taken]) {
            Err(_) => {
                // More bytes do not mend it.
                assert!(parse(data).is_err(), "malformed after {taken} bytes, and good as a whole");
                return;
            }
            Ok(Parsed::Lacks(more)) => {
                assert!(more > 0, "nothing is lacking after {taken} bytes");
                taken += more;
                assert!(taken <= LONGEST, "{taken} bytes are asked for");
                if taken > data.len() {
                    return;
                }
            }
            Ok(Parsed::Whole(told)) => break told,
        }
    };
    let header = &data[..taken];
    // No shorter part of it is whole, so that nothing behind it was read with it.
    for end in 0..taken {
        assert!(!matches!(parse(&data[..end]), Ok(Parsed::Whole(_))), "whole after {end} of {taken} bytes");
    }
    match told {
        Told::Client(client) => {
            assert_eq!(read_plainly(header), Some(client), "{header:?}");
            says_the_same_in_both_versions(client);
        }
        Told::Itself | Told::Unknown => {}
    }
}

/// The client's address, as one reads it who believes that the header is good.
fn read_plainly(header: &[u8]) -> Option<SocketAddr> {
    if let Some(line) = header.strip_prefix(b"PROXY ") {
        let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
        let words: Vec<&str> = line.split(' ').collect();
        let [family, source, _, port, _] = words[..] else { return None };
        let address: IpAddr = source.parse().ok()?;
        assert_eq!(family, if address.is_ipv4() { "TCP4" } else { "TCP6" });
        return Some(SocketAddr::new(address, port.parse().ok()?));
    }
    let (family, block) = (header.get(13)? >> 4, header.get(16..)?);
    let port = |at: usize| Some(u16::from_be_bytes([*block.get(at)?, *block.get(at + 1)?]));
    match family {
        1 => Some(SocketAddr::new(IpAddr::from(<[u8; 4]>::try_from(block.get(..4)?).ok()?), port(8)?)),
        2 => Some(SocketAddr::new(IpAddr::from(<[u8; 16]>::try_from(block.get(..16)?).ok()?), port(32)?)),
        _ => None,
    }
}

/// Written in either version, the address is read back.
fn says_the_same_in_both_versions(client: SocketAddr) {
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (ip, port) = (client.ip(), client.port());
    let line = format!("PROXY {family} {ip} {ip} {port} 443\r\n");
    assert_eq!(parse(line.as_bytes()).ok(), Some(Parsed::Whole(Told::Client(client))), "{line:?}");
    let address = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let block = [&*address, &address, &port.to_be_bytes(), &[1, 187]].concat();
    let kind = if client.is_ipv4() { 0x11 } else { 0x21 };
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    let binary = [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[0x21, kind], &length, &block].concat();
    assert_eq!(parse(&binary).ok(), Some(Parsed::Whole(Told::Client(client))), "{binary:?}");
}
