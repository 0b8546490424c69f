//! Request paths: decoded once, without anything that two servers could read in two ways. Which endpoint a path names
//! is decided in `route`.

use std::borrow::Cow;

use super::escape::{EscapeError, escape_into, unescape};

/// The longest path in bytes, as sent.
pub const MAX_PATH: usize = 4096;

/// A path, percent-decoded: absolute, without empty or dot segments, backslashes, control characters or encoded slashes.
///
/// ```
/// use tidegate::registry::path::RequestPath;
/// let path = RequestPath::parse("/v2/te%61m/a;b/").unwrap();
/// assert_eq!(path.as_str(), "/v2/team/a;b/");
/// assert_eq!(path.encoded(), "/v2/team/a%3Bb/");
/// assert!(RequestPath::parse("/v2/team/%2e%2e/secret").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestPath(String);

/// Why a path is refused. Each of them is the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Over [`MAX_PATH`] bytes.
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// It does not begin with `/`.
    #[error("the path must begin with a slash")]
    NotAbsolute,
    /// A `%` without two hexadecimal digits behind it.
    #[error("the path has a malformed percent-escape")]
    BadEscape,
    /// Not UTF-8 when decoded, overlong forms included.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// `%2F`: some servers split there and some do not.
    #[error("the path has an encoded slash")]
    EncodedSlash,
    /// A control character, a backslash, or a bare `?` or `#`.
    #[error("the path has a character that no path may have")]
    BadCharacter,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`, with or without `;parameters`.
    #[error("the path has a dot segment")]
    DotSegment,
}

impl RequestPath {
    /// Decodes and checks a path as it stood in the request line, without its query.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        decode(raw).map(|path| Self(path.into_owned()))
    }

    /// The path, decoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, decoded; a slash at the end makes no segment. `/` has none.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        segments(&self.0)
    }

    /// Whether the path ends with a slash.
    pub fn ends_with_slash(&self) -> bool {
        self.0.ends_with('/')
    }

    /// The one spelling that goes upstream: unreserved characters bare, and of the others only those that no server
    /// splits a segment at. A `;` is escaped, so that it cannot begin parameters there.
    pub fn encoded(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        escape_into(&mut out, &self.0, b"/:@!$&'()*+,=");
        out
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    // `/` alone would split into one empty segment.
    let any = path.len() > 1;
    inner.split('/').filter(move |_| any)
}

/// [`RequestPath::parse`] without a copy where nothing is escaped.
fn decode(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if raw.len() > MAX_PATH {
        return Err(PathError::TooLong);
    }
    if !raw.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    if raw.bytes().any(|byte| matches!(byte, b'?' | b'#')) {
        return Err(PathError::BadCharacter);
    }
    let path = unescape(raw).map_err(|error| match error {
        EscapeError::BadEscape => PathError::BadEscape,
        EscapeError::NotUtf8 => PathError::NotUtf8,
    })?;
    if let Cow::Owned(path) = &path
        && slashes(path) != slashes(raw)
    {
        return Err(PathError::EncodedSlash);
    }
    if path.chars().any(|char| char.is_control() || char == '\\') {
        return Err(PathError::BadCharacter);
    }
    for segment in segments(&path) {
        if segment.is_empty() {
            return Err(PathError::EmptySegment);
        }
        // Servers that know path parameters cut them off before they resolve dots.
        let name = segment.split_once(';').map_or(segment, |(name, _)| name);
        if matches!(name, "." | "..") {
            return Err(PathError::DotSegment);
        }
    }
    Ok(path)
}

fn slashes(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'/').count()
}

/// Where the endpoints of the registry's grammar are. What lies there is judged by the grammar, and nothing else is.
pub const ROOTS: [&str; 2] = ["/v2", "/extensions/v2"];

/// Whether a decoded path, or a prefix of paths, lies at one of [`ROOTS`] or below it.
pub fn is_of_registry(path: &str) -> bool {
    ROOTS.iter().any(|root| is_at_or_below(path, root))
}

/// Whether a decoded path is `prefix`, or continues it with another segment. A slash at the end of `prefix` means nothing.
pub fn is_at_or_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_servers_read_in_two_ways_is_refused() {
        for (raw, error) in [
            ("", PathError::NotAbsolute),
            ("v2/", PathError::NotAbsolute),
            ("*", PathError::NotAbsolute),
            ("/v2/a%2fb", PathError::EncodedSlash),
            ("/v2/a%2Fb", PathError::EncodedSlash),
            ("/v2/%2e%2e/x", PathError::DotSegment),
            ("/v2/%2E./x", PathError::DotSegment),
            ("/v2/../x", PathError::DotSegment),
            ("/v2/.", PathError::DotSegment),
            ("/v2/./", PathError::DotSegment),
            ("/v2/..;a=b/x", PathError::DotSegment),
            ("/v2/.%3b/x", PathError::DotSegment),
            ("//", PathError::EmptySegment),
            ("//v2/", PathError::EmptySegment),
            ("/v2//x", PathError::EmptySegment),
            ("/v2/x//", PathError::EmptySegment),
            ("/v2/a\\b", PathError::BadCharacter),
            ("/v2/a%5cb", PathError::BadCharacter),
            ("/v2/a%00", PathError::BadCharacter),
            ("/v2/a%0d%0aHost:x", PathError::BadCharacter),
            ("/v2/a%7f", PathError::BadCharacter),
            ("/v2/a%c2%85", PathError::BadCharacter),
            ("/v2/a#b", PathError::BadCharacter),
            ("/v2/a?b", PathError::BadCharacter),
            ("/v2/a%", PathError::BadEscape),
            ("/v2/a%4", PathError::BadEscape),
            ("/v2/a%zz", PathError::BadEscape),
            ("/v2/a%+1", PathError::BadEscape),
            ("/v2/a%u0061", PathError::BadEscape),
            ("/v2/%c0%ae%c0%ae/x", PathError::NotUtf8),
            ("/v2/a%c0%afb", PathError::NotUtf8),
            ("/v2/a%ff", PathError::NotUtf8),
            ("/v2/a%ed%a0%80", PathError::NotUtf8),
        ] {
            assert_eq!(RequestPath::parse(raw), Err(error), "{raw}");
        }
        let longest = format!("/{}", "a".repeat(MAX_PATH - 1));
        assert!(RequestPath::parse(&longest).is_ok());
        assert_eq!(RequestPath::parse(&format!("{longest}a")), Err(PathError::TooLong));
    }

    #[test]
    fn escapes_are_decoded_exactly_once() {
        let path = RequestPath::parse("/%76%32/a%252fb/%C3%A9%3F%23%20%3b").unwrap();
        assert_eq!(path.as_str(), "/v2/a%2fb/é?# ;");
        assert_eq!(path.encoded(), "/v2/a%252fb/%C3%A9%3F%23%20%3B");
    }

    #[test]
    fn segments_and_the_slash_at_the_end() {
        let of = |raw: &str| {
            let path = RequestPath::parse(raw).unwrap();
            (path.segments().map(String::from).collect::<Vec<_>>(), path.ends_with_slash())
        };
        assert_eq!(of("/"), (vec![], true));
        assert_eq!(of("/v2"), (vec!["v2".into()], false));
        assert_eq!(of("/v2/a/"), (vec!["v2".into(), "a".into()], true));
        assert_eq!(of("/.../a..b"), (vec!["...".into(), "a..b".into()], false));
    }

    proptest! {
        #[test]
        fn the_canonical_spelling_is_a_fixed_point(raw in "/(\\PC|[%/.;a2-6eE]){0,24}") {
            if let Ok(path) = RequestPath::parse(&raw) {
                let encoded = path.encoded();
                let again = RequestPath::parse(&encoded).unwrap();
                prop_assert_eq!(again.encoded(), encoded);
                prop_assert_eq!(again, path);
            }
        }
    }

    #[test]
    fn prefixes_end_at_segments() {
        for (path, prefix) in
            [("/v2", "/v2"), ("/v2/", "/v2/"), ("/v2/a", "/v2/"), ("/v2/a", "/v2"), ("/a", "/"), ("/v2", "/v2/")]
        {
            assert!(is_at_or_below(path, prefix), "{path} {prefix}");
        }
        for (path, prefix) in [("/v2x", "/v2"), ("/v2x/a", "/v2/"), ("/v", "/v2"), ("/a/v2", "/v2")] {
            assert!(!is_at_or_below(path, prefix), "{path} {prefix}");
        }
        assert!(is_of_registry("/v2/") && is_of_registry("/extensions/v2/x") && !is_of_registry("/extensions/v20"));
    }
}
