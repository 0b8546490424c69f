//! `server.tls`, and what depends on it.

use super::super::Config;
use super::{environment, whole_file_problems};
use crate::server::tls::{ClientAuth, Version};

/// A file whose `[server]` has these lines from line 2 on.
fn server(lines: &str) -> String {
    format!("[server]\n{lines}\nlisten = '127.0.0.1:5000'\npublic_url = 'https://gw.example'\n")
}

/// What a correct file is warned of.
fn warnings(text: &str) -> String {
    let checked = Config::parse_with_warnings(text, "gateway.toml", std::path::Path::new("/etc"), &environment);
    checked.map_or_else(|report| panic!("{report}"), |(_, warnings)| warnings.to_string())
}

fn read(lines: &str) -> Config {
    Config::parse(&server(lines), "gateway.toml", std::path::Path::new("/etc"), &|_| None).unwrap()
}

#[test]
fn one_certificate_or_several() {
    let tls = read("tls = { cert = 'a.crt', key = 'a.key' }").server.tls.unwrap();
    assert_eq!(tls.certificates[0].cert.to_str(), Some("/etc/a.crt"));
    assert_eq!((tls.client_ca, tls.client_auth, tls.min_version), (None, ClientAuth::Optional, Version::Tls12));
    let tls = read(
        "tls = [{ cert = 'a.crt', key = 'a.key', client_ca = 'ca.crt', client_auth = 'required', min_version = '1.3' },
                { cert = 'b.crt', key = 'b.key' }]",
    );
    let tls = tls.server.tls.unwrap();
    assert_eq!((tls.certificates.len(), tls.client_auth, tls.min_version), (2, ClientAuth::Required, Version::Tls13));
    assert!(read("").server.tls.is_none());
}

#[test]
fn wrong_tables_are_told() {
    let said = |lines: &str| whole_file_problems(&server(lines));
    assert!(said("tls = []").contains("`tls` must not be empty"));
    assert!(said("tls = true").contains("must be a table"));
    assert!(said("tls = { key = 'a' }").contains("`tls` needs the key `cert`"));
    assert!(said("tls = { cert = 'a', key = 'b', ca = 'c' }").contains("unknown key `ca` in `tls`"));
    assert!(said("tls = { cert = 'a', key = 'b', client_auth = 'required' }").contains("needs the key `client_ca`"));
    assert!(said("tls = { cert = 'a', key = 'b', min_version = 'old' }").contains("it is one of \"1.2\", \"1.3\""));
    assert!(said("tls = [{ cert = 'a', key = 'b' }, { cert = 'a', key = 'b' }]").contains("listed twice"));
    let second = "tls = [{ cert = 'a', key = 'b' }, { cert = 'c', key = 'd', client_ca = 'e' }]";
    assert!(said(second).contains("`client_ca` holds for all certificates"));
    let listener = whole_file_problems(
        "[server]\nlisten = { address = '127.0.0.1:1', tls = true }\npublic_url = 'https://gw.example'\n",
    );
    assert!(listener.contains("gateway.toml:2:43") && listener.contains("there is no `server.tls`"), "{listener}");
}

#[test]
fn what_contradicts_tls_is_warned_of() {
    let file = |listen: &str, url: &str| {
        warnings(&format!(
            "[server]\nlisten = {listen}\npublic_url = '{url}'\ntls = {{ cert = 'a', key = 'b' }}\n\
             [users.alice]\npassword_hash.env = 'HASH'\n"
        ))
    };
    assert_eq!(file("'0.0.0.0:443'", "https://gw.example"), "");
    assert!(file("'127.0.0.1:443'", "http://127.0.0.1:443").contains("no public_url is https"));
    assert!(file("{ address = '127.0.0.1:80', tls = false }", "https://gw.example").contains("no listener speaks TLS"));
    let plain = file("['0.0.0.0:443', { address = '0.0.0.0:80', tls = false }]", "https://gw.example");
    assert!(plain.contains("0.0.0.0:80 is reachable from other hosts"), "{plain}");
}

#[test]
fn a_member_for_client_certificates() {
    let file = |tls: &str, member: &str| {
        format!(
            "{}[[authn]]\nkind = 'client-certificate'\n{member}\n",
            server(&format!("tls = {{ cert = 'a', key = 'b'{tls} }}"))
        )
    };
    let ca = ", client_ca = 'ca.crt'";
    let config = |member: &str| {
        Config::parse(&file(ca, member), "gateway.toml", std::path::Path::new(""), &|_| None)
            .map_err(|it| it.to_string())
    };
    assert!(config("").is_ok());
    assert!(config("name = ['uri', 'common-name']\ngroups = 'machines'").is_ok());
    assert!(config("name = []").unwrap_err().contains("must not be empty"));
    assert!(config("name = 'cn'").unwrap_err().contains("it is one of \"common-name\", \"dns\", \"uri\", \"email\""));
    assert!(
        config("[[authn]]\nkind = 'client-certificate'").unwrap_err().contains("takes client certificates already")
    );
    assert_eq!(warnings(&file(ca, "")), "");
    assert!(warnings(&file("", "")).contains("nobody is asked for a certificate"));
    let unused = format!(
        "{}[users.alice]\npassword_hash.env = 'HASH'\n",
        server("tls = { cert = 'a', key = 'b', client_ca = 'c' }")
    );
    assert!(warnings(&unused).contains("no [[authn]] takes"), "{}", warnings(&unused));
}
