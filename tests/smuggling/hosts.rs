//! `Host`: one, of the form `host[:port]`, and the same as in a target that names one.

use crate::case::Outcome::{Ends, Passes};
use crate::case::{Case, GET};

/// The cases about hosts.
pub(crate) const CASES: &[Case] = &[
    Case::new("no host", "{hostless}\r\n", Ends(400)),
    Case::new("no host of HTTP/1.0", "GET {manifest} HTTP/1.0\r\n{alice}\r\n", Ends(400)),
    Case::new("two hosts that agree", "{get}Host: {host}\r\n\r\n", Ends(400)),
    Case::new("two hosts that differ", "{get}Host: evil.example\r\n\r\n", Ends(400)),
    Case::new("two hosts, ours last", "{hostless}Host: evil.example\r\nHost: {host}\r\n\r\n", Ends(400)),
    Case::new("an empty host", "{hostless}Host:\r\n\r\n", Ends(400)),
    Case::new("a list of hosts", "{hostless}Host: {host}, evil.example\r\n\r\n", Ends(400)),
    Case::new("a host of two words", "{hostless}Host: {host} evil.example\r\n\r\n", Ends(400)),
    Case::new("a host with a path", "{hostless}Host: {host}/path\r\n\r\n", Ends(400)),
    Case::new("a host with a scheme", "{hostless}Host: http://{host}\r\n\r\n", Ends(400)),
    Case::new("a host with a query", "{hostless}Host: {host}?x\r\n\r\n", Ends(400)),
    Case::new("a host with a fragment", "{hostless}Host: {host}#x\r\n\r\n", Ends(400)),
    Case::new("a host with a user", "{hostless}Host: user@{host}\r\n\r\n", Ends(400)),
    Case::new("a host with a quote", "{hostless}Host: evil.example\"; x=\"\r\n\r\n", Ends(400)),
    Case::new("a host with a backslash", "{hostless}Host: {host}\\evil\r\n\r\n", Ends(400)),
    Case::new("a host with an escape", "{hostless}Host: evil%2eexample\r\n\r\n", Ends(400)),
    Case::new("a host with bytes over 127", "{hostless}Host: \u{e9}vil.example\r\n\r\n", Ends(400)),
    Case::new("a host with two ports", "{hostless}Host: {host}:80\r\n\r\n", Ends(400)),
    Case::new("a host with an empty port", "{hostless}Host: evil.example:\r\n\r\n", Ends(400)),
    Case::new("a host with a port that is too large", "{hostless}Host: 127.0.0.1:65536\r\n\r\n", Ends(400)),
    Case::new("a host with a port that is no number", "{hostless}Host: 127.0.0.1:http\r\n\r\n", Ends(400)),
    Case::new("a port alone", "{hostless}Host: :80\r\n\r\n", Ends(400)),
    Case::new("an address with one bracket", "{hostless}Host: [::1\r\n\r\n", Ends(400)),
    Case::new("a host over two lines", "{hostless}Host: {host}\r\n evil.example\r\n\r\n", Ends(400)),
    Case::new("a blank before the colon of a host", "{hostless}Host : {host}\r\n\r\n", Ends(400)),
    Case::new(
        "a target that names another host",
        "GET http://evil.example{manifest} HTTP/1.1\r\nHost: {host}\r\n{alice}\r\n",
        Ends(400),
    ),
    Case::new(
        "a target that names our host, and another Host",
        "GET http://{host}{manifest} HTTP/1.1\r\nHost: evil.example\r\n{alice}\r\n",
        Ends(400),
    ),
    Case::new(
        "a target that names our host, and no Host",
        "GET http://{host}{manifest} HTTP/1.1\r\n{alice}\r\n",
        Ends(400),
    ),
    Case::new(
        "a target with a user",
        "GET http://user:word@{host}{manifest} HTTP/1.1\r\nHost: {host}\r\n{alice}\r\n",
        Ends(400),
    ),
    Case::new(
        "a target that names our host",
        "GET http://{host}{manifest} HTTP/1.1\r\nHost: {host}\r\n{alice}\r\n",
        Passes(GET, ""),
    ),
    Case::new("a host between blanks", "{hostless}hOST: \t {host} \t\r\n\r\n", Passes(GET, "")),
    Case::new(
        "another host where proxies tell of it",
        "{get}X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\nX-Host: evil.example\r\n\r\n",
        Passes(GET, ""),
    ),
];

#[test]
fn there_is_one_host() {
    crate::run::run(CASES);
}
