//! What a request says about who sends it: the `Authorization` header (RFC 7617, RFC 6750), parsed and not yet believed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The credentials of one request. `Debug` shows the user name and no secret.
#[derive(Clone, Debug)]
pub enum Credentials<'a> {
    /// None: no header, an empty one, or `Basic` with neither user nor password (`Basic Og==`).
    Anonymous,
    /// A user name and a password.
    Password {
        /// Not empty, free of control characters and of colons; otherwise as the client sent it.
        user: String,
        /// Free of control characters; may be empty.
        password: Secret,
    },
    /// What came as a bearer token: not empty, and not verified. It need not even look like one, so that who sends a
    /// broken token is told that the token is broken.
    Bearer(BearerToken<'a>),
    /// Something else: two headers, another scheme, broken Base64, no UTF-8, control characters, or a password
    /// without a user.
    Malformed,
}

/// A bearer token where it stands in the request. `Debug` does not show it.
#[derive(Clone, Copy)]
pub struct BearerToken<'a>(&'a str);

impl<'a> BearerToken<'a> {
    /// The text itself, for the one place that needs it.
    pub fn expose(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// Reads the `Authorization` header of a request.
pub fn basic(headers: &HeaderMap) -> Credentials<'_> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Credentials::Anonymous };
    if values.next().is_some() {
        return Credentials::Malformed;
    }
    value.to_str().map_or(Credentials::Malformed, from_header_value)
}

fn from_header_value(value: &str) -> Credentials<'_> {
    let value = value.trim_matches([' ', '\t']);
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let rest = rest.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("basic") {
        user_and_password(rest).unwrap_or(Credentials::Malformed)
    } else if let Some(token) = bearer_of(value) {
        Credentials::Bearer(BearerToken(token))
    } else if value.is_empty() {
        Credentials::Anonymous
    } else {
        Credentials::Malformed
    }
}

/// `None` for what is malformed.
fn user_and_password(encoded: &str) -> Option<Credentials<'static>> {
    let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    if text.is_empty() {
        return Some(Credentials::Anonymous);
    }
    let (user, password) = text.split_once(':')?;
    pair(user, password)
}

/// The bearer token of a request that has one, as [`basic`] would find it, without a copy.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    bearer_of(value.to_str().ok()?.trim_matches([' ', '\t']))
}

fn bearer_of(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty()).then_some(rest)
}

/// Judges a user name and a password that came in parts, such as the fields of a form, as those of a header are.
pub fn from_parts(user: &str, password: &str) -> Credentials<'static> {
    if user.contains(':') {
        return Credentials::Malformed;
    }
    pair(user, password).unwrap_or(Credentials::Malformed)
}

fn pair(user: &str, password: &str) -> Option<Credentials<'static>> {
    if user.chars().chain(password.chars()).any(char::is_control) {
        return None;
    }
    match (user, password) {
        ("", "") => Some(Credentials::Anonymous),
        ("", _) => None,
        _ => Some(Credentials::Password { user: user.to_owned(), password: Secret::new(password) }),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::{Credentials, basic};

    /// What a header with this value says, but for a bearer token, which stands in the header.
    fn header(value: &str) -> Credentials<'static> {
        match basic(&headers(value)) {
            Credentials::Anonymous => Credentials::Anonymous,
            Credentials::Password { user, password } => Credentials::Password { user, password },
            Credentials::Bearer(_) => panic!("a bearer token"),
            Credentials::Malformed => Credentials::Malformed,
        }
    }

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    fn encoded(text: impl AsRef<[u8]>) -> Credentials<'static> {
        header(&format!("Basic {}", STANDARD.encode(text)))
    }

    fn is_pair(credentials: &Credentials<'_>, name: &str, secret: &str) -> bool {
        matches!(credentials, Credentials::Password { user, password } if user == name && password.expose() == secret)
    }

    #[test]
    fn no_credentials_are_anonymous() {
        for credentials in
            [basic(&HeaderMap::new()), header("Basic Og=="), header("basic  Og=="), header(""), header("Basic")]
        {
            assert!(matches!(credentials, Credentials::Anonymous), "{credentials:?}");
        }
    }

    #[test]
    fn the_specification_s_examples_parse() {
        assert!(is_pair(&header("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), "Aladdin", "open sesame"));
        assert!(is_pair(&header("BASIC dGVzdDoxMjPCow=="), "test", "123£"));
    }

    #[test]
    fn the_first_colon_separates() {
        assert!(is_pair(&encoded("alice:a:b:"), "alice", "a:b:"));
        assert!(is_pair(&encoded("alice:"), "alice", ""));
    }

    #[test]
    fn what_is_broken_is_malformed_and_never_anonymous() {
        for credentials in [
            encoded("alice"),
            encoded(":secret"),
            encoded("al\0ice:x"),
            encoded("alice:x\n"),
            encoded(b"alice:\xff"),
            encoded(b"alice:\xc0\xaf"),
            header("Basic !!!"),
            header("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ"),
            header("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== x"),
            header("Bearer"),
            header("Bearer "),
            header("Digest username=x"),
            header("BasicOg=="),
            super::from_parts("a:b", "c"),
            super::from_parts("", "c"),
        ] {
            assert!(matches!(credentials, Credentials::Malformed), "{credentials:?}");
        }
    }

    #[test]
    fn two_headers_are_malformed() {
        let value = HeaderValue::from_static("Basic Og==");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.clone()), (AUTHORIZATION, value)]);
        assert!(matches!(basic(&headers), Credentials::Malformed));
    }

    #[test]
    fn bearer_tokens_are_kept_as_they_are() {
        for (value, expected) in [("bearer  eyJ.a-_~+/b==", "eyJ.a-_~+/b=="), ("Bearer a b%", "a b%")] {
            let headers = headers(value);
            let Credentials::Bearer(token) = basic(&headers) else { panic!("not a token") };
            assert_eq!(token.expose(), expected);
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", encoded("alice:hunter2"), basic(&headers("Bearer hunter2")));
        assert!(shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
    }

    proptest! {
        #[test]
        fn every_proper_pair_comes_back(user in "[^:\\p{Cc}]{1,20}", secret in "\\P{Cc}{0,20}") {
            let text = [&*user, ":", &*secret].concat();
            prop_assert!(is_pair(&encoded(text), &user, &secret));
            prop_assert!(is_pair(&super::from_parts(&user, &secret), &user, &secret));
        }

        #[test]
        fn nothing_panics(value in "[ -~]{0,60}") {
            basic(&headers(&value));
        }
    }
}
