//! `Location` and `Link` of responses, made public.
//!
//! What names the request's Host, the upstream or an origin of its content becomes path-absolute: it leads back to the gateway under
//! whatever name the client knows it by. All other redirects, to object storage say, go through as they are.

use http::header::{HeaderMap, HeaderValue, LINK, LOCATION};

/// Rewrites both headers. `own` are the authorities (`host[:port]`) that stand for the gateway.
pub(crate) fn make_public(headers: &mut HeaderMap, host: &str, own: &[String]) {
    let is_own = |authority: &str| is_same(authority, host) || own.iter().any(|name| is_same(authority, name));
    if let Some(value) = headers.get(LOCATION)
        && let Some(path) = value.to_str().ok().and_then(|text| path_of(text, &is_own))
        && let Ok(value) = HeaderValue::from_str(path)
    {
        headers.insert(LOCATION, value);
    }
    if headers.contains_key(LINK) {
        let rewritten: Vec<HeaderValue> =
            headers.get_all(LINK).iter().map(|value| rewrite_link(value, &is_own)).collect();
        headers.remove(LINK);
        for value in rewritten {
            headers.append(LINK, value);
        }
    }
}

/// Two authorities are the same host and port; a missing port and one that is a scheme's default are not told apart.
fn is_same(a: &str, b: &str) -> bool {
    let bare = |text: &str| -> String {
        text.strip_suffix(":80").or_else(|| text.strip_suffix(":443")).unwrap_or(text).to_ascii_lowercase()
    };
    a.eq_ignore_ascii_case(b) || bare(a) == bare(b)
}

/// The path and query of an absolute URL whose authority is ours; `None` where the text is to stay as it is.
fn path_of<'a>(text: &'a str, is_own: &impl Fn(&str) -> bool) -> Option<&'a str> {
    let (scheme, rest) = text.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_own(authority) {
        return None;
    }
    match path.as_bytes().first() {
        None => Some("/"),
        // A path that begins with two slashes would name another host.
        Some(b'/') if !path.starts_with("//") => Some(path),
        _ => None,
    }
}

/// Rewrites each `<target>` of a `Link` header (RFC 8288).
fn rewrite_link(value: &HeaderValue, is_own: &impl Fn(&str) -> bool) -> HeaderValue {
    let Ok(text) = value.to_str() else { return value.clone() };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let Some(close) = rest[open..].find('>').map(|at| open + at) else { break };
        out.push_str(&rest[..=open]);
        let target = &rest[open + 1..close];
        out.push_str(path_of(target, is_own).unwrap_or(target));
        rest = &rest[close..];
    }
    out.push_str(rest);
    HeaderValue::from_str(&out).unwrap_or_else(|_| value.clone())
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderValue, LINK, LOCATION};

    use super::make_public;

    fn location(text: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_str(text).unwrap());
        make_public(&mut headers, "gateway:5000", &["127.0.0.1:5050".into(), "content.example".into()]);
        headers[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn own_names_become_paths() {
        assert_eq!(location("http://127.0.0.1:5050/v2/a/blobs/uploads/1?_state=x"), "/v2/a/blobs/uploads/1?_state=x");
        assert_eq!(location("https://Gateway:5000/v2/"), "/v2/");
        assert_eq!(location("http://content.example:80/x"), "/x");
        assert_eq!(location("http://gateway:5000"), "/");
    }

    #[test]
    fn all_else_stays() {
        for text in [
            "/v2/a/blobs/uploads/1",
            "https://bucket.example/obj?sig=1",
            "http://127.0.0.1:5051/v2/",
            "http://127.0.0.1:5050@evil.example/",
            "//127.0.0.1:5050/x",
            "ftp://127.0.0.1:5050/x",
            "http://127.0.0.1:5050//evil.example/",
        ] {
            assert_eq!(location(text), text);
        }
    }

    #[test]
    fn links_are_rewritten_one_by_one() {
        let mut headers = HeaderMap::new();
        headers.append(
            LINK,
            HeaderValue::from_static("<http://127.0.0.1:5050/v2/_catalog?n=1>; rel=\"next\", <http://e/>; rel=x"),
        );
        headers.append(LINK, HeaderValue::from_static("<broken"));
        make_public(&mut headers, "gateway:5000", &["127.0.0.1:5050".into()]);
        let links: Vec<_> = headers.get_all(LINK).iter().collect();
        assert_eq!(links, ["</v2/_catalog?n=1>; rel=\"next\", <http://e/>; rel=x", "<broken"]);
    }
}
