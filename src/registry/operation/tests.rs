//! Operations, row by row and as properties.

mod grammar;
mod queries;

use http::Method;

use super::*;
use crate::registry::{AccessSet, RouteError, Scope};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(request: &str) -> Result<Operation, RouteError> {
    let (method, target) = request.split_once(' ').unwrap();
    let target = target.replace("DIGEST", DIGEST);
    let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
    Operation::parse(&method.parse::<Method>().unwrap(), path, query)
}

/// Status and code of a refusal.
fn refusal(request: &str) -> (u16, &'static str) {
    let error = parse(request).expect_err(request);
    (error.status().as_u16(), error.code().as_str())
}

fn scopes(scopes: &[Scope]) -> String {
    scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_operation_needs_what_the_design_says() {
    let pull = "repository:team/app:pull";
    let write = "repository:team/app:pull,push";
    let delete = "repository:team/app:delete";
    for (request, name, action, needs) in [
        ("GET /v2/", "ping", "pull", ""),
        ("HEAD /v2", "ping", "pull", ""),
        ("GET /v2/_catalog", "catalog.get", "catalog", "registry:catalog:*"),
        ("HEAD /v2/_catalog?n=1", "catalog.head", "catalog", "registry:catalog:*"),
        ("GET /v2/team/app/manifests/v1", "manifest.get", "pull", pull),
        ("HEAD /v2/team/app/manifests/DIGEST", "manifest.head", "pull", pull),
        ("PUT /v2/team/app/manifests/v1", "manifest.put", "push", write),
        ("PUT /v2/team/app/manifests/DIGEST?tag=v1", "manifest.put", "push", write),
        ("DELETE /v2/team/app/manifests/v1", "manifest.delete", "delete", delete),
        ("DELETE /v2/team/app/manifests/DIGEST", "manifest.delete", "delete", delete),
        ("GET /v2/team/app/blobs/DIGEST", "blob.get", "pull", pull),
        ("HEAD /v2/team/app/blobs/DIGEST", "blob.head", "pull", pull),
        ("DELETE /v2/team/app/blobs/DIGEST", "blob.delete", "delete", delete),
        ("POST /v2/team/app/blobs/uploads/", "upload.post", "push", write),
        ("POST /v2/team/app/blobs/uploads/?digest=DIGEST", "upload.post", "push", write),
        ("GET /v2/team/app/blobs/uploads/x", "upload.get", "push", write),
        ("HEAD /v2/team/app/blobs/uploads/x", "upload.head", "push", write),
        ("PATCH /v2/team/app/blobs/uploads/x", "upload.patch", "push", write),
        ("PUT /v2/team/app/blobs/uploads/x?digest=DIGEST", "upload.put", "push", write),
        ("DELETE /v2/team/app/blobs/uploads/x", "upload.delete", "push", write),
        ("GET /v2/team/app/tags/list", "tags.get", "pull", pull),
        ("HEAD /v2/team/app/tags/list", "tags.head", "pull", pull),
        ("GET /v2/team/app/referrers/DIGEST", "referrers.get", "pull", pull),
        ("HEAD /v2/team/app/referrers/DIGEST", "referrers.head", "pull", pull),
        ("GET /extensions/v2/team/app/signatures/DIGEST", "signatures.get", "pull", pull),
        ("HEAD /extensions/v2/team/app/signatures/DIGEST", "signatures.head", "pull", pull),
        ("PUT /extensions/v2/team/app/signatures/DIGEST", "signatures.put", "push", write),
    ] {
        let operation = parse(request).unwrap();
        assert_eq!(operation.name(), name, "{request}");
        assert_eq!(operation.action().as_str(), action, "{request}");
        assert_eq!(scopes(&operation.needs()), needs, "{request}");
        assert_eq!(scopes(&operation.asks()), needs, "{request}");
        assert_eq!(operation.method().as_str(), request.split_once(' ').unwrap().0);
        assert_eq!(operation.is_ping(), name == "ping");
        let body = matches!(name, "upload.post" | "upload.patch" | "upload.put");
        assert_eq!(operation.is_upload_body(), body, "{request}");
    }
}

#[test]
fn a_mount_reaches_into_another_repository() {
    let mount = parse("POST /v2/team/app/blobs/uploads/?mount=DIGEST&from=other&ns=x").unwrap();
    assert_eq!((mount.name(), mount.mount_source().unwrap().as_str()), ("upload.mount", "other"));
    assert_eq!(scopes(&mount.needs()), "repository:team/app:push repository:other:pull");
    assert_eq!(scopes(&mount.asks()), "repository:team/app:pull,push repository:other:pull");
    assert!(mount.is_upload_body());
    let expected = format!("/v2/team/app/blobs/uploads/?mount={DIGEST}&from=other&ns=x");
    assert_eq!(mount.path_and_query(), expected);

    let plain = mount.without_mount();
    assert_eq!(plain, parse("POST /v2/team/app/blobs/uploads/?ns=x").unwrap());
    assert_eq!(plain.path_and_query(), "/v2/team/app/blobs/uploads/?ns=x");
    assert_eq!((plain.mount_source(), plain.name()), (None, "upload.post"));

    let same = parse("POST /v2/app/blobs/uploads/?mount=DIGEST&from=app").unwrap();
    assert_eq!(scopes(&same.needs()), "repository:app:pull,push");
    let other = parse("GET /v2/app/tags/list").unwrap();
    assert_eq!(other.clone().without_mount(), other);
}

#[test]
fn no_scope_covers_another_operations_need_by_accident() {
    let granted: AccessSet = ["repository:team/app:pull,push".parse::<Scope>().unwrap()].into_iter().collect();
    let may = |request: &str| parse(request).unwrap().needs().iter().all(|scope| granted.covers(scope));
    assert!(may("PUT /v2/team/app/manifests/latest"));
    assert!(may("DELETE /v2/team/app/blobs/uploads/x"));
    assert!(!may("DELETE /v2/team/app/manifests/latest"));
    assert!(!may("DELETE /v2/team/app/blobs/DIGEST"));
    assert!(!may("POST /v2/team/app/blobs/uploads/?mount=DIGEST&from=secret"));
    assert!(!may("GET /v2/team/manifests/latest"));
    assert!(!may("GET /v2/_catalog"));
}

#[test]
fn what_is_malformed_is_told_apart() {
    for (request, status, code) in [
        ("GET /v2/Team/app/manifests/v1", 400, "NAME_INVALID"),
        ("GET /v2/a../tags/list", 400, "NAME_INVALID"),
        ("POST /v2/-a/blobs/uploads/", 400, "NAME_INVALID"),
        ("GET /v2/_catalog/tags/list", 400, "NAME_INVALID"),
        ("GET /extensions/v2/A/signatures/DIGEST", 400, "NAME_INVALID"),
        ("GET /v2/a/manifests/sha256:abc", 400, "DIGEST_INVALID"),
        ("GET /v2/a/blobs/latest", 400, "DIGEST_INVALID"),
        ("DELETE /v2/a/blobs/sha256:XYZ", 400, "DIGEST_INVALID"),
        ("GET /v2/a/referrers/v1", 400, "DIGEST_INVALID"),
        ("GET /extensions/v2/a/signatures/v1", 400, "DIGEST_INVALID"),
        ("GET /v2/a/manifests/.INVALID_MANIFEST_NAME", 404, "MANIFEST_UNKNOWN"),
        ("HEAD /v2/a/manifests/-", 404, "MANIFEST_UNKNOWN"),
        ("PUT /v2/a/manifests/-", 400, "TAG_INVALID"),
        ("DELETE /v2/a/manifests/a+b", 400, "TAG_INVALID"),
        ("PUT /v2/a/manifests/DIGEST?tag=-", 400, "TAG_INVALID"),
        ("PATCH /v2/a/blobs/uploads/x%20y", 400, "BLOB_UPLOAD_INVALID"),
        ("PUT /v2/a/blobs/uploads/x", 400, "DIGEST_INVALID"),
        ("PUT /v2/a/blobs/uploads/x?digest=", 400, "DIGEST_INVALID"),
        ("PUT /v2/a/blobs/uploads/x?digest=md5", 400, "DIGEST_INVALID"),
        ("GET /v2/a/tags/list?n=%zz", 400, "UNSUPPORTED"),
    ] {
        assert_eq!(refusal(request), (status, code), "{request}");
    }
}

#[test]
fn what_is_no_endpoint_is_not_found() {
    for path in [
        "/",
        "/v1/",
        "/v1/_ping",
        "/v2x",
        "/V2/",
        "/v2/a",
        "/v2/a/",
        "/v2/a/manifests",
        "/v2/a/manifests/",
        "/v2/a/manifests/v1/",
        "/v2/manifests/v1",
        "/v2/a/blobs/DIGEST/",
        "/v2/a/blobs/uploads/x/",
        "/v2/blobs/uploads/",
        "/v2/blobs/uploads",
        "/v2/blobs/uploads/x",
        "/v2/a/uploads/x",
        "/v2/a/tags",
        "/v2/a/tags/list/",
        "/v2/a/tags/other",
        "/v2/tags/list",
        "/v2/_catalog/",
        "/v2/a/_catalog",
        "/v2/a/signatures/DIGEST",
        "/v2/_oci/ext/discover",
        "/v2/_zot/ext/search",
        "/extensions/v2/",
        "/extensions/v2/signatures/DIGEST",
        "/extensions/v2/a/manifests/v1",
        "/x/v2/a/manifests/v1",
        "/v2/a/Manifests/v1",
    ] {
        assert_eq!(refusal(&format!("GET {path}")), (404, "UNSUPPORTED"), "{path}");
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    for (path, allowed) in [
        ("/v2/", "GET, HEAD"),
        ("/v2/_catalog", "GET, HEAD"),
        ("/v2/a/tags/list", "GET, HEAD"),
        ("/v2/a/referrers/DIGEST", "GET, HEAD"),
        ("/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE"),
        ("/v2/a/blobs/DIGEST", "GET, HEAD, DELETE"),
        ("/v2/a/blobs/uploads/", "POST"),
        ("/v2/a/blobs/uploads", "POST"),
        ("/v2/a/blobs/uploads/x", "GET, HEAD, PATCH, PUT, DELETE"),
        ("/extensions/v2/a/signatures/DIGEST", "GET, HEAD, PUT"),
    ] {
        for method in
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND"]
        {
            let request = format!("{method} {path}?digest=DIGEST");
            match parse(&request) {
                Ok(operation) => {
                    assert!(allowed.split(", ").any(|known| known == method), "{request}");
                    assert_eq!(operation.method().as_str(), method);
                }
                Err(error) => {
                    assert!(!allowed.split(", ").any(|known| known == method), "{request}: {error}");
                    assert_eq!((error.status().as_u16(), error.allow()), (405, Some(allowed)), "{request}");
                }
            }
        }
    }
}

#[test]
fn the_marker_is_taken_out_and_never_printed() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let marked = |request: &str| {
        let operation = parse(request).unwrap();
        (operation.marker().map(str::to_owned), operation.path_and_query())
    };
    let closing = format!("/v2/a/blobs/uploads/1?digest={digest}");
    for query in [
        format!("tidegate-patched=x-_1&digest={digest}"),
        format!("digest={digest}&tidegate-patched=x-_1"),
        format!("tidegate%2Dpatched=x-_1&digest={digest}"),
        // Appended without a look.
        format!("tidegate-patched=x-_1?digest={digest}"),
        format!("tidegate-patched=x-_1?digest={}", digest.replace(':', "%3A")),
    ] {
        assert_eq!(marked(&format!("PUT /v2/a/blobs/uploads/1?{query}")), (Some("x-_1".into()), closing.clone()));
    }
    let with_state = format!("PUT /v2/a/blobs/uploads/1?_state=s&tidegate-patched=x?digest={digest}&n=1");
    assert_eq!(marked(&with_state), (Some("x".into()), format!("{closing}&_state=s&n=1")));
    // Two are as good as none.
    let twice = format!("PUT /v2/a/blobs/uploads/1?tidegate-patched=x&tidegate-patched=x&digest={digest}");
    assert_eq!(marked(&twice), (None, closing));
    for method in ["GET", "HEAD", "PATCH", "DELETE"] {
        let request = format!("{method} /v2/a/blobs/uploads/1?tidegate-patched=x");
        assert_eq!(marked(&request), (Some("x".into()), "/v2/a/blobs/uploads/1".into()));
    }
    for (request, sent) in [
        ("POST /v2/a/blobs/uploads/?tidegate-patched=x?tidegate-patched=y", "/v2/a/blobs/uploads/"),
        ("GET /v2/a/manifests/v1?tidegate-patched=x", "/v2/a/manifests/v1"),
        ("GET /v2/a/tags/list?tidegate-patched=x&n=1", "/v2/a/tags/list?n=1"),
        ("GET /v2/_catalog?tidegate-patched=x", "/v2/_catalog"),
    ] {
        assert_eq!(parse(request).unwrap().path_and_query(), sent);
    }
    // What is appended is no way around the rule that a digest stands once.
    let repeated = format!("PUT /v2/a/blobs/uploads/1?digest={digest}&tidegate-patched=x?digest={digest}");
    assert_eq!(refusal(&repeated), (400, "DIGEST_INVALID"));
}

#[test]
fn content_and_its_digest_are_known() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let known = |request: &str| {
        let operation = parse(request).unwrap();
        (operation.carries_content(), operation.content_digest().is_some())
    };
    for (request, expected) in [
        (format!("PUT /v2/a/manifests/{digest}"), (true, true)),
        ("PUT /v2/a/manifests/v1".to_owned(), (true, false)),
        (format!("POST /v2/a/blobs/uploads/?digest={digest}"), (true, true)),
        ("POST /v2/a/blobs/uploads/".to_owned(), (true, false)),
        (format!("POST /v2/a/blobs/uploads/?mount={digest}&from=b"), (true, false)),
        ("PATCH /v2/a/blobs/uploads/1".to_owned(), (true, false)),
        (format!("PUT /v2/a/blobs/uploads/1?digest={digest}"), (true, true)),
        (format!("PUT /extensions/v2/a/signatures/{digest}"), (false, false)),
        (format!("DELETE /v2/a/blobs/{digest}"), (false, false)),
        (format!("GET /v2/a/blobs/{digest}"), (false, false)),
    ] {
        assert_eq!(known(&request), expected, "{request}");
    }
}
