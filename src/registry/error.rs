//! Errors as registries speak them: the codes and the JSON body (OCI distribution-spec 1.1, "Error Codes"). Which HTTP
//! status goes with them is decided by who answers, except for [`RouteError`], which knows its own.

use std::borrow::Cow;

use http::StatusCode;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::path::PathError;
use super::query::QueryError;
use super::{DigestError, ReferenceError, RepositoryNameError, SessionIdError, TagError};

/// A code in an error body. Clients print it, and some decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the codes are the specification's own and carry their message")]
pub enum ErrorCode {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PaginationNumberInvalid,
    SizeInvalid,
    TagInvalid,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unknown,
    Unsupported,
}

impl ErrorCode {
    /// The code as it stands in the body.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
        }
    }

    /// What the code says where there is nothing better to say.
    pub fn message(self) -> &'static str {
        match self {
            Self::BlobUnknown => "blob unknown to registry",
            Self::BlobUploadInvalid => "blob upload invalid",
            Self::BlobUploadUnknown => "blob upload unknown to registry",
            Self::Denied => "requested access to the resource is denied",
            Self::DigestInvalid => "provided digest is malformed",
            Self::ManifestBlobUnknown => "manifest references a blob unknown to registry",
            Self::ManifestInvalid => "manifest invalid",
            Self::ManifestUnknown => "manifest unknown",
            Self::NameInvalid => "invalid repository name",
            Self::NameUnknown => "repository name not known to registry",
            Self::PaginationNumberInvalid => "invalid number of results requested",
            Self::SizeInvalid => "provided length did not match content length",
            Self::TagInvalid => "malformed tag",
            Self::TooManyRequests => "too many requests",
            Self::Unauthorized => "authentication required",
            Self::Unavailable => "service unavailable",
            Self::Unknown => "unknown error",
            Self::Unsupported => "the operation is unsupported",
        }
    }
}

/// One error of a body.
#[derive(Clone, Debug, PartialEq)]
pub struct OciError {
    /// What clients decide by.
    pub code: ErrorCode,
    /// What clients print.
    pub message: Cow<'static, str>,
    /// More, for machines; left out where there is nothing.
    pub detail: Option<Value>,
}

impl OciError {
    /// An error with the code's own message.
    pub fn new(code: ErrorCode) -> Self {
        Self::with_message(code, code.message())
    }

    /// An error with a message.
    pub fn with_message(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), detail: None }
    }

    /// The body that holds this one error: `{"errors":[{"code","message","detail"?}]}`.
    pub fn to_body(&self) -> String {
        let code = self.code.as_str();
        // A text, and what is JSON already, can always be written.
        let text = |message: &str| serde_json::to_string(message).unwrap_or_default();
        let detail = self.detail.as_ref().map_or_else(String::new, |detail| format!(",\"detail\":{detail}"));
        format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":{}{detail}}}]}}", text(&self.message))
    }
}

impl Serialize for OciError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", self.code.as_str())?;
        map.serialize_entry("message", &self.message)?;
        if let Some(detail) = &self.detail {
            map.serialize_entry("detail", detail)?;
        }
        map.end()
    }
}

/// Why a request is no operation. It is answered by the gateway and never forwarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The path could mean several things, or nothing.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The query cannot be decoded.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The repository's name, in the path.
    #[error(transparent)]
    Name(#[from] RepositoryNameError),
    /// A digest in the path, or `digest` or `mount` in the query.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// An upload is finished without saying what it is.
    #[error("the upload is closed without the digest of the blob")]
    NoDigest,
    /// A tag to be written or deleted, in the path or the query.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// A tag to be read that cannot exist. Not 400: a tag that cannot exist is one that does not, as the conformance
    /// tests of the specification have it.
    #[error("no manifest can have this tag")]
    NoSuchTag,
    /// The id of an upload session.
    #[error(transparent)]
    Session(#[from] SessionIdError),
    /// A parameter that must not be repeated, since servers differ in which one they take.
    #[error("the parameter `{0}` is given more than once")]
    Repeated(&'static str),
    /// `n` is no number of results.
    #[error("the parameter `n` must be a number from 0 up")]
    PageSize,
    /// No such endpoint.
    #[error("there is no such endpoint")]
    NoEndpoint,
    /// The endpoint does not know the method.
    #[error("the method is not supported here; supported: {allowed}")]
    Method {
        /// The methods that are known, as the `Allow` header lists them.
        allowed: &'static str,
    },
}

impl RouteError {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoEndpoint | Self::NoSuchTag => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The code in its body.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Path(_) | Self::Name(_) | Self::Repeated("from") => ErrorCode::NameInvalid,
            Self::Digest(_) | Self::NoDigest | Self::Repeated("digest" | "mount") => ErrorCode::DigestInvalid,
            Self::Tag(_) => ErrorCode::TagInvalid,
            Self::NoSuchTag => ErrorCode::ManifestUnknown,
            Self::Session(_) => ErrorCode::BlobUploadInvalid,
            Self::PageSize | Self::Repeated("n") => ErrorCode::PaginationNumberInvalid,
            Self::Query(_) | Self::Repeated(_) | Self::NoEndpoint | Self::Method { .. } => ErrorCode::Unsupported,
        }
    }

    /// The value of the `Allow` header, which 405 must have (RFC 9110, section 15.5.6).
    pub fn allow(&self) -> Option<&'static str> {
        match self {
            Self::Method { allowed } => Some(allowed),
            _ => None,
        }
    }

    /// The error for the body.
    pub fn to_oci(&self) -> OciError {
        OciError::with_message(self.code(), self.to_string())
    }
}

impl From<ReferenceError> for RouteError {
    fn from(error: ReferenceError) -> Self {
        match error {
            ReferenceError::Digest(error) => Self::Digest(error),
            ReferenceError::Tag(error) => Self::Tag(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_specified_shape() {
        let mut error = OciError::new(ErrorCode::Denied);
        assert_eq!(
            error.to_body(),
            r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#
        );
        error.message = "say \"why\"\n".into();
        error.detail = Some(serde_json::json!([{"Action": "push"}]));
        let body: Value = serde_json::from_str(&error.to_body()).unwrap();
        let expected = serde_json::json!({"errors": [
            {"code": "DENIED", "message": "say \"why\"\n", "detail": [{"Action": "push"}]}
        ]});
        assert_eq!(body, expected);
        assert_eq!(serde_json::json!({ "errors": [error] }), expected);
    }

    #[test]
    fn wrong_methods_are_told_the_right_ones() {
        let error = RouteError::Method { allowed: "GET, HEAD" };
        assert_eq!(
            (error.status().as_u16(), error.code().as_str(), error.allow()),
            (405, "UNSUPPORTED", Some("GET, HEAD"))
        );
        assert_eq!(error.to_oci().message, "the method is not supported here; supported: GET, HEAD");
        assert_eq!(RouteError::NoEndpoint.allow(), None);
    }
}
