//! `WWW-Authenticate` challenges (RFC 7617; RFC 6750, section 3; distribution, "Docker Registry v2 authentication via central service").

use std::fmt::{Display, Write as _};

use http::{HeaderName, HeaderValue};

/// How clients are asked to say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A token from the realm: registry routes, and API routes that say so.
    Bearer,
    /// Name and password: the token endpoint, and API routes unless they say otherwise.
    Basic,
    /// An API key: API routes that say so.
    ApiKey,
}

/// Why a token was not enough (RFC 6750, section 3.1). The texts are what docker prints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenTrouble {
    /// No token came.
    #[error("authentication required")]
    None,
    /// It is broken, expired or not ours; the text says how.
    #[error("invalid token: {0}")]
    Invalid(String),
    /// It does not reach far enough; the text says who may not do what.
    #[error("{0}")]
    InsufficientScope(String),
}

/// A bearer challenge: parameters quoted, one `scope` with blanks between scopes, nothing twice, nothing empty.
pub(crate) fn bearer<S: Display>(
    realm: &str,
    service: &str,
    scopes: &[S],
    trouble: &TokenTrouble,
) -> Option<HeaderValue> {
    let mut text = String::with_capacity(128);
    // Writing to a string cannot fail.
    let _ = write!(text, "Bearer realm=\"{}\",service=\"{}\"", Quoted(realm), Quoted(service));
    for (n, scope) in scopes.iter().enumerate() {
        let _ = write!(text, "{}{scope}", if n == 0 { ",scope=\"" } else { " " });
    }
    if !scopes.is_empty() {
        text.push('"');
    }
    match trouble {
        TokenTrouble::None => {}
        TokenTrouble::Invalid(why) => {
            let _ = write!(text, ",error=\"invalid_token\",error_description=\"{}\"", Quoted(why));
        }
        TokenTrouble::InsufficientScope(what) => {
            let _ = write!(text, ",error=\"insufficient_scope\",error_description=\"{}\"", Quoted(what));
        }
    }
    HeaderValue::from_str(&text).ok()
}

/// A Basic challenge (RFC 7617, section 2).
pub(crate) fn basic(realm: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("Basic realm=\"{}\",charset=\"UTF-8\"", Quoted(realm))).ok()
}

/// A challenge that names the header in which an API key belongs. There is no registered scheme for that; this one has a realm, as
/// each has, and the header's name.
pub(crate) fn api_key(realm: &str, header: &HeaderName) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("ApiKey realm=\"{}\",header=\"{}\"", Quoted(realm), Quoted(header.as_str()))).ok()
}

/// The inside of a quoted-string (RFC 9110, section 5.6.4); what cannot stand in a header is left out.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            return f.write_str(self.0);
        }
        for char in self.0.chars() {
            match char {
                '"' | '\\' => write!(f, "\\{char}")?,
                ' '..='~' => f.write_char(char)?,
                _ => f.write_char('?')?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::{TokenTrouble, api_key, basic, bearer};
    use crate::registry::{Action, Actions, RepositoryName, Resource, Scope};

    fn scope(name: &str, actions: Actions) -> Scope {
        Scope { resource: Resource::Repository(RepositoryName::parse(name).unwrap()), actions }
    }

    #[test]
    fn a_ping_is_challenged_without_scope() {
        let value = bearer::<Scope>("http://gw/token", "gw", &[], &TokenTrouble::None).unwrap();
        assert_eq!(value, "Bearer realm=\"http://gw/token\",service=\"gw\"");
    }

    #[test]
    fn several_scopes_stand_in_one_parameter() {
        let scopes = [
            scope("team/app", [Action::Pull, Action::Push].into_iter().collect()),
            scope("base", Actions::only(Action::Pull)),
        ];
        let value =
            bearer("http://gw/token", "gw", &scopes, &TokenTrouble::InsufficientScope("alice may not push".into()))
                .unwrap();
        assert_eq!(
            value,
            "Bearer realm=\"http://gw/token\",service=\"gw\",scope=\"repository:team/app:pull,push repository:base:pull\",\
             error=\"insufficient_scope\",error_description=\"alice may not push\""
        );
    }

    #[test]
    fn what_cannot_be_quoted_does_not_break_out() {
        let trouble = TokenTrouble::Invalid("a \"b\" \\ \r\nX: y".into());
        let value = bearer::<Scope>("r", "s", &[], &trouble).unwrap();
        assert_eq!(
            value,
            "Bearer realm=\"r\",service=\"s\",error=\"invalid_token\",error_description=\"a \\\"b\\\" \\\\ ??X: y\""
        );
        assert_eq!(basic("a\"b").unwrap(), "Basic realm=\"a\\\"b\",charset=\"UTF-8\"");
        let header = HeaderName::from_static("x-api'key");
        assert_eq!(api_key("a\"b", &header).unwrap(), "ApiKey realm=\"a\\\"b\",header=\"x-api'key\"");
    }
}
