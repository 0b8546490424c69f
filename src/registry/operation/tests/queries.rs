//! Nothing that carries authority travels unparsed.

use proptest::prelude::*;

use super::*;

/// Path and query that go upstream, with the digest abbreviated.
fn upstream(request: &str) -> String {
    parse(request).unwrap_or_else(|error| panic!("{request}: {error}")).path_and_query().replace(DIGEST, "DIGEST")
}

const UPLOADS: &str = "/v2/a/blobs/uploads/";

#[test]
fn authority_is_typed_where_it_belongs_and_dropped_elsewhere() {
    for (request, expected) in [
        ("GET /v2/a/manifests/v1?mount=DIGEST&from=b&digest=DIGEST&tag=x", "/v2/a/manifests/v1"),
        ("PUT /v2/a/manifests/v1?tag=x&from=b", "/v2/a/manifests/v1"),
        ("PUT /v2/a/manifests/DIGEST?tag=x&from=b&tag=y&tag=", "/v2/a/manifests/DIGEST?tag=x&tag=y"),
        ("DELETE /v2/a/blobs/DIGEST?digest=DIGEST", "/v2/a/blobs/DIGEST"),
        ("GET /v2/_catalog?from=b&n=5&last=x/y", "/v2/_catalog?n=5&last=x/y"),
        ("PATCH /v2/a/blobs/uploads/x?_state=abc%3D&mount=DIGEST&from=b", "/v2/a/blobs/uploads/x?_state=abc%3D"),
        ("PUT /v2/a/blobs/uploads/x?_state=q&digest=DIGEST&from=b", "/v2/a/blobs/uploads/x?digest=DIGEST&_state=q"),
        ("GET /v2/?from=b&ns=docker.io", "/v2/"),
        (
            "GET /v2/a/referrers/DIGEST?artifactType=application/x%2By",
            "/v2/a/referrers/DIGEST?artifactType=application/x%2By",
        ),
    ] {
        assert_eq!(upstream(request), expected, "{request}");
    }
}

#[test]
fn only_a_whole_mount_is_one() {
    for (query, expected) in [
        ("mount=DIGEST&from=b", "?mount=DIGEST&from=b"),
        ("%6dount=DIGEST&fro%6d=b%2Fc", "?mount=DIGEST&from=b/c"),
        ("from=b&mount=DIGEST&digest=DIGEST", "?mount=DIGEST&from=b"),
        ("mount=DIGEST", ""),
        ("mount=DIGEST&from=", ""),
        ("mount=DIGEST&from=B", ""),
        ("mount=DIGEST&from=../b", ""),
        ("mount=DIGEST&from=b+c", ""),
        ("mount=DIGEST&FROM=b", ""),
        ("mount=DIGEST&from[]=b", ""),
        ("mount=DIGEST&from%20=b", ""),
        ("MOUNT=DIGEST&from=b", ""),
        ("Mount=DIGEST&from=b&_mount=DIGEST", ""),
        ("dige%C5%BFt=DIGEST", ""),
        ("mount=&from=b", ""),
        ("mount=DIGEST&digest=DIGEST", ""),
        ("from=b", ""),
        ("from=b&digest=DIGEST", "?digest=DIGEST"),
        ("digest=", ""),
        ("digest=DIGEST&x=1;from=b", "?digest=DIGEST&x=1%3Bfrom%3Db"),
        ("x=1;mount=DIGEST;from=b", "?x=1%3Bmount%3DDIGEST%3Bfrom%3Db"),
    ] {
        assert_eq!(upstream(&format!("POST {UPLOADS}?{query}")), format!("{UPLOADS}{expected}"), "{query}");
        // The missing slash at the end is supplied.
        assert_eq!(upstream(&format!("POST /v2/a/blobs/uploads?{query}")), format!("{UPLOADS}{expected}"), "{query}");
    }
}

#[test]
fn a_repeated_parameter_with_authority_is_refused_everywhere() {
    for (query, code) in [
        ("mount=DIGEST&mount=DIGEST&from=b", "DIGEST_INVALID"),
        ("mount=DIGEST&from=b&from=b", "NAME_INVALID"),
        ("mount=DIGEST&from=b&%66rom=c", "NAME_INVALID"),
        ("mount=DIGEST&from=&from=secret", "NAME_INVALID"),
        ("digest=DIGEST&digest=DIGEST", "DIGEST_INVALID"),
        ("digest&digest=DIGEST", "DIGEST_INVALID"),
    ] {
        for request in ["POST /v2/a/blobs/uploads/", "PUT /v2/a/blobs/uploads/x", "GET /v2/a/manifests/v1"] {
            assert_eq!(refusal(&format!("{request}?{query}")), (400, code), "{request} {query}");
        }
    }
    assert_eq!(refusal(&format!("POST {UPLOADS}?mount=sha256:x&from=b")), (400, "DIGEST_INVALID"));
    assert_eq!(refusal(&format!("POST {UPLOADS}?digest=x")), (400, "DIGEST_INVALID"));
}

#[test]
fn pages_are_numbers() {
    for path in ["/v2/_catalog", "/v2/a/tags/list"] {
        for (query, expected) in [
            ("n=0", "n=0"),
            ("n=010", "n=10"),
            ("n=4294967295&last=z", "n=4294967295&last=z"),
            ("last=&n=1", "last=&n=1"),
        ] {
            assert_eq!(upstream(&format!("GET {path}?{query}")), format!("{path}?{expected}"));
        }
        assert_eq!(upstream(&format!("GET {path}?n=")), path);
        for bad in ["n=-1", "n=%2B1", "n=1.0", "n=a", "n=4294967296", "n=1&n=2", "n=+1", "n=&n=3"] {
            assert_eq!(refusal(&format!("GET {path}?{bad}")), (400, "PAGINATION_NUMBER_INVALID"), "{bad}");
        }
    }
    // Elsewhere `n` has no meaning.
    assert_eq!(upstream("GET /v2/a/manifests/v1?n=x"), "/v2/a/manifests/v1?n=x");
}

fn any_request() -> impl Strategy<Value = String> {
    let target = prop::sample::select(vec![
        "GET /v2/_catalog",
        "HEAD /v2/a/tags/list",
        "GET /v2/a/manifests/v1",
        "PUT /v2/a/manifests/DIGEST",
        "POST /v2/a/blobs/uploads",
        "POST /v2/a/blobs/uploads/",
        "PATCH /v2/a/blobs/uploads/x=:~",
        "PUT /v2/a/blobs/uploads/x",
        "PUT /extensions/v2/a/b/signatures/DIGEST",
    ]);
    let key = prop_oneof![
        prop::sample::select(vec!["mount", "from", "digest", "tag", "n", "last", "ns", "_state", "FROM", "%66rom", ""])
            .prop_map(String::from),
        "[a-z%;+ ]{0,4}",
    ];
    let value = prop_oneof![
        prop::sample::select(vec![
            "DIGEST",
            "b",
            "b/c",
            "7",
            "v1",
            "",
            "DIGEST%20",
            "tarsum%2Bx:0123456789abcdef0123456789abcdef"
        ])
        .prop_map(String::from),
        "[^&#\0]{0,4}",
    ];
    let pairs = prop::collection::vec((key, value), 0..5);
    (target, pairs).prop_map(|(target, pairs)| {
        let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{target}?{}", pairs.join("&"))
    })
}

proptest! {
    #[test]
    fn what_goes_upstream_means_what_was_parsed(request in any_request()) {
        if let Ok(operation) = parse(&request) {
            let sent = operation.path_and_query();
            prop_assert!(sent.bytes().all(|byte| byte.is_ascii_graphic()));
            let again = parse(&format!("{} {sent}", operation.method())).unwrap();
            prop_assert_eq!(again.path_and_query(), sent);
            prop_assert_eq!(again, operation);
        }
    }

    #[test]
    fn an_upstream_sees_a_mount_only_where_we_do(request in any_request()) {
        if let Ok(operation) = parse(&request) {
            let sent = operation.path_and_query();
            let (_, query) = sent.split_once('?').unwrap_or_default();
            // As lenient as any upstream could be: every pair, also behind `;`, in any case.
            let sees = |name: &str| {
                query.split(['&', ';']).filter_map(|pair| pair.split('=').next()).any(|key| key.eq_ignore_ascii_case(name))
            };
            let mount = operation.mount_source().is_some();
            prop_assert_eq!((sees("mount"), sees("from")), (mount, mount));
            prop_assert_eq!(sees("tag"), !operation.tags().is_empty());
            let plain = operation.without_mount().path_and_query();
            prop_assert!(!plain.contains("mount=") && !plain.contains("from="));
        }
    }
}
