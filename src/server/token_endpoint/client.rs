//! How an OAuth2 client says who it is (RFC 6749, section 2.3.1).

use std::sync::Arc;

use http::HeaderMap;

use super::form::single;
use crate::authn::{self, Credentials, Refused};
use crate::registry::query::Query;
use crate::secret::Secret;
use crate::server::failure::TokenRequestError;
use crate::server::login::{self, Closed};
use crate::server::state::State;
use crate::subject::{Origin, Subject};

/// A client's name and secret, not yet believed.
#[derive(Debug)]
pub(super) struct ClientCredentials {
    /// As they came; none where what came can be nobody's.
    plain: Option<(String, Secret)>,
    /// What they stand for if they were form-encoded before they became Basic credentials, where that is something else. The
    /// RFC has it so, and curl and pulp-cli do not.
    decoded: Option<(String, Secret)>,
}

impl ClientCredentials {
    /// Reads them from the `Authorization` header, or else from the form; a client that uses both ways is refused.
    pub(super) fn read(headers: &HeaderMap, form: &Query) -> Result<Self, TokenRequestError> {
        let (id, secret) = (single(form, "client_id")?, single(form, "client_secret")?);
        let plain = match authn::basic(headers) {
            Credentials::Anonymous => {
                let plain = id.zip(secret).and_then(|(id, secret)| pair(id, secret));
                return Ok(Self { plain, decoded: None });
            }
            _ if secret.is_some() => {
                return Err(TokenRequestError::Invalid("a client says in one way who it is, not in two"));
            }
            Credentials::Password { user, password } => Some((user, password)),
            Credentials::Bearer(_) | Credentials::Malformed => None,
        };
        let decoded = plain.as_ref().and_then(|(id, secret)| {
            let (name, text) = (decoded(id)?, decoded(secret.expose())?);
            let differs = *name != *id || *text != secret.expose();
            if differs { pair(&name, &text) } else { None }
        });
        let named = |pair: &Option<(String, Secret)>| pair.as_ref().is_some_and(|(name, _)| Some(name.as_str()) == id);
        if id.is_some() && !named(&plain) && !named(&decoded) {
            return Err(TokenRequestError::Invalid("client_id is not the client of the Authorization header"));
        }
        Ok(Self { plain, decoded })
    }

    /// The name that was claimed.
    pub(super) fn id(&self) -> Option<&str> {
        self.plain.as_ref().map(|(id, _)| id.as_str())
    }

    /// Says which client this is.
    pub(super) async fn authenticate(&self, state: &State, from: Origin) -> Result<Arc<Subject>, Closed> {
        let mut closed = Closed::Refused(Refused::Wrong);
        for (id, secret) in [&self.plain, &self.decoded].into_iter().flatten() {
            match login::client(state, id, secret, from).await {
                // The other reading may be right; whoever has that secret is that client.
                Err(Closed::Refused(Refused::Wrong)) => {}
                Err(other) => closed = other,
                Ok(subject) => return Ok(subject),
            }
        }
        Err(closed)
    }
}

fn pair(id: &str, secret: &str) -> Option<(String, Secret)> {
    match authn::from_parts(id, secret) {
        Credentials::Password { user, password } => Some((user, password)),
        _ => None,
    }
}

/// What a text stands for, if it is one that form-encoding yields. Any other character and it was not encoded.
fn decoded(text: &str) -> Option<zeroize::Zeroizing<String>> {
    let possible = |byte: u8| byte.is_ascii_alphanumeric() || b"*-._~+%".contains(&byte);
    if !text.bytes().all(possible) {
        return None;
    }
    let form = Query::parse_form(text).ok()?;
    let (decoded, _) = form.iter().next().unwrap_or_default();
    Some(zeroize::Zeroizing::new(decoded.to_owned()))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderMap;
    use http::header::{AUTHORIZATION, HeaderValue};
    use proptest::prelude::*;

    use super::ClientCredentials;
    use crate::registry::query::Query;
    use crate::secret::Secret;
    use crate::server::failure::TokenRequestError;

    fn read(header: Option<&str>, form: &str) -> Result<[Option<String>; 2], TokenRequestError> {
        let header = header.map(|text| HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(text))).unwrap());
        let headers = HeaderMap::from_iter(header.map(|value| (AUTHORIZATION, value)));
        let read = ClientCredentials::read(&headers, &Query::parse_form(form).unwrap())?;
        let shown = |pair: Option<(String, Secret)>| pair.map(|(id, secret)| format!("{id} {}", secret.expose()));
        Ok([shown(read.plain), shown(read.decoded)])
    }

    #[test]
    fn the_header_is_read_plain_and_decoded_where_that_differs() {
        let of = |text: &str| {
            let [plain, decoded] = read(Some(text), "").unwrap();
            (plain.unwrap(), decoded)
        };
        assert_eq!(of("ci:secret-1._*"), ("ci secret-1._*".into(), None));
        assert_eq!(of("ci:a%2Fb+c"), ("ci a%2Fb+c".into(), Some("ci a/b c".into())));
        assert_eq!(of("my%20ci:x"), ("my%20ci x".into(), Some("my ci x".into())));
        // Not encoded, or not rightly so.
        for text in ["ci:100%", "ci:a%zz", "ci:a%2f/b", "ci:a%2f=b", "ci:a%2f&b", "ci:a%00b", "ci:a%ff", "c%3Ai:x"] {
            assert_eq!(of(text).1, None, "{text}");
        }
    }

    #[test]
    fn the_form_is_read_once_decoded_and_never_beside_the_header() {
        let plain = |pair: &str| Ok([Some(pair.to_owned()), None]);
        assert_eq!(read(None, "client_id=ci&client_secret=a%2525"), plain("ci a%25"));
        assert_eq!(read(Some(""), "client_id=ci&client_secret=x"), plain("ci x"));
        assert_eq!(read(Some("ci:x"), "client_id=ci"), plain("ci x"));
        assert_eq!(read(Some("my%20ci:x"), "client_id=my+ci").unwrap()[1].as_deref(), Some("my ci x"));
        for form in
            ["", "client_id=ci", "client_secret=x", "client_id=&client_secret=", "client_id=a:b&client_secret=x"]
        {
            assert_eq!(read(None, form), Ok([None, None]), "{form}");
        }
        for form in ["client_id=ci&client_secret=x", "client_secret=x", "client_id=other", "client_secret="] {
            assert!(matches!(read(Some("ci:x"), form), Err(TokenRequestError::Invalid(_))), "{form}");
        }
        for form in ["client_id=a&client_id=a", "client_secret=a&client_secret=a"] {
            assert!(matches!(read(None, form), Err(TokenRequestError::Invalid(_))), "{form}");
        }
    }

    proptest! {
        /// Whatever the secret, a client that encodes it as the RFC says and one that does not are both understood.
        #[test]
        fn both_ways_are_understood(id in "[a-z ~%+]{1,8}", secret in "[ -~é]{1,12}") {
            let encode = |text: &str| -> String {
                let byte = |byte: u8| match byte {
                    b' ' => "+".to_owned(),
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                    _ => format!("%{byte:02X}"),
                };
                text.bytes().map(byte).collect()
            };
            let wanted = Some(format!("{id} {secret}"));
            let [plain, _] = read(Some(&format!("{id}:{secret}")), "").unwrap();
            prop_assert_eq!(&plain, &wanted);
            let [plain, decoded] = read(Some(&format!("{}:{}", encode(&id), encode(&secret))), "").unwrap();
            prop_assert!(plain == wanted || decoded == wanted);
        }
    }
}
