//! Requests of the distribution API, parsed: method, path and query to one [`Operation`], and back to the one spelling
//! that goes upstream. What access an operation needs is said here; whether a caller has it is decided in `authz`.

mod access;
mod parse;
mod print;

#[cfg(test)]
mod tests;

use http::Method;

pub use access::OperationAction;

use super::query::Query;
use super::{Digest, Reference, RepositoryName, SessionId, Tag};

/// `GET` or `HEAD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Read {
    /// With the body.
    Get,
    /// Without.
    Head,
}

/// A request of the distribution API. It holds nothing that was not parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `/v2/`: answered by the gateway, never forwarded.
    Ping(Read),
    /// `/v2/_catalog`, with what pages through it.
    Catalog(Read, Parameters),
    /// Anything about one repository.
    Repository(RepositoryOperation),
}

/// A request about one repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepositoryOperation {
    repository: RepositoryName,
    request: Request,
    parameters: Parameters,
    marker: Option<Box<str>>,
}

impl RepositoryOperation {
    /// The repository.
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// What is asked of it.
    pub fn request(&self) -> &Request {
        &self.request
    }
}

/// The parameter of a query that is the gateway's own: it stands in the `Location` of an upload that has begun with a PATCH. It is
/// taken out of every request and never printed, so that no upstream sees it.
pub const MARKER: &str = "tidegate-patched";

/// Parameters of a query that carry no authority (`n`, `last`, `artifactType`, `ns`, `_state`, whatever else a registry
/// knows). `mount`, `from`, `digest` and `tag`, in whatever spelling, are never among them, and neither is [`MARKER`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Parameters(Query);

/// What is asked of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// `GET`, `HEAD /v2/<name>/manifests/<reference>`
    ReadManifest(Read, Reference),
    /// `PUT /v2/<name>/manifests/<tag>`
    PutManifest(Tag),
    /// `PUT /v2/<name>/manifests/<digest>`, with the tags of `?tag=…` that it writes too.
    PutManifestByDigest(Digest, Vec<Tag>),
    /// `DELETE /v2/<name>/manifests/<reference>`
    DeleteManifest(Reference),
    /// `GET`, `HEAD /v2/<name>/blobs/<digest>`
    ReadBlob(Read, Digest),
    /// `DELETE /v2/<name>/blobs/<digest>`
    DeleteBlob(Digest),
    /// `POST /v2/<name>/blobs/uploads/`
    StartUpload(UploadStart),
    /// `GET`, `HEAD /v2/<name>/blobs/uploads/<session>`
    ReadUpload(Read, SessionId),
    /// `PATCH /v2/<name>/blobs/uploads/<session>`
    AppendUpload(SessionId),
    /// `PUT /v2/<name>/blobs/uploads/<session>?digest=<digest>`
    FinishUpload(SessionId, Digest),
    /// `DELETE /v2/<name>/blobs/uploads/<session>`
    CancelUpload(SessionId),
    /// `GET`, `HEAD /v2/<name>/tags/list`
    ListTags(Read),
    /// `GET`, `HEAD /v2/<name>/referrers/<digest>`
    ListReferrers(Read, Digest),
    /// `GET`, `HEAD /extensions/v2/<name>/signatures/<digest>`
    ReadSignatures(Read, Digest),
    /// `PUT /extensions/v2/<name>/signatures/<digest>`
    PutSignature(Digest),
}

/// How an upload begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UploadStart {
    /// With a session.
    Session,
    /// `?digest=…`: the whole blob in one request.
    Monolithic(Digest),
    /// `?mount=…&from=…`: with a blob that another repository has.
    Mount {
        /// The blob.
        digest: Digest,
        /// The repository that has it.
        from: RepositoryName,
    },
}

impl Operation {
    /// The repository; ping and catalog have none.
    pub fn repository(&self) -> Option<&RepositoryName> {
        self.in_repository().map(RepositoryOperation::repository)
    }

    /// Tag, digest or upload session of the path. A manifest that is put by digest may write more: see [`Self::tags`].
    pub fn reference(&self) -> Option<&str> {
        match &self.in_repository()?.request {
            Request::ReadManifest(_, reference) | Request::DeleteManifest(reference) => Some(reference.as_str()),
            Request::PutManifest(tag) => Some(tag.as_str()),
            Request::PutManifestByDigest(digest, _)
            | Request::ReadBlob(_, digest)
            | Request::DeleteBlob(digest)
            | Request::ListReferrers(_, digest)
            | Request::ReadSignatures(_, digest)
            | Request::PutSignature(digest) => Some(digest.as_str()),
            Request::ReadUpload(_, session)
            | Request::AppendUpload(session)
            | Request::FinishUpload(session, _)
            | Request::CancelUpload(session) => Some(session.as_str()),
            Request::StartUpload(_) | Request::ListTags(_) => None,
        }
    }

    /// The tags that `?tag=…` writes beside the digest of the path. A rule about references has to hold for each of
    /// them, not only for [`Self::reference`].
    pub fn tags(&self) -> &[Tag] {
        match self.in_repository().map(RepositoryOperation::request) {
            Some(Request::PutManifestByDigest(_, tags)) => tags,
            _ => &[],
        }
    }

    /// The method.
    pub fn method(&self) -> Method {
        let read = |read: Read| match read {
            Read::Get => Method::GET,
            Read::Head => Method::HEAD,
        };
        let request = match self {
            Self::Ping(how) | Self::Catalog(how, _) => return read(*how),
            Self::Repository(operation) => &operation.request,
        };
        match request {
            Request::ReadManifest(how, _)
            | Request::ReadBlob(how, _)
            | Request::ReadUpload(how, _)
            | Request::ListTags(how)
            | Request::ListReferrers(how, _)
            | Request::ReadSignatures(how, _) => read(*how),
            Request::PutManifest(_)
            | Request::PutManifestByDigest(..)
            | Request::FinishUpload(..)
            | Request::PutSignature(_) => Method::PUT,
            Request::DeleteManifest(_) | Request::DeleteBlob(_) | Request::CancelUpload(_) => Method::DELETE,
            Request::StartUpload(_) => Method::POST,
            Request::AppendUpload(_) => Method::PATCH,
        }
    }

    /// Whether it is the ping.
    pub fn is_ping(&self) -> bool {
        matches!(self, Self::Ping(_))
    }

    /// Whether it is a POST, PATCH or PUT of an upload. Its body goes upstream as `application/octet-stream`, since
    /// docker-registry reads `mount` and `from` from a form in it.
    pub fn is_upload_body(&self) -> bool {
        matches!(
            self.in_repository().map(RepositoryOperation::request),
            Some(Request::StartUpload(_) | Request::AppendUpload(_) | Request::FinishUpload(..))
        )
    }

    /// Whether its body is content that the upstream is to store: that of an upload or of a manifest.
    pub fn carries_content(&self) -> bool {
        self.is_upload_body()
            || matches!(
                self.in_repository().map(RepositoryOperation::request),
                Some(Request::PutManifest(_) | Request::PutManifestByDigest(..))
            )
    }

    /// The digest that its body must have, where it is the whole of what the digest names: a manifest by digest, a blob in one POST,
    /// and a blob in one PUT, unless a PATCH has brought some of it before.
    pub fn content_digest(&self) -> Option<&Digest> {
        match &self.in_repository()?.request {
            Request::PutManifestByDigest(digest, _)
            | Request::StartUpload(UploadStart::Monolithic(digest))
            | Request::FinishUpload(_, digest) => Some(digest),
            _ => None,
        }
    }

    /// The upload session that it is about.
    pub fn session(&self) -> Option<&SessionId> {
        match &self.in_repository()?.request {
            Request::ReadUpload(_, session)
            | Request::AppendUpload(session)
            | Request::FinishUpload(session, _)
            | Request::CancelUpload(session) => Some(session),
            _ => None,
        }
    }

    /// The value of [`MARKER`], if it was given once.
    pub fn marker(&self) -> Option<&str> {
        self.in_repository()?.marker.as_deref()
    }

    /// The repository that a mount takes its blob from.
    pub fn mount_source(&self) -> Option<&RepositoryName> {
        match &self.in_repository()?.request {
            Request::StartUpload(UploadStart::Mount { from, .. }) => Some(from),
            _ => None,
        }
    }

    /// The same, but a mount is a plain upload: the client is told to send the blob.
    #[must_use]
    pub fn without_mount(mut self) -> Self {
        if let Self::Repository(operation) = &mut self
            && let Request::StartUpload(start @ UploadStart::Mount { .. }) = &mut operation.request
        {
            *start = UploadStart::Session;
        }
        self
    }

    fn in_repository(&self) -> Option<&RepositoryOperation> {
        match self {
            Self::Repository(operation) => Some(operation),
            Self::Ping(_) | Self::Catalog(..) => None,
        }
    }
}
