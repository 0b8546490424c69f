//! Queries (`application/x-www-form-urlencoded`): decoded pairs, and the one spelling that goes upstream. What a
//! parameter means is decided by who reads it.

use std::borrow::Cow;
use std::fmt;

use super::escape::{EscapeError, escape_into, unescape};

/// The longest query in bytes, as sent.
pub const MAX_QUERY: usize = 8192;
/// The longest form in bytes, as sent. A password may be somebody else's token.
pub const MAX_FORM: usize = 64 * 1024;
/// The most pairs in a query.
pub const MAX_PAIRS: usize = 256;

/// A query as decoded pairs, in their order. `+` is a space, `;` separates nothing, and empty pairs are dropped.
///
/// ```
/// use tidegate::registry::query::Query;
/// let query = Query::parse(Some("mount=sha256%3Aab&ns=docker.io&&x=a+b")).unwrap();
/// assert_eq!(query.get("mount"), Some("sha256:ab"));
/// assert_eq!(query.to_string(), "mount=sha256:ab&ns=docker.io&x=a%20b");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Query(Vec<(String, String)>);

/// Why a query is refused. Each of them is the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Over [`MAX_QUERY`] bytes, or for a form [`MAX_FORM`].
    #[error("the query is too long")]
    TooLong,
    /// Over [`MAX_PAIRS`] pairs.
    #[error("the query has more than {MAX_PAIRS} parameters")]
    TooMany,
    /// A `%` without two hexadecimal digits behind it.
    #[error("the query has a malformed percent-escape")]
    BadEscape,
    /// Not UTF-8 when decoded.
    #[error("the query is not UTF-8")]
    NotUtf8,
    /// A NUL, encoded or not, or a bare `#`.
    #[error("the query has a character that no query may have")]
    BadCharacter,
}

impl Query {
    /// Decodes what stood behind the `?`; without one there are no pairs.
    pub fn parse(raw: Option<&str>) -> Result<Self, QueryError> {
        let raw = raw.unwrap_or_default();
        if raw.len() > MAX_QUERY {
            return Err(QueryError::TooLong);
        }
        if raw.contains('#') {
            return Err(QueryError::BadCharacter);
        }
        Self::pairs(raw)
    }

    /// Decodes a body of type `application/x-www-form-urlencoded`, which may be longer than a query.
    pub fn parse_form(raw: &str) -> Result<Self, QueryError> {
        if raw.len() > MAX_FORM { Err(QueryError::TooLong) } else { Self::pairs(raw) }
    }

    fn pairs(raw: &str) -> Result<Self, QueryError> {
        let mut pairs = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_PAIRS {
                return Err(QueryError::TooMany);
            }
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(key)?, decode(value)?));
        }
        Ok(Self(pairs))
    }

    /// The first value of a parameter.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// All values of a parameter, in their order.
    pub fn get_all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(name, _)| *name == key).map(|(_, value)| value)
    }

    /// How often a parameter is there.
    pub fn count(&self, key: &str) -> usize {
        self.get_all(key).count()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Keeps the pairs whose key passes.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }

    /// Takes all pairs of this key out, and returns their values in their order.
    pub(super) fn take(&mut self, key: &str) -> Vec<String> {
        if !self.0.iter().any(|(name, _)| name == key) {
            return Vec::new();
        }
        self.0.extract_if(.., |(name, _)| name == key).map(|(_, value)| value).collect()
    }

    /// Adds a pair at the end.
    pub(super) fn push(&mut self, key: String, value: String) {
        self.0.push((key, value));
    }

    /// Sets the value of each pair of this key.
    pub(super) fn rewrite(&mut self, key: &str, value: &str) {
        for (_, old) in self.0.iter_mut().filter(|(name, _)| name == key) {
            value.clone_into(old);
        }
    }
}

fn decode(text: &str) -> Result<String, QueryError> {
    // A plus sign that is meant as one arrives as `%2B`, so this must come before the escapes.
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let plain = unescape(&spaced).map_err(|error| match error {
        EscapeError::BadEscape => QueryError::BadEscape,
        EscapeError::NotUtf8 => QueryError::NotUtf8,
    })?;
    if plain.contains('\0') { Err(QueryError::BadCharacter) } else { Ok(plain.into_owned()) }
}

/// Appends one pair as it goes upstream.
pub(super) fn append_pair(out: &mut String, key: &str, value: &str) {
    escape_into(out, key, b"");
    out.push('=');
    escape_into(out, value, b":/,@");
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        for (key, value) in self.iter() {
            if !out.is_empty() {
                out.push('&');
            }
            append_pair(&mut out, key, value);
        }
        f.write_str(&out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_decoded_as_forms_are() {
        let query = Query::parse(Some("a=1&b=x+y%2B&%61=2&c&=d&e=f=g&;h=1;i=2")).unwrap();
        assert_eq!(
            query.iter().collect::<Vec<_>>(),
            [("a", "1"), ("b", "x y+"), ("a", "2"), ("c", ""), ("", "d"), ("e", "f=g"), (";h", "1;i=2")]
        );
        assert_eq!(query.to_string(), "a=1&b=x%20y%2B&a=2&c=&=d&e=f%3Dg&%3Bh=1%3Bi%3D2");
        assert_eq!((query.count("a"), query.get("a"), query.count("z")), (2, Some("1"), 0));
        assert!(Query::parse(None).unwrap().is_empty());
        assert!(Query::parse(Some("&&")).unwrap().is_empty());
    }

    #[test]
    fn bad_queries_are_refused() {
        for (raw, error) in [
            ("a=%", QueryError::BadEscape),
            ("a=%g0", QueryError::BadEscape),
            ("%0=a", QueryError::BadEscape),
            ("a=%ff", QueryError::NotUtf8),
            ("a=%c0%80", QueryError::NotUtf8),
            ("a=%00", QueryError::BadCharacter),
            ("a=b#c", QueryError::BadCharacter),
        ] {
            assert_eq!(Query::parse(Some(raw)), Err(error), "{raw}");
        }
        assert_eq!(Query::parse(Some(&"a".repeat(MAX_QUERY + 1))), Err(QueryError::TooLong));
        assert!(Query::parse_form(&"a".repeat(MAX_FORM)).is_ok());
        assert_eq!(Query::parse_form(&"a".repeat(MAX_FORM + 1)), Err(QueryError::TooLong));
        assert_eq!(Query::parse_form("a=#").unwrap().get("a"), Some("#"));
        assert!(Query::parse(Some(&"a&".repeat(MAX_PAIRS))).is_ok());
        assert_eq!(Query::parse(Some(&"a&".repeat(MAX_PAIRS + 1))), Err(QueryError::TooMany));
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(pairs in prop::collection::vec(("[^\0]{0,8}", "[^\0]{0,8}"), 0..6)) {
            // An empty key without a value prints as `=`, which is a pair, so every list of pairs survives.
            let query = Query(pairs);
            prop_assert_eq!(Query::parse(Some(&query.to_string())).unwrap(), query);
        }
    }
}
