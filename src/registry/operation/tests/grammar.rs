//! Paths against the specification's grammar, by a matcher that knows nothing of how paths are parsed here: it tries
//! every endpoint's pattern at every place.

use proptest::prelude::*;

use super::*;
use crate::registry::path::RequestPath;

/// What may stand behind the fixed part of an endpoint.
#[derive(Clone, Copy)]
enum Tail {
    Nothing,
    Digest,
    TagOrDigest,
    Session,
}

/// Each endpoint of a repository: what stands before the name and behind it, the variable part, and the methods.
const ENDPOINTS: [(&str, &str, Tail, &[&str]); 8] = [
    ("/v2/", "/manifests/", Tail::TagOrDigest, &["GET", "HEAD", "PUT", "DELETE"]),
    ("/v2/", "/blobs/", Tail::Digest, &["GET", "HEAD", "DELETE"]),
    ("/v2/", "/blobs/uploads/", Tail::Nothing, &["POST"]),
    ("/v2/", "/blobs/uploads", Tail::Nothing, &["POST"]),
    ("/v2/", "/blobs/uploads/", Tail::Session, &["GET", "HEAD", "PATCH", "PUT", "DELETE"]),
    ("/v2/", "/tags/list", Tail::Nothing, &["GET", "HEAD"]),
    ("/v2/", "/referrers/", Tail::Digest, &["GET", "HEAD"]),
    ("/extensions/v2/", "/signatures/", Tail::Digest, &["GET", "HEAD", "PUT"]),
];

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, with every way to match a separator tried.
fn component(text: &[u8]) -> bool {
    let run = text.iter().take_while(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()).count();
    let rest = &text[run..];
    let dashes = rest.iter().take_while(|byte| **byte == b'-').count();
    let separators =
        [&b"."[..], b"_", b"__"].into_iter().filter(|separator| rest.starts_with(separator)).map(<[u8]>::len);
    run > 0 && (rest.is_empty() || separators.chain(1..=dashes).any(|length| component(&rest[length..])))
}

fn name(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(|part| component(part.as_bytes()))
}

fn tail(kind: Tail, text: &str) -> bool {
    let all = |allowed: &str| text.chars().all(|char| char.is_ascii_alphanumeric() || allowed.contains(char));
    let digest = text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.chars().all(|char| char.is_ascii_digit() || ('a'..='f').contains(&char))
    });
    match kind {
        Tail::Nothing => text.is_empty(),
        Tail::Digest => digest,
        Tail::TagOrDigest => {
            digest || !text.is_empty() && text.len() <= 128 && !text.starts_with(['.', '-']) && all("._-")
        }
        // A dot segment is no name of anything (RFC 3986, section 5.2.4).
        Tail::Session => !matches!(text, "" | "." | "..") && all("-._~=:"),
    }
}

/// Every reading of a path: endpoint, repository and reference.
fn readings(path: &str) -> Vec<(usize, &str, &str)> {
    let mut readings = Vec::new();
    for (n, (before, fixed, kind, _)) in ENDPOINTS.iter().enumerate() {
        let Some(rest) = path.strip_prefix(before) else { continue };
        for (at, _) in rest.char_indices() {
            let Some(end) = rest[at..].strip_prefix(fixed) else { continue };
            if name(&rest[..at]) && tail(*kind, end) {
                readings.push((n, &rest[..at], end));
            }
        }
    }
    readings
}

fn any_path() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "blobs",
        "uploads",
        "manifests",
        "tags",
        "list",
        "referrers",
        "signatures",
        "_catalog",
        "v2",
        "extensions",
        "a",
        "b0",
        "c-d__e.f",
        "latest",
        "V1",
        "_x",
        "a_-b",
        "a---b",
        "a...b",
        "x=:~",
        DIGEST,
        "sha256:abc",
    ]);
    let segment = prop_oneof![12 => word.prop_map(String::from), 1 => "[a-zA-Z0-9._-]{1,5}"];
    let prefix = prop::sample::select(vec!["/v2/", "/v2/", "/v2/", "/extensions/v2/", "/"]);
    let slash = prop::sample::select(vec!["", "", "", "/"]);
    // Free ends are rarely endpoints, so half of the paths are made to look like one.
    let end = prop_oneof![
        Just(String::new()),
        (prop::sample::select(ENDPOINTS.map(|endpoint| endpoint.1).to_vec()), segment.clone())
            .prop_map(|(fixed, segment)| if fixed.ends_with('/') { format!("{fixed}{segment}") } else { fixed.into() }),
    ];
    (prefix, prop::collection::vec(segment, 1..6), end, slash)
        .prop_map(|(prefix, segments, end, slash)| format!("{prefix}{}{end}{slash}", segments.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn parsing_agrees_with_the_specification(path in any_path()) {
        let readings = readings(&path);
        prop_assert!(readings.len() <= 1, "{} has several readings: {:?}", path, readings);
        let query = format!("digest={DIGEST}");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let parsed = Operation::parse(&method.parse().unwrap(), &path, Some(&query));
            let expected = readings.first().filter(|reading| ENDPOINTS[reading.0].3.contains(&method));
            match (parsed, expected) {
                (Ok(operation), Some((_, repository, reference))) => {
                    prop_assert_eq!(operation.repository().unwrap().as_str(), *repository);
                    prop_assert_eq!(operation.reference().unwrap_or_default(), *reference);
                    let sent = operation.path_and_query();
                    let sent = sent.split('?').next().unwrap();
                    let slash = if path.ends_with("/blobs/uploads") { "/" } else { "" };
                    prop_assert_eq!(sent, format!("{path}{slash}"));
                }
                (Ok(operation), None) => {
                    let fixed = operation.repository().is_none() && matches!(path.as_str(), "/v2" | "/v2/" | "/v2/_catalog");
                    prop_assert!(fixed, "{} {} is no operation", method, path);
                }
                (Err(error), Some(reading)) => prop_assert!(false, "{} {}: {} but {:?}", method, path, error, reading),
                (Err(_), None) => {}
            }
        }
    }

    #[test]
    fn escapes_of_what_needs_none_change_nothing(path in any_path(), which in any::<u64>()) {
        let escaped: String = path
            .chars()
            .enumerate()
            .map(|(n, char)| {
                let escape = char != '/' && which.rotate_left(u32::try_from(n).unwrap()) & 1 == 1;
                if escape { format!("%{:02x}", u32::from(char)) } else { char.to_string() }
            })
            .collect();
        prop_assert_eq!(Operation::parse(&Method::GET, &escaped, None), Operation::parse(&Method::GET, &path, None));
    }

    #[test]
    fn no_path_parses_that_request_path_refuses(path in "/v2/(a|\\.|%2e|%2f|/|\\\\|;|%00|%c0%af|#|\\PC){0,4}/manifests/(v1|%2e%2e|;x|\\PC){1,2}") {
        if let Ok(operation) = Operation::parse(&Method::GET, &path, None) {
            let decoded = RequestPath::parse(&path).unwrap();
            prop_assert_eq!(operation.path_and_query(), decoded.as_str());
        }
    }
}

#[test]
fn names_may_hold_the_words_of_the_grammar() {
    for (request, repository, reference) in [
        ("GET /v2/a/blobs/uploads/manifests/latest", "a/blobs/uploads", Some("latest")),
        ("GET /v2/a/manifests/manifests/manifests", "a/manifests", Some("manifests")),
        ("GET /v2/manifests/manifests/list", "manifests", Some("list")),
        ("GET /v2/a/manifests/latest/tags/list", "a/manifests/latest", None),
        ("GET /v2/tags/list/tags/list", "tags/list", None),
        ("GET /v2/v2/tags/list", "v2", None),
        ("GET /v2/extensions/v2/a/manifests/x", "extensions/v2/a", Some("x")),
        ("GET /v2/a/blobs/blobs/DIGEST", "a/blobs", Some(DIGEST)),
        ("GET /v2/a/blobs/uploads/blobs/DIGEST", "a/blobs/uploads", Some(DIGEST)),
        ("POST /v2/a/blobs/uploads/blobs/uploads/", "a/blobs/uploads", None),
        ("PATCH /v2/a/blobs/uploads/uploads", "a", Some("uploads")),
        ("PATCH /v2/a/blobs/uploads/blobs", "a", Some("blobs")),
        ("PATCH /v2/blobs/uploads/blobs/uploads/x", "blobs/uploads", Some("x")),
        ("GET /v2/uploads/manifests/v1", "uploads", Some("v1")),
        ("GET /extensions/v2/a/signatures/signatures/DIGEST", "a/signatures", Some(DIGEST)),
    ] {
        let operation = parse(request).unwrap();
        assert_eq!(operation.repository().unwrap().as_str(), repository, "{request}");
        assert_eq!(operation.reference(), reference, "{request}");
    }
}

#[test]
fn tricks_with_paths_get_nowhere() {
    for path in [
        "/v2/alice%2fapp/manifests/v1",
        "/v2/alice/../bob/app/manifests/v1",
        "/v2/alice/%2e%2e/bob/manifests/v1",
        "/v2/alice/%252e%252e/bob/manifests/v1",
        "/v2/alice/.%2e/bob/manifests/v1",
        "/v2/./alice/manifests/v1",
        "/v2//alice/manifests/v1",
        "//v2/alice/manifests/v1",
        "/v2/alice//manifests/v1",
        "/v2/alice;x/manifests/v1",
        "/v2/alice/..;/bob/manifests/v1",
        "/v2/alice%3b/manifests/v1",
        "/v2/alice\\bob/manifests/v1",
        "/v2/alice%5c..%5cbob/manifests/v1",
        "/v2/alice%00/manifests/v1",
        "/v2/alice%0a/manifests/v1",
        "/v2/alice%20/manifests/v1",
        "/v2/alice+bob/manifests/v1",
        "/v2/%c0%ae%c0%ae/bob/manifests/v1",
        "/v2/alice%c0%afbob/manifests/v1",
        "/v2/alice%e0%80%afbob/manifests/v1",
        "/v2/al%EF%BD%89ce/manifests/v1",
        "/v2/alice%u002fbob/manifests/v1",
        "/v2/alice#/manifests/v1",
        "/v2/alice%23/manifests/v1",
        "/v2/alice%3f/manifests/v1",
        "/v2/ALICE/manifests/v1",
        "http://elsewhere/v2/alice/manifests/v1",
    ] {
        let error = Operation::parse(&Method::GET, path, None).expect_err(path);
        assert_eq!((error.status().as_u16(), error.code().as_str()), (400, "NAME_INVALID"), "{path}");
    }
    for path in ["/v2/alice/manifests/v1%23", "/v2/alice/manifests/v1;x", "/v2/alice/manifests/v1%3Fx"] {
        let error = Operation::parse(&Method::GET, path, None).expect_err(path);
        assert_eq!((error.status().as_u16(), error.code().as_str()), (404, "MANIFEST_UNKNOWN"), "{path}");
    }
    let same = Operation::parse(&Method::GET, "/%76%32/%61lice/m%61nifests/v%31", None).unwrap();
    assert_eq!(same.path_and_query(), "/v2/alice/manifests/v1");
}
