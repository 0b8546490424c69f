//! Which endpoint a path names. Only the shape is decided here; whether name and reference are good ones is decided by
//! whoever asks.
//!
//! A path is read from its end, because the end is fixed and the name before it is not: components of a name may well be
//! called `blobs`, `uploads`, `manifests` or `tags`. The last two or three segments leave one reading at most.

/// An endpoint, with its variable parts as they stand in the decoded path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    /// `/v2`, `/v2/`
    Ping,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/manifests/<reference>`
    Manifest { name: &'a str, reference: &'a str },
    /// `/v2/<name>/blobs/<digest>`
    Blob { name: &'a str, digest: &'a str },
    /// `/v2/<name>/blobs/uploads/`, with or without the slash at the end; `uploads` is no digest.
    Uploads { name: &'a str },
    /// `/v2/<name>/blobs/uploads/<session>`
    Session { name: &'a str, session: &'a str },
    /// `/v2/<name>/tags/list`
    Tags { name: &'a str },
    /// `/v2/<name>/referrers/<digest>`
    Referrers { name: &'a str, digest: &'a str },
    /// `/extensions/v2/<name>/signatures/<digest>` (Pulp; first in `OpenShift`)
    Signatures { name: &'a str, digest: &'a str },
}

/// The endpoint of a decoded path.
pub(super) fn endpoint(path: &str) -> Option<Endpoint<'_>> {
    if let Some(rest) = path.strip_prefix("/extensions/v2/") {
        let (name, kind, digest) = last_two(rest)?;
        return (kind == "signatures").then_some(Endpoint::Signatures { name, digest });
    }
    if matches!(path, "/v2" | "/v2/") {
        return Some(Endpoint::Ping);
    }
    let rest = path.strip_prefix("/v2/")?;
    if rest == "_catalog" {
        return Some(Endpoint::Catalog);
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads/") {
        return Some(Endpoint::Uploads { name });
    }
    let (name, kind, last) = last_two(rest)?;
    match kind {
        "manifests" => Some(Endpoint::Manifest { name, reference: last }),
        "blobs" if last == "uploads" => Some(Endpoint::Uploads { name }),
        "blobs" => Some(Endpoint::Blob { name, digest: last }),
        "uploads" => name.strip_suffix("/blobs").map(|name| Endpoint::Session { name, session: last }),
        "tags" if last == "list" => Some(Endpoint::Tags { name }),
        "referrers" => Some(Endpoint::Referrers { name, digest: last }),
        _ => None,
    }
}

/// What stands before the last two segments, and those two. No part is empty: a slash at the end is no match.
fn last_two(path: &str) -> Option<(&str, &str, &str)> {
    let (before, last) = path.rsplit_once('/')?;
    let (name, kind) = before.rsplit_once('/')?;
    (!name.is_empty() && !last.is_empty()).then_some((name, kind, last))
}

impl Endpoint<'_> {
    /// The methods that the endpoint knows, as the `Allow` header lists them.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Ping | Self::Catalog | Self::Tags { .. } | Self::Referrers { .. } => "GET, HEAD",
            Self::Manifest { .. } => "GET, HEAD, PUT, DELETE",
            Self::Blob { .. } => "GET, HEAD, DELETE",
            Self::Uploads { .. } => "POST",
            Self::Session { .. } => "GET, HEAD, PATCH, PUT, DELETE",
            Self::Signatures { .. } => "GET, HEAD, PUT",
        }
    }
}
