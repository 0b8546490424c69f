//! Headers that a client's request loses on its way unless the upstream's settings let them pass, and those with `_` or another sign in
//! their names, which servers that take headers for variables cannot tell from those with `-`.

use crate::server::peer::is_other_description;

/// A kind of headers that can be let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedHeader {
    /// `Cookie`.
    Cookie,
    /// `Authorization`, where the gateway sends none of its own.
    Authorization,
    /// `SCRIPT_NAME` and `PATH_INFO`, also with `-`.
    ScriptName,
    /// Names with `_`, or with another sign that is no `-`.
    Underscores,
}

/// The kinds that pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassedHeaders(u8);

impl PassedHeaders {
    /// Whether these pass.
    pub(crate) fn has(self, header: PassedHeader) -> bool {
        self.0 & (1 << header as u8) != 0
    }
}

impl FromIterator<PassedHeader> for PassedHeaders {
    fn from_iter<T: IntoIterator<Item = PassedHeader>>(headers: T) -> Self {
        Self(headers.into_iter().fold(0, |passed, header| passed | 1 << header as u8))
    }
}

/// Names that say how a request is framed, where it comes from or what connection it belongs to, with `-`. With another sign they would
/// stand beside what the gateway says, or in its place, so they never pass. What ends in `-` is the beginning of such names.
const OWN: [&str; 8] =
    ["content-", "keep-alive", "max-forwards", "proxy-", "transfer-", "x-forwarded-", "x-real-", "x-request-id"];

/// Whether a name passes as far as its signs are concerned: those with others than `-` do not, or those that may not either way.
pub(super) fn passes(name: &str, passed: PassedHeaders) -> bool {
    !name.bytes().any(is_sign) || may_pass(name, passed)
}

fn may_pass(name: &str, passed: PassedHeaders) -> bool {
    if is_script_name(name) {
        return passed.has(PassedHeader::ScriptName);
    }
    let dashed = name.replace(|char: char| !char.is_ascii_alphanumeric(), "-");
    let is_own = |own: &&str| if own.ends_with('-') { dashed.starts_with(*own) } else { dashed == *own };
    passed.has(PassedHeader::Underscores) && !OWN.iter().any(is_own) && !is_other_description(&dashed)
}

/// Whether a server may take this header for the variable `SCRIPT_NAME` or `PATH_INFO`.
pub(crate) fn is_script_name(name: &str) -> bool {
    let is = |known: &str| name.len() == known.len() && name.bytes().map(dash).eq(known.bytes());
    is("script-name") || is("path-info")
}

/// Whether some server takes this for `_`, as it takes `-`: lighttpd takes every sign for it.
fn is_sign(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && byte != b'-'
}

fn dash(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PassedHeader, PassedHeaders, is_script_name, passes};

    fn left(names: &[&'static str], passed: &[PassedHeader]) -> Vec<&'static str> {
        let passed = passed.iter().copied().collect();
        let mut left: Vec<_> = names.iter().copied().filter(|name| passes(name, passed)).collect();
        left.sort_unstable();
        left
    }

    const NAMES: [&str; 17] = [
        "accept",
        "x_team",
        "x-team_id",
        "script_name",
        "path_info",
        "script-name",
        "content_length",
        "transfer_encoding",
        "x_forwarded_for",
        "x-forwarded_proto",
        "proxy_authorization",
        "x_request_id",
        "true_client_ip",
        "x.team",
        "content.length",
        "x-forwarded+for",
        "x!real~ip",
    ];

    #[test]
    fn what_has_underscores_passes_only_where_it_is_let() {
        assert_eq!(left(&NAMES, &[]), ["accept", "script-name"]);
        assert_eq!(left(&NAMES, &[PassedHeader::Cookie, PassedHeader::Authorization]), ["accept", "script-name"]);
        assert_eq!(left(&NAMES, &[PassedHeader::ScriptName]), ["accept", "path_info", "script-name", "script_name"]);
        assert_eq!(
            left(&NAMES, &[PassedHeader::Underscores]),
            ["accept", "script-name", "x-team_id", "x.team", "x_team"]
        );
    }

    #[test]
    fn script_name_has_two_spellings_of_each_half() {
        for name in ["script_name", "script-name", "path_info", "path-info"] {
            assert!(is_script_name(name), "{name}");
        }
        for name in ["scriptname", "script.name", "x-script-name", "path_info2", ""] {
            assert!(!is_script_name(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_set_holds_what_it_was_made_of(bits in 0u8..16) {
            let all = [PassedHeader::Cookie, PassedHeader::Authorization, PassedHeader::ScriptName, PassedHeader::Underscores];
            let chosen: Vec<_> = all.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0).map(|(_, header)| *header).collect();
            let set: PassedHeaders = chosen.iter().copied().collect();
            for header in all {
                prop_assert_eq!(set.has(header), chosen.contains(&header));
            }
        }
    }
}
