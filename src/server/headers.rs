//! Headers that end at a proxy (RFC 9110, section 7.6.1), and the framing that a request must have.

mod passed;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use http::{Method, StatusCode, Uri, Version};

pub(crate) use passed::is_script_name;
pub use passed::{PassedHeader, PassedHeaders};

/// `Keep-Alive` (RFC 2068) and its like have no constants.
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");

/// Removes what belongs to the client's connection, whatever `Connection` nominates, and the body's framing, which the connection to
/// the upstream makes anew.
///
/// Names with `_` or another sign go too: servers that take headers for variables cannot tell them from those with `-`, so that
/// `Content_Length` or `X.Forwarded.For` would stand beside what the gateway says, or in its place. `passed` says which of the others
/// stay.
///
/// `goes` says what else is removed.
pub(crate) fn strip_request(headers: &mut HeaderMap, passed: PassedHeaders, goes: impl Fn(&HeaderName) -> bool) {
    const OF_CONNECTION: [HeaderName; 10] = [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        EXPECT,
        CONTENT_LENGTH,
    ];
    strip_nominated(headers);
    remove_where(headers, |name| OF_CONNECTION.contains(name) || !passed::passes(name.as_str(), passed) || goes(name));
}

/// Removes the headers of which `goes` says so. A message has few, and the lists of names are long: so it is asked of those that are
/// there.
fn remove_where(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Removes what belongs to the upstream's connection, and every challenge: which credentials the upstream wants is no business of
/// clients, and a realm of its choosing must not steer theirs.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    const OF_CONNECTION: [HeaderName; 11] = [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHENTICATION_INFO,
        AUTHENTICATION_INFO,
        WWW_AUTHENTICATE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    strip_nominated(headers);
    remove_where(headers, |name| OF_CONNECTION.contains(name));
}

fn strip_nominated(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    // These nominate nothing that would not be removed anyway.
    let usual = |value: &&HeaderValue| matches!(value.as_bytes(), b"keep-alive" | b"Keep-Alive" | b"close");
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter(|value| !usual(value))
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in nominated {
        // The length of a response is no property of the connection, whoever says so.
        if name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
}

/// What is wrong with how a request is framed or addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// No `Host`, or more than one.
    #[error("a request must have exactly one Host header")]
    Host,
    /// `Host` is no `host[:port]`, or an absolute request target names another.
    #[error("the Host header is not of the form host[:port], or the request target names another host")]
    BadHost,
    /// HTTP/2: more than one length (with HTTP/1.1 the parser settles it).
    #[error("a request must not have several lengths")]
    Lengths,
    /// `Transfer-Encoding` is anything but one `chunked`.
    #[error("the only transfer coding that is understood is a single chunked")]
    TransferEncoding,
    /// An expectation other than `100-continue`.
    #[error("the only expectation that is understood is 100-continue")]
    Expectation,
}

/// Checks what the HTTP parser lets through, and returns the host that the client addressed.
///
/// `knows` says whether an authority was checked before.
pub(crate) fn check_framing(
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    knows: impl FnOnce(&str) -> bool,
) -> Result<HeaderValue, FramingError> {
    let host = if version == Version::HTTP_2 { host_of_stream(uri, headers)? } else { only_host(headers)? };
    let text = host.to_str().map_err(|_| FramingError::BadHost)?;
    // The target of CONNECT is an authority without a scheme; it names no resource of ours, and is refused as what it is.
    let absolute = uri.authority().filter(|_| uri.scheme().is_some());
    if !(knows(text) || is_authority(text))
        || absolute.is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(text))
    {
        return Err(FramingError::BadHost);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let single = codings.next().is_none() && version == Version::HTTP_11;
        if !single || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(FramingError::TransferEncoding);
        }
    }
    let mut expectations = headers.get_all(EXPECT).iter();
    if expectations.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(FramingError::Expectation);
    }
    Ok(host)
}

fn only_host(headers: &HeaderMap) -> Result<HeaderValue, FramingError> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(FramingError::Host) };
    Ok(host.clone())
}

/// The host of an HTTP/2 request: `:authority`, which a `Host` beside it has to repeat, or else that (RFC 9113, section 8.3.1).
///
/// The codings and connection headers of HTTP/1.1 are refused by the implementation of the protocol; a `Transfer-Encoding` that came
/// through would be refused below.
fn host_of_stream(uri: &Uri, headers: &HeaderMap) -> Result<HeaderValue, FramingError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.any(|other| Some(other) != length) {
        return Err(FramingError::Lengths);
    }
    match uri.authority() {
        Some(authority) if !headers.contains_key(HOST) => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| FramingError::BadHost)
        }
        // That it is the same is checked where the other is.
        Some(_) | None => only_host(headers),
    }
}

/// What is wrong with how a response is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseFramingError {
    /// Only the end of the connection would end the body.
    #[error("sent a body that only the end of the connection ends; it cannot be told from a broken one")]
    Unbounded,
    /// `Transfer-Encoding` is anything but one `chunked`.
    #[error("sent a body with a transfer coding other than a single chunked")]
    TransferEncoding,
    /// It says that content is stored which it was not sent to its end.
    #[error("reported content as stored before it had all of it")]
    Premature,
    /// The upstream would go on with another protocol, which nobody has asked for.
    #[error("answered with an unasked change of the protocol")]
    Switched,
}

/// Checks what the HTTP parser lets through. Of two framings the one by length is removed (RFC 9112, section 6.3).
pub(crate) fn check_response_framing(
    method: &Method,
    status: StatusCode,
    version: Version,
    headers: &mut HeaderMap,
) -> Result<(), ResponseFramingError> {
    if status.is_informational() {
        return Err(ResponseFramingError::Switched);
    }
    if *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(());
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match codings.next() {
        None if headers.contains_key(CONTENT_LENGTH) => Ok(()),
        // There the end of a body is marked whatever its length.
        None if version == Version::HTTP_2 => Ok(()),
        None => Err(ResponseFramingError::Unbounded),
        Some(coding) => {
            let single = codings.next().is_none() && version == Version::HTTP_11;
            if !single || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(ResponseFramingError::TransferEncoding);
            }
            headers.remove(CONTENT_LENGTH);
            Ok(())
        }
    }
}

/// The longest name that the DNS knows is 253 bytes long, and a port takes up to six more with its colon.
const MAX_AUTHORITY: usize = 253 + 6;

/// Whether a text is `host[:port]` without user, path or blanks.
pub(crate) fn is_authority(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_AUTHORITY
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':' | b'[' | b']'))
        && text.parse::<http::uri::Authority>().is_ok_and(|authority| {
            // A port that is no number up to 65535 is no port to `http`.
            let port = authority.port().map_or(0, |port| port.as_str().len() + 1);
            !authority.host().is_empty() && authority.host().len() + port == text.len()
        })
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderName, HeaderValue};
    use http::{Method, StatusCode, Uri, Version};

    use super::{
        FramingError, PassedHeaders, ResponseFramingError, check_framing, check_response_framing, strip_request,
        strip_response,
    };

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn nominated_headers_end_here() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Secret"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("x-other", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("content_length", "5"),
            ("x_forwarded-for", "a"),
            ("accept", "a"),
        ]);
        strip_request(&mut headers, PassedHeaders::default(), |_| false);
        assert_eq!(headers, map(&[("accept", "a")]));
    }

    #[test]
    fn challenges_of_an_upstream_end_here() {
        let mut headers =
            map(&[("www-authenticate", "Basic"), ("www-authenticate", "Bearer"), ("content-length", "3")]);
        strip_response(&mut headers);
        assert_eq!(headers, map(&[("content-length", "3")]));
    }

    #[test]
    fn a_nominated_length_stays() {
        let mut headers = map(&[("connection", "content-length"), ("content-length", "3")]);
        strip_response(&mut headers);
        assert_eq!(headers, map(&[("content-length", "3")]));
    }

    #[test]
    fn framing_is_checked() {
        let check = |uri: &str, headers: &[(&str, &str)]| {
            check_framing(&uri.parse::<Uri>().unwrap(), Version::HTTP_11, &map(headers), |_| false)
                .map(|host| host.to_str().unwrap().to_owned())
        };
        assert_eq!(check("/v2/", &[("host", "a:5000")]), Ok("a:5000".to_owned()));
        assert_eq!(check("/v2/", &[("host", "[::1]:5000")]), Ok("[::1]:5000".to_owned()));
        assert_eq!(check("http://A:5000/v2/", &[("host", "a:5000")]), Ok("a:5000".to_owned()));
        assert_eq!(check("http://b/v2/", &[("host", "a")]), Err(FramingError::BadHost));
        assert_eq!(check("b:443", &[("host", "a")]), Ok("a".to_owned()));
        assert_eq!(check("/v2/", &[]), Err(FramingError::Host));
        assert_eq!(check("/v2/", &[("host", "a"), ("host", "a")]), Err(FramingError::Host));
        for bad in ["", "a b", "u@a", "a/b", "a,b", "a:b:c", "a?b", "a:", "a:b", "a:65536", ":80"] {
            assert_eq!(check("/v2/", &[("host", bad)]), Err(FramingError::BadHost), "{bad}");
        }
        let longest = format!("{}:65535", "a".repeat(253));
        assert!(check("/v2/", &[("host", &longest)]).is_ok());
        assert_eq!(check("/v2/", &[("host", &format!("a{longest}"))]), Err(FramingError::BadHost));
        for bad in ["gzip", "gzip, chunked", "chunked, chunked", "identity", "xchunked"] {
            assert_eq!(
                check("/v2/", &[("host", "a"), ("transfer-encoding", bad)]),
                Err(FramingError::TransferEncoding)
            );
        }
        let twice = [("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(check("/v2/", &twice), Err(FramingError::TransferEncoding));
        assert_eq!(check("/v2/", &[("host", "a"), ("expect", "200-ok")]), Err(FramingError::Expectation));
        assert!(check("/v2/", &[("host", "a"), ("transfer-encoding", "Chunked"), ("expect", "100-Continue")]).is_ok());
    }

    #[test]
    fn a_stream_names_its_host_once() {
        let check = |uri: &str, headers: &[(&str, &str)]| {
            check_framing(&uri.parse::<Uri>().unwrap(), Version::HTTP_2, &map(headers), |_| false)
                .map(|host| host.to_str().unwrap().to_owned())
        };
        assert_eq!(check("https://a:5000/v2/", &[]), Ok("a:5000".to_owned()));
        assert_eq!(check("https://a/v2/", &[("host", "A")]), Ok("A".to_owned()));
        assert_eq!(check("/v2/", &[("host", "a")]), Ok("a".to_owned()));
        assert_eq!(check("/v2/", &[]), Err(FramingError::Host));
        assert_eq!(check("https://a/v2/", &[("host", "b")]), Err(FramingError::BadHost));
        assert_eq!(check("https://a/v2/", &[("host", "a"), ("host", "a")]), Err(FramingError::Host));
        assert_eq!(check("https://u@a/v2/", &[]), Err(FramingError::BadHost));
        let lengths = |one, other| check("https://a/", &[("content-length", one), ("content-length", other)]);
        assert_eq!(lengths("3", "4"), Err(FramingError::Lengths));
        assert!(lengths("3", "3").is_ok());
        let chunked = [("transfer-encoding", "chunked")];
        assert_eq!(check("https://a/v2/", &chunked), Err(FramingError::TransferEncoding));
    }

    #[test]
    fn responses_end_where_they_say() {
        let check = |method: Method, status: u16, headers: &[(&str, &str)]| {
            let mut headers = map(headers);
            let status = StatusCode::from_u16(status).unwrap();
            check_response_framing(&method, status, Version::HTTP_11, &mut headers).map(|()| headers)
        };
        let (length, chunked) = (("content-length", "3"), ("transfer-encoding", "Chunked"));
        assert_eq!(check(Method::GET, 200, &[length]), Ok(map(&[length])));
        assert_eq!(check(Method::GET, 200, &[length, chunked]), Ok(map(&[chunked])));
        assert_eq!(check(Method::GET, 200, &[]), Err(ResponseFramingError::Unbounded));
        assert_eq!(check(Method::GET, 101, &[length]), Err(ResponseFramingError::Switched));
        assert_eq!(check(Method::HEAD, 101, &[]), Err(ResponseFramingError::Switched));
        for bad in ["gzip", "gzip, chunked", "chunked, chunked", "chunked, gzip", "identity"] {
            let answer = check(Method::GET, 200, &[length, ("transfer-encoding", bad)]);
            assert_eq!(answer, Err(ResponseFramingError::TransferEncoding), "{bad}");
        }
        for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
            assert_eq!(check(method, status, &[]), Ok(map(&[])));
        }
        assert_eq!(check_response_framing(&Method::GET, StatusCode::OK, Version::HTTP_2, &mut map(&[])), Ok(()));
    }
}
