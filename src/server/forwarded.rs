//! What proxies tell of the way of a request: `Forwarded` (RFC 7239) and the addresses in `X-Forwarded-For`, parsed and not yet believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One hop, as far as it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// Who was at the other end.
    pub(super) from: Option<String>,
    /// The host that was asked.
    pub(super) host: Option<String>,
}

/// The hops of a `Forwarded` header, the nearest last; none for what is not of its grammar: where a quote is open, nobody knows
/// which commas part two hops.
pub(super) fn hops(text: &str) -> Option<Vec<Hop>> {
    let (mut hops, mut hop, mut rest) = (Vec::new(), Hop::default(), text.trim_matches(BLANKS));
    loop {
        if let Some(after) = rest.strip_prefix([',', ';']) {
            if rest.starts_with(',') {
                hops.push(std::mem::take(&mut hop));
            }
            rest = after.trim_start_matches(BLANKS);
            continue;
        }
        if rest.is_empty() {
            hops.push(hop);
            return Some(hops);
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        if name.eq_ignore_ascii_case("for") {
            hop.from = Some(value);
        } else if name.eq_ignore_ascii_case("host") {
            hop.host = Some(value);
        } else if !is_token(name) {
            return None;
        }
        rest = after.trim_start_matches(BLANKS);
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            return None;
        }
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        // Addresses with a port should be quoted, and are not always.
        let plain = value.bytes().all(|byte| is_token_byte(byte) || matches!(byte, b':' | b'[' | b']'));
        return (plain && !value.is_empty()).then(|| (value.to_owned(), after));
    };
    let (mut value, mut chars) = (String::new(), quoted.char_indices());
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &quoted[at + 1..])),
            (_, '\\') => value.push(chars.next()?.1),
            (_, char) => value.push(char),
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// An address as proxies write it: with a port or without, of IPv6 in brackets or without.
pub(super) fn address_of(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        (IpAddr::from(inside.parse::<Ipv6Addr>().ok()?), after)
    } else {
        let (node, _) = text.split_once(':')?;
        (IpAddr::from(node.parse::<Ipv4Addr>().ok()?), &text[node.len()..])
    };
    is_port(port).then(|| address.to_canonical())
}

/// Nothing, or `:` and a number or an obfuscated port.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return text.is_empty() };
    is_obfuscated(port) || (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether this says that there is somebody, and not who (RFC 7239, sections 6.2 and 6.3).
pub(super) fn is_withheld(node: &str) -> bool {
    let name = node.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("unknown") || is_obfuscated(name)
}

fn is_obfuscated(text: &str) -> bool {
    text.strip_prefix('_').is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Hop, address_of, hops, is_withheld};

    fn froms(text: &str) -> Option<Vec<String>> {
        hops(text).map(|hops| hops.into_iter().filter_map(|hop| hop.from).collect())
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(froms("for=\"_gazonk\"").unwrap(), ["_gazonk"]);
        assert_eq!(froms("For=\"[2001:db8:cafe::17]:4711\"").unwrap(), ["[2001:db8:cafe::17]:4711"]);
        assert_eq!(froms("for=192.0.2.60;proto=http;by=203.0.113.43").unwrap(), ["192.0.2.60"]);
        assert_eq!(froms("for=192.0.2.43, for=198.51.100.17").unwrap(), ["192.0.2.43", "198.51.100.17"]);
        let both = hops("for=192.0.2.43;host=\"a:1\" ,\tfor=unknown;Host=b").unwrap();
        let hop = |from: &str, host: &str| Hop { from: Some(from.into()), host: Some(host.into()) };
        assert_eq!(both, [hop("192.0.2.43", "a:1"), hop("unknown", "b")]);
    }

    #[test]
    fn what_is_quoted_parts_nothing() {
        assert_eq!(froms("for=192.0.2.7;host=\"a, for=10.0.0.1\"").unwrap(), ["192.0.2.7"]);
        assert_eq!(froms("for=192.0.2.7;host=\"a\\\", for=10.0.0.1\"").unwrap(), ["192.0.2.7"]);
        for open in
            ["for=\"192.0.2.7", "for=\"a, for=192.0.2.7", "for=\"a\\", "for=\"a\"b", "for", "for=a b", "=a", "f r=a"]
        {
            assert_eq!(froms(open), None, "{open}");
        }
    }

    #[test]
    fn addresses_with_and_without_ports() {
        for (text, address) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("192.0.2.7:_port", "192.0.2.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
        ] {
            assert_eq!(address_of(text), Some(address.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            "unknown",
            "_x",
            "[2001:db8::1",
            "[2001:db8::1]x",
            "[192.0.2.7]",
            "192.0.2.7:",
            "192.0.2.7:x",
            "192.0.2.7:123456",
            "fe80::1%eth0",
            "192.0.2",
            "host",
        ] {
            assert_eq!(address_of(text), None, "{text}");
        }
        assert!(["unknown", "Unknown", "_hidden", "_SEVKISEK", "unknown:80"].into_iter().all(is_withheld));
        assert!(!["", "_", "unknowns", "192.0.2.7", "_a b"].into_iter().any(is_withheld));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[ -~\t]{0,60}") {
            let _ = (hops(&text), address_of(&text), is_withheld(&text));
        }

        /// Whatever a client makes a proxy quote, the proxy's own word on the client stays what it is.
        #[test]
        fn a_quoted_host_changes_no_address(host in "[ -~]{0,30}") {
            let quoted = host.replace('\\', "\\\\").replace('"', "\\\"");
            let hops = hops(&format!("for=192.0.2.7;host=\"{quoted}\"")).unwrap();
            prop_assert_eq!(hops, [Hop { from: Some("192.0.2.7".into()), host: Some(host) }]);
        }
    }
}
