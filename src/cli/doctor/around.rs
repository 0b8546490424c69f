//! Whether an upstream can be reached without the gateway: by other addresses of this host.
//!
//! Only this host is looked at. What other hosts reach of an upstream on another host is for a firewall to say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::finding::Finding;

/// The addresses of this host that others may use, as Linux tells them; empty elsewhere.
pub(super) fn addresses() -> Vec<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut addresses = local_v4(&read("/proc/net/fib_trie"));
    addresses.extend(local_v6(&read("/proc/net/if_inet6")));
    addresses
}

/// The local addresses in a routing trie: a line that ends with an address, and below it one that says `host LOCAL`.
fn local_v4(trie: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let mut last = None;
    for line in trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line.ends_with("host LOCAL")
            && let Some(address) = last.filter(|address| !address.is_loopback())
            && !found.contains(&address.into())
        {
            found.push(address.into());
        }
    }
    found
}

/// The addresses in a list of interfaces, but for those that are good on one link only.
fn local_v6(list: &str) -> Vec<IpAddr> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok().map(Ipv6Addr::from);
    let routed = |address: &Ipv6Addr| !address.is_loopback() && !address.is_unicast_link_local();
    list.lines().filter_map(address).filter(routed).map(IpAddr::from).collect()
}

/// What was found out about the ways to an upstream.
#[derive(Debug)]
pub(super) enum Seen {
    /// It is on this host, and answers by these addresses too.
    Here(Vec<IpAddr>),
    /// It is on another host, or behind another network namespace.
    Elsewhere,
}

/// How bad it is when others reach the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// It lets in whoever comes, or believes what they say about themselves.
    Gateway,
    /// It looks at credentials itself, or holds nothing that needs them.
    Itself,
}

/// The finding about ways around the gateway.
pub(super) fn check(seen: &Seen, guard: Guard, port: u16) -> Finding {
    match seen {
        Seen::Elsewhere if guard == Guard::Gateway => Finding::note(
            "around",
            "it is not on this host, and relies on the gateway alone: see that a firewall lets nobody else reach it",
        ),
        Seen::Elsewhere => Finding::note("around", "it is not on this host: who else reaches it is not checked"),
        Seen::Here(others) if others.is_empty() => {
            Finding::ok("around", "it does not answer by any other address of this host")
        }
        Seen::Here(others) => {
            let list: Vec<String> = others.iter().map(ToString::to_string).collect();
            let seen =
                format!("it answers at {} too, port {port}: it can be reached around the gateway", list.join(", "));
            match guard {
                Guard::Gateway => Finding::error(
                    "around",
                    format!("{seen}, and then nothing guards it"),
                    format!(
                        "bind it to loopback (pulpcore-api: --bind 127.0.0.1:{port}), or shut the port with a firewall"
                    ),
                ),
                Guard::Itself => Finding::note("around", seen),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Guard, Seen, check, local_v4, local_v6};
    use crate::cli::doctor::finding::Severity;

    const TRIE: &str = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.1.0.0/24 2 0 2
        |-- 10.1.0.7
           /32 host LOCAL
        |-- 10.1.0.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
Local:
        |-- 10.1.0.7
           /32 host LOCAL
";

    #[test]
    fn addresses_are_those_that_others_may_use() {
        assert_eq!(local_v4(TRIE), ["10.1.0.7".parse::<IpAddr>().unwrap()]);
        let list = "00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000020000fffe000001 02 40 20 80     eth0
20010db8000000000000000000000007 02 40 00 80     eth0\n";
        assert_eq!(local_v6(list), ["2001:db8::7".parse::<IpAddr>().unwrap()]);
        assert!(local_v4("").is_empty() && local_v6("x").is_empty());
    }

    #[test]
    fn it_is_an_error_where_nothing_else_guards() {
        let open = Seen::Here(vec!["10.1.0.7".parse().unwrap()]);
        assert_eq!(check(&open, Guard::Gateway, 24817).severity, Severity::Error);
        assert_eq!(check(&open, Guard::Itself, 24817).severity, Severity::Note);
        assert_eq!(check(&Seen::Here(vec![]), Guard::Gateway, 1).severity, Severity::Ok);
        assert_eq!(check(&Seen::Elsewhere, Guard::Gateway, 1).severity, Severity::Note);
    }
}
