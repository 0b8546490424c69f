//! From method, path and query to an operation.

use http::Method;

use crate::registry::path::RequestPath;
use crate::registry::query::Query;
use crate::registry::route::{Endpoint, endpoint};
use crate::registry::{Digest, Reference, RepositoryName, RouteError, SessionId, Tag};

use super::{MARKER, Operation, Parameters, Read, RepositoryOperation, Request, UploadStart};

impl Operation {
    /// Parses a request line: its method, its path as sent, and what stood behind `?`.
    ///
    /// ```
    /// use http::Method;
    /// use tidegate::registry::Operation;
    /// let operation = Operation::parse(&Method::GET, "/v2/team/%61pp/manifests/v1", Some("ns=docker.io")).unwrap();
    /// assert_eq!(operation.repository().unwrap().as_str(), "team/app");
    /// assert_eq!(operation.path_and_query(), "/v2/team/app/manifests/v1?ns=docker.io");
    /// ```
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, RouteError> {
        Self::at(method, &RequestPath::parse(path)?, query)
    }

    /// As [`Operation::parse`], for a path that is decoded already.
    pub fn at(method: &Method, path: &RequestPath, query: Option<&str>) -> Result<Self, RouteError> {
        let endpoint = endpoint(path.as_str()).ok_or(RouteError::NoEndpoint)?;
        let verb = Verb::of(method).ok_or(RouteError::Method { allowed: endpoint.methods() })?;
        let (authority, parameters) = split(Query::parse(query)?)?;
        match (endpoint, verb) {
            (Endpoint::Ping, Verb::Read(read)) => Ok(Self::Ping(read)),
            (Endpoint::Catalog, Verb::Read(read)) => Ok(Self::Catalog(read, parameters.paged()?)),
            (Endpoint::Tags { name }, Verb::Read(read)) => {
                in_repository(name, Request::ListTags(read), parameters.paged()?, None)
            }
            (endpoint, verb) => {
                let (name, request) = request(endpoint, verb, &authority)?;
                in_repository(name, request, parameters, authority.marker)
            }
        }
    }
}

fn in_repository(
    name: &str,
    request: Request,
    parameters: Parameters,
    marker: Option<Box<str>>,
) -> Result<Operation, RouteError> {
    let repository = RepositoryName::parse(name)?;
    Ok(Operation::Repository(RepositoryOperation { repository, request, parameters, marker }))
}

fn request<'a>(endpoint: Endpoint<'a>, verb: Verb, authority: &Authority) -> Result<(&'a str, Request), RouteError> {
    Ok(match (endpoint, verb) {
        (Endpoint::Manifest { name, reference }, Verb::Read(read)) => {
            let reference = Reference::parse(reference).map_err(|error| match RouteError::from(error) {
                RouteError::Tag(_) => RouteError::NoSuchTag,
                other => other,
            })?;
            (name, Request::ReadManifest(read, reference))
        }
        (Endpoint::Manifest { name, reference }, Verb::Put) => match Reference::parse(reference)? {
            // Only a put by digest writes the tags of the query; by tag they mean nothing.
            Reference::Tag(tag) => (name, Request::PutManifest(tag)),
            Reference::Digest(digest) => (name, Request::PutManifestByDigest(digest, authority.tags()?)),
        },
        (Endpoint::Manifest { name, reference }, Verb::Delete) => {
            (name, Request::DeleteManifest(Reference::parse(reference)?))
        }
        (Endpoint::Blob { name, digest }, Verb::Read(read)) => (name, Request::ReadBlob(read, Digest::parse(digest)?)),
        (Endpoint::Blob { name, digest }, Verb::Delete) => (name, Request::DeleteBlob(Digest::parse(digest)?)),
        (Endpoint::Uploads { name }, Verb::Post) => (name, Request::StartUpload(authority.upload_start()?)),
        (Endpoint::Session { name, session }, verb) => {
            let session = SessionId::parse(session)?;
            let request = match verb {
                Verb::Read(read) => Request::ReadUpload(read, session),
                Verb::Patch => Request::AppendUpload(session),
                Verb::Put => Request::FinishUpload(session, authority.digest()?.ok_or(RouteError::NoDigest)?),
                Verb::Delete => Request::CancelUpload(session),
                Verb::Post => return Err(RouteError::Method { allowed: endpoint.methods() }),
            };
            (name, request)
        }
        (Endpoint::Referrers { name, digest }, Verb::Read(read)) => {
            (name, Request::ListReferrers(read, Digest::parse(digest)?))
        }
        (Endpoint::Signatures { name, digest }, Verb::Read(read)) => {
            (name, Request::ReadSignatures(read, Digest::parse(digest)?))
        }
        (Endpoint::Signatures { name, digest }, Verb::Put) => (name, Request::PutSignature(Digest::parse(digest)?)),
        (endpoint, _) => return Err(RouteError::Method { allowed: endpoint.methods() }),
    })
}

/// The methods that any endpoint knows.
#[derive(Clone, Copy)]
enum Verb {
    Read(Read),
    Post,
    Patch,
    Put,
    Delete,
}

impl Verb {
    fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET => Some(Self::Read(Read::Get)),
            Method::HEAD => Some(Self::Read(Read::Head)),
            Method::POST => Some(Self::Post),
            Method::PATCH => Some(Self::Patch),
            Method::PUT => Some(Self::Put),
            Method::DELETE => Some(Self::Delete),
            _ => None,
        }
    }
}

/// The parameters that can change what a request may do. An empty one is as good as none, as it is to registries.
#[derive(Default)]
struct Authority {
    mount: Option<String>,
    from: Option<String>,
    digest: Option<String>,
    tags: Vec<String>,
    /// Ours, and so no upstream's business.
    marker: Option<Box<str>>,
}

/// Parts the parameters with authority from the others. What only resembles one of them (`MOUNT`, `from[]`, ` digest`)
/// is dropped, in case that an upstream is more generous than the specification.
fn split(mut query: Query) -> Result<(Authority, Parameters), RouteError> {
    if query.is_empty() {
        return Ok((Authority::default(), Parameters::default()));
    }
    let marker = take_marker(&mut query);
    let single = |key: &'static str| {
        let mut values = query.get_all(key);
        let value = values.next().filter(|value| !value.is_empty()).map(String::from);
        if values.next().is_some() { Err(RouteError::Repeated(key)) } else { Ok(value) }
    };
    let authority = Authority {
        mount: single("mount")?,
        from: single("from")?,
        digest: single("digest")?,
        tags: query.get_all("tag").filter(|tag| !tag.is_empty()).map(String::from).collect(),
        marker,
    };
    query.retain(|key| !resembles_authority(key));
    Ok((authority, Parameters(query)))
}

/// Takes the marker out. A client that knows its upstream's `Location` to have no query appends `?digest=…` to it without a look, and
/// so to the marker; what a marker is made of has no `?`.
fn take_marker(query: &mut Query) -> Option<Box<str>> {
    let mut markers = query.take(MARKER);
    let appended = markers.iter_mut().find_map(|marker| {
        let at = marker.find('?')?;
        let rest = marker.split_off(at);
        rest[1..].split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
    });
    if let Some((key, value)) = appended
        && key != MARKER
    {
        query.push(key, value);
    }
    markers.pop().filter(|_| markers.is_empty()).map(String::into_boxed_str)
}

fn resembles_authority(key: &str) -> bool {
    // No registry has a parameter with such a name, but some letters fold to ASCII ones.
    if !key.is_ascii() {
        return true;
    }
    let letters = || key.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
    ["mount", "from", "digest", "tag"].iter().any(|name| letters().eq(name.bytes()))
}

impl Authority {
    fn digest(&self) -> Result<Option<Digest>, RouteError> {
        Ok(self.digest.as_deref().map(Digest::parse).transpose()?)
    }

    fn tags(&self) -> Result<Vec<Tag>, RouteError> {
        Ok(self.tags.iter().map(|tag| Tag::parse(tag)).collect::<Result<_, _>>()?)
    }

    /// A mount goes before `digest`, as it does in registries. Without a source that could exist it is no mount.
    fn upload_start(&self) -> Result<UploadStart, RouteError> {
        let digest = self.digest()?;
        let mount = self.mount.as_deref().map(Digest::parse).transpose()?;
        let from = self.from.as_deref().and_then(|from| RepositoryName::parse(from).ok());
        Ok(match (mount, from, digest) {
            (Some(digest), Some(from), _) => UploadStart::Mount { digest, from },
            (None, _, Some(digest)) => UploadStart::Monolithic(digest),
            (Some(_), None, _) | (None, _, None) => UploadStart::Session,
        })
    }
}

impl Parameters {
    /// Checks `n`, which distribution answers 400 for too. An empty one is the registry's default.
    fn paged(mut self) -> Result<Self, RouteError> {
        let Some(n) = self.0.get("n") else { return Ok(self) };
        if self.0.count("n") > 1 {
            return Err(RouteError::Repeated("n"));
        }
        if n.is_empty() {
            self.0.retain(|key| key != "n");
            return Ok(self);
        }
        // `u32::from_str` would take a plus sign.
        let digits = n.bytes().all(|byte| byte.is_ascii_digit());
        let n: u32 = n.parse().ok().filter(|_| digits).ok_or(RouteError::PageSize)?;
        self.0.rewrite("n", &n.to_string());
        Ok(self)
    }
}
