//! From an operation to the path and query that go upstream, and to its name in logs.

use crate::registry::query::append_pair;

use super::{Operation, Read, RepositoryOperation, Request, UploadStart};

impl Operation {
    /// Path and query in their one spelling, rebuilt from what was parsed. Parsing them gives the same operation again.
    pub fn path_and_query(&self) -> String {
        match self {
            Self::Ping(_) => "/v2/".to_owned(),
            Self::Catalog(_, parameters) => {
                let mut out = String::from("/v2/_catalog");
                for (key, value) in parameters.0.iter() {
                    append_parameter(&mut out, key, value);
                }
                out
            }
            Self::Repository(operation) => operation.path_and_query(),
        }
    }

    /// The name in logs: `manifest.get`, `upload.mount`, …
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping(_) => "ping",
            Self::Catalog(read, _) => pick(*read, "catalog.get", "catalog.head"),
            Self::Repository(operation) => operation.request.name(),
        }
    }
}

impl RepositoryOperation {
    /// Names, tags, digests and session ids hold nothing that a path would have to escape.
    fn path_and_query(&self) -> String {
        let name = self.repository.as_str();
        let prefix = match &self.request {
            Request::ReadSignatures(..) | Request::PutSignature(_) => "/extensions/v2/",
            _ => "/v2/",
        };
        let (kind, last) = self.request.path_end();
        let mut out = String::with_capacity(prefix.len() + name.len() + kind.len() + last.len());
        for part in [prefix, name, kind, last] {
            out.push_str(part);
        }
        match &self.request {
            Request::StartUpload(UploadStart::Monolithic(digest)) | Request::FinishUpload(_, digest) => {
                append_parameter(&mut out, "digest", digest.as_str());
            }
            Request::StartUpload(UploadStart::Mount { digest, from }) => {
                append_parameter(&mut out, "mount", digest.as_str());
                append_parameter(&mut out, "from", from.as_str());
            }
            Request::PutManifestByDigest(_, tags) => {
                for tag in tags {
                    append_parameter(&mut out, "tag", tag.as_str());
                }
            }
            _ => {}
        }
        for (key, value) in self.parameters.0.iter() {
            append_parameter(&mut out, key, value);
        }
        out
    }
}

/// The path of any operation has no `?` of its own, so the first one begins the query.
fn append_parameter(out: &mut String, key: &str, value: &str) {
    out.push(if out.contains('?') { '&' } else { '?' });
    append_pair(out, key, value);
}

impl Request {
    /// What stands behind the name: the fixed part, and the variable one.
    fn path_end(&self) -> (&'static str, &str) {
        match self {
            Self::ReadManifest(_, reference) | Self::DeleteManifest(reference) => ("/manifests/", reference.as_str()),
            Self::PutManifest(tag) => ("/manifests/", tag.as_str()),
            Self::PutManifestByDigest(digest, _) => ("/manifests/", digest.as_str()),
            Self::ReadBlob(_, digest) | Self::DeleteBlob(digest) => ("/blobs/", digest.as_str()),
            Self::StartUpload(_) => ("/blobs/uploads/", ""),
            Self::ReadUpload(_, session)
            | Self::AppendUpload(session)
            | Self::FinishUpload(session, _)
            | Self::CancelUpload(session) => ("/blobs/uploads/", session.as_str()),
            Self::ListTags(_) => ("/tags/list", ""),
            Self::ListReferrers(_, digest) => ("/referrers/", digest.as_str()),
            Self::ReadSignatures(_, digest) | Self::PutSignature(digest) => ("/signatures/", digest.as_str()),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::ReadManifest(read, _) => pick(*read, "manifest.get", "manifest.head"),
            Self::PutManifest(_) | Self::PutManifestByDigest(..) => "manifest.put",
            Self::DeleteManifest(_) => "manifest.delete",
            Self::ReadBlob(read, _) => pick(*read, "blob.get", "blob.head"),
            Self::DeleteBlob(_) => "blob.delete",
            Self::StartUpload(UploadStart::Mount { .. }) => "upload.mount",
            Self::StartUpload(UploadStart::Session | UploadStart::Monolithic(_)) => "upload.post",
            Self::ReadUpload(read, _) => pick(*read, "upload.get", "upload.head"),
            Self::AppendUpload(_) => "upload.patch",
            Self::FinishUpload(..) => "upload.put",
            Self::CancelUpload(_) => "upload.delete",
            Self::ListTags(read) => pick(*read, "tags.get", "tags.head"),
            Self::ListReferrers(read, _) => pick(*read, "referrers.get", "referrers.head"),
            Self::ReadSignatures(read, _) => pick(*read, "signatures.get", "signatures.head"),
            Self::PutSignature(_) => "signatures.put",
        }
    }
}

fn pick(read: Read, get: &'static str, head: &'static str) -> &'static str {
    match read {
        Read::Get => get,
        Read::Head => head,
    }
}
