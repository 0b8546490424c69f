//! Headers as proxies write them, and everything else.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Malformed, Parsed, ReadError, Told, parse, read};

const LIMIT: Duration = Duration::from_secs(5);

fn client(address: &str) -> Parsed {
    Parsed::Whole(Told::Client(address.parse().unwrap()))
}

/// A header of version 2.
fn v2(command: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, kind]);
    bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn addresses_v4() -> Vec<u8> {
    let mut body = vec![192, 0, 2, 7, 10, 0, 0, 1];
    body.extend(4711u16.to_be_bytes());
    body.extend(443u16.to_be_bytes());
    body
}

#[test]
fn lines_as_proxies_write_them() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
    for (line, told) in [
        ("PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n", client("192.0.2.7:56324")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", client("255.255.255.255:65535")),
        ("PROXY TCP4 1.1.1.1 1.1.1.1 0 1\r\n", client("1.1.1.1:0")),
        ("PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", client("[2001:db8::7]:4711")),
        ("PROXY TCP6 :: :: 1 1\r\n", client("[::]:1")),
        ("PROXY UNKNOWN\r\n", Parsed::Whole(Told::Unknown)),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", Parsed::Whole(Told::Unknown)),
        (longest.as_str(), Parsed::Whole(Told::Unknown)),
    ] {
        assert_eq!(parse(line.as_bytes()), Ok(told), "{line:?}");
    }
}

#[test]
fn lines_that_nobody_may_write() {
    for line in [
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443 \r\n",
        "PROXY TCP4  192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY  TCP4 192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 056324 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 +5632 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.07 10.0.0.1 5632 443\r\n",
        "PROXY TCP4 2001:db8::7 10.0.0.1 56324 443\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY TCP6 [2001:db8::7] 2001:db8::1 56324 443\r\n",
        "PROXY TCP6 fe80::1%eth0 2001:db8::1 56324 443\r\n",
        "PROXY TCP5 192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY tcp4 192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY UDP4 192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY TCP4\t192.0.2.7 10.0.0.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\n",
        "PROXY TCP4 192.0.2.7\0 10.0.0.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\rGET",
        "PROXY UNKNOWNGET / HTTP/1.1\n\r\n",
    ] {
        // Trailing bytes are only looked at once the line is known to go on.
        let judged = line.char_indices().map(|(at, _)| parse(&line.as_bytes()[..=at])).find(Result::is_err);
        assert!(matches!(judged, Some(Err(Malformed::Line))), "{line:?}: {judged:?}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
    assert_eq!(parse(&endless.as_bytes()[..106]), Err(Malformed::LineTooLong));
    let with_end = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 15));
    assert!(parse(with_end.as_bytes()).is_err());
    for other in ["GET / HTTP/1.1\r\n", "\x16\x03\x01", "proxy TCP4", "PROXYTCP4 1.1", "\r\nGET", " PROXY"] {
        assert_eq!(parse(other.as_bytes()), Err(Malformed::NoHeader), "{other:?}");
    }
}

#[test]
fn binary_headers_as_proxies_write_them() {
    let mut with_extras = addresses_v4();
    // PP2_TYPE_AUTHORITY, then an empty PP2_TYPE_NOOP.
    with_extras.extend([0x02, 0, 3, b'a', b'.', b'b', 0x04, 0, 0]);
    let mut of_v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).octets().to_vec();
    of_v6.extend(Ipv6Addr::LOCALHOST.octets());
    of_v6.extend([0x12, 0x67, 1, 0xbb]);
    for (bytes, told) in [
        (v2(0x21, 0x11, &addresses_v4()), client("192.0.2.7:4711")),
        (v2(0x21, 0x11, &with_extras), client("192.0.2.7:4711")),
        (v2(0x21, 0x21, &of_v6), client("[2001:db8::7]:4711")),
        (v2(0x20, 0x00, &[]), Parsed::Whole(Told::Itself)),
        (v2(0x20, 0x11, &addresses_v4()), Parsed::Whole(Told::Itself)),
        (v2(0x20, 0x11, &[1, 2, 3]), Parsed::Whole(Told::Itself)),
        (v2(0x21, 0x00, &[]), Parsed::Whole(Told::Unknown)),
        (v2(0x21, 0x31, &[0; 216]), Parsed::Whole(Told::Unknown)),
        (v2(0x21, 0x12, &addresses_v4()), Parsed::Whole(Told::Unknown)),
    ] {
        assert_eq!(parse(&bytes), Ok(told), "{bytes:?}");
    }
}

#[test]
fn binary_headers_that_nobody_may_write() {
    let short = &addresses_v4()[..11];
    let mut cut = addresses_v4();
    cut.extend([0x02, 0, 9, b'a']);
    let mut half = addresses_v4();
    half.extend([0x02, 0]);
    let mut more = v2(0x21, 0x11, &addresses_v4());
    more.push(b'G');
    for bytes in [
        v2(0x11, 0x11, &addresses_v4()),
        v2(0x31, 0x11, &addresses_v4()),
        v2(0x22, 0x11, &addresses_v4()),
        v2(0x21, 0x41, &addresses_v4()),
        v2(0x21, 0x13, &addresses_v4()),
        v2(0x21, 0x11, short),
        v2(0x21, 0x21, &addresses_v4()),
        v2(0x21, 0x31, &[0; 215]),
        v2(0x21, 0x11, &cut),
        v2(0x21, 0x11, &half),
        more,
    ] {
        assert_eq!(parse(&bytes), Err(Malformed::Binary), "{bytes:?}");
    }
    let huge = v2(0x21, 0x11, &[0; 4097]);
    assert_eq!(parse(&huge[..16]), Err(Malformed::TooLong), "before any of it is read");
}

#[tokio::test]
async fn what_follows_the_header_is_not_touched() {
    for header in [b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n".to_vec(), v2(0x21, 0x11, &addresses_v4())] {
        let (mut proxy, mut gateway) = tokio::io::duplex(1024);
        proxy.write_all(&header).await.unwrap();
        proxy.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        drop(proxy);
        assert_eq!(read(&mut gateway, LIMIT).await.unwrap(), Told::Client("192.0.2.7:4711".parse().unwrap()));
        let mut rest = String::new();
        gateway.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "GET / HTTP/1.1\r\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_has_its_time() {
    let (mut proxy, mut gateway) = tokio::io::duplex(1024);
    proxy.write_all(b"PROXY TCP4 192.0.2.7 ").await.unwrap();
    assert!(matches!(read(&mut gateway, LIMIT).await, Err(ReadError::TooSlow(LIMIT))));
    let (mut proxy, mut gateway) = tokio::io::duplex(1024);
    proxy.write_all(b"PROXY TCP4 192.0.2.7 ").await.unwrap();
    drop(proxy);
    assert!(matches!(read(&mut gateway, LIMIT).await, Err(ReadError::Ended)));
    let (proxy, mut gateway) = tokio::io::duplex(1024);
    drop(proxy);
    assert!(matches!(read(&mut gateway, LIMIT).await, Err(ReadError::Silent)));
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into());
    let v6 = any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into());
    (prop_oneof![v4, v6], any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// Either version of a header that tells this address.
fn headers(address: SocketAddr, extras: &[u8]) -> [Vec<u8>; 2] {
    let (ip, port) = (address.ip(), address.port());
    let family = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
    let line = format!("PROXY {family} {ip} {ip} {port} 443\r\n").into_bytes();
    let octets = match ip {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut body = [octets.as_slice(), &octets, &port.to_be_bytes(), &[1, 0xbb]].concat();
    if !extras.is_empty() {
        body.extend([[0xe0].as_slice(), &u16::try_from(extras.len()).unwrap().to_be_bytes(), extras].concat());
    }
    [line, v2(0x21, if ip.is_ipv4() { 0x11 } else { 0x21 }, &body)]
}

proptest! {
    /// Fed only as many bytes as it asks for, the parser finds the end of every header, and the address.
    #[test]
    fn every_address_comes_back(address in address(), extras in proptest::collection::vec(any::<u8>(), 0..300)) {
        for header in headers(address, &extras) {
            let mut taken = 0;
            let told = loop {
                match parse(&header[..taken]).unwrap() {
                    Parsed::Whole(told) => break told,
                    Parsed::Lacks(more) => {
                        prop_assert!(more > 0 && taken + more <= header.len(), "it asks for bytes of others");
                        taken += more;
                    }
                }
            };
            prop_assert_eq!(taken, header.len());
            prop_assert_eq!(told, Told::Client(address));
        }
    }

    /// However it is cut into pieces, a header means the same.
    #[test]
    fn every_beginning_of_a_header_waits_for_more(address in address(), at in 0usize..60) {
        for header in headers(address, &[]) {
            let cut = at.min(header.len() - 1);
            prop_assert!(matches!(parse(&header[..cut]), Ok(Parsed::Lacks(more)) if more <= header.len() - cut));
        }
    }

    #[test]
    fn no_bytes_lead_to_a_panic_or_past_the_bounds(
        start in prop_oneof![Just(&b""[..]), Just(&b"PROXY "[..]), Just(&b"PROXY TCP6 "[..]), Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"[..])],
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [start, &rest].concat();
        if let Ok(Parsed::Lacks(more)) = parse(&bytes) {
            prop_assert!(more > 0 && bytes.len() + more <= 16 + 4096);
        }
    }

    /// A byte changed makes a header another one or none, and never one that is longer than what was read.
    #[test]
    fn a_changed_byte_is_never_a_panic(address in address(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        for mut header in headers(address, &[1, 2, 3]) {
            let at = at.index(header.len());
            header[at] = byte;
            let _ = parse(&header);
        }
    }
}
