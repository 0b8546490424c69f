//! From a request line to an operation: the input is a method, a blank, a path, and a query behind the first `?`.

use http::Method;
use tidegate::registry::path::{MAX_PATH, RequestPath, is_at_or_below, is_of_registry};
use tidegate::registry::query::{MAX_QUERY, Query};
use tidegate::registry::{MARKER, Operation, OperationAction};

/// Holds what would go upstream against what came.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((method, target)) = text.split_once(' ') else { return };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let (raw, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    if let Ok(query) = Query::parse(query) {
        is_inverse(&query);
    }
    let parsed = RequestPath::parse(raw);
    if let Ok(path) = &parsed {
        is_plain(path, raw);
    }
    let Ok(operation) = Operation::parse(&method, raw, query) else { return };
    let path = parsed.expect("an operation has a path that parses");
    let printed = operation.path_and_query();
    stays_where_it_was(&operation, &path, &printed);
    is_the_same_again(&operation, &method, &printed);
}

fn is_inverse(query: &Query) {
    let printed = query.to_string();
    assert!(printed.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte)), "{printed}");
    // With escapes it may be longer than what is let in.
    if printed.len() <= MAX_QUERY {
        assert_eq!(Query::parse(Some(&printed)).as_ref(), Ok(query), "{printed}");
    }
}

/// There is one spelling of a path, with nothing in it that two servers read in two ways.
fn is_plain(path: &RequestPath, raw: &str) {
    let (decoded, encoded) = (path.as_str(), path.encoded());
    assert!(decoded.starts_with('/') && !decoded.contains("//") && !decoded.contains('\\'), "{decoded:?}");
    assert!(!decoded.chars().any(char::is_control), "{decoded:?}");
    assert!(path.segments().all(|segment| !matches!(segment.split(';').next(), Some("." | ".."))), "{decoded:?}");
    assert_eq!(decoded.matches('/').count(), raw.matches('/').count(), "no slash comes from an escape");
    assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#;\"<>\\^`{|}".contains(&byte)), "{encoded}");
    if encoded.len() <= MAX_PATH {
        let again = RequestPath::parse(&encoded);
        assert_eq!(again.as_ref(), Ok(path), "{encoded}");
        assert_eq!(again.map(|path| path.encoded()), Ok(encoded));
    }
}

/// What goes upstream is where the request was: neither beside its repository nor outside of the registry's paths.
fn stays_where_it_was(operation: &Operation, path: &RequestPath, printed: &str) {
    assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()), "{printed}");
    let (sent, query) = printed.split_once('?').unwrap_or((printed, ""));
    assert!(!sent.contains("..") || !sent.split('/').any(|segment| matches!(segment, "." | "..")), "{printed}");
    assert!(!sent.contains("//") && !sent.contains(['%', '\\', ';', '#']), "{printed}");
    assert!(is_of_registry(path.as_str()) && is_of_registry(sent), "{printed}");
    assert_eq!(sent.trim_end_matches('/'), path.as_str().trim_end_matches('/'), "the path that was judged is sent");
    if let Some(name) = operation.repository() {
        let below = ["/v2/", "/extensions/v2/"].map(|root| format!("{root}{name}"));
        assert!(below.iter().any(|below| is_at_or_below(sent, below) && sent.len() > below.len()), "{printed}");
    }
    let marked = Query::parse(Some(query)).is_ok_and(|query| query.get(MARKER).is_some());
    assert!(!marked, "{printed}");
}

/// Read again, it is the same operation and asks for the same rights.
fn is_the_same_again(operation: &Operation, method: &Method, printed: &str) {
    let (path, query) = printed.split_once('?').map_or((printed, None), |(path, query)| (path, Some(query)));
    let again = Operation::parse(method, path, query).unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(again.path_and_query(), printed);
    assert_eq!((again.name(), again.method()), (operation.name(), operation.method()));
    assert_eq!(
        (again.asks(), again.needs(), again.action()),
        (operation.asks(), operation.needs(), operation.action())
    );
    assert_eq!((again.repository(), again.reference()), (operation.repository(), operation.reference()));
    assert_eq!((again.tags(), again.mount_source()), (operation.tags(), operation.mount_source()));
    assert_eq!(&operation.method(), method);
    // What changes anything needs more than pull, and what only reads no more.
    let reads = matches!(*method, Method::GET | Method::HEAD) && operation.session().is_none();
    let pulls = matches!(operation.action(), OperationAction::Pull | OperationAction::Catalog) || operation.is_ping();
    assert_eq!(reads, pulls, "{method} {printed}");
}
