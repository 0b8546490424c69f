//! The marker of an upload that has begun with a PATCH.
//!
//! The PUT that ends such an upload carries only the rest of the blob, or nothing, so its body cannot be held against the digest. Only
//! the upstream can judge it, and does. Whether an upload is of that kind is a fact that the next request, at whatever replica, has to
//! know; so it travels in the `Location` that the client follows. It is authenticated: whoever could make a marker could store a
//! false blob under the digest of another.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::{KeyError, KeyRing, RingKey};
use crate::registry::{MARKER, Operation, RepositoryName, SessionId};

/// What the derived keys are for.
const PURPOSE: &[u8] = b"tidegate upload marker 1";

/// Makes and accepts markers. Replicas that share their keys accept each other's.
#[derive(Debug)]
pub struct Markers {
    first: hmac::Key,
    rest: Vec<hmac::Key>,
}

impl Markers {
    /// With the keys of the ring: the signing one makes, all accept.
    pub fn new(ring: &KeyRing) -> Result<Self, KeyError> {
        let derive = |key: &RingKey| key.key().derive(PURPOSE);
        Ok(Self { first: derive(ring.signing())?, rest: ring.iter().skip(1).map(derive).collect::<Result<_, _>>()? })
    }

    /// Whether a request brings the marker of the session that it is about.
    pub(crate) fn is_marked(&self, operation: &Operation) -> bool {
        let (Some(marker), Some(repository), Some(session)) =
            (operation.marker(), operation.repository(), operation.session())
        else {
            return false;
        };
        let Ok(tag) = URL_SAFE_NO_PAD.decode(marker) else { return false };
        let message = message(repository, session);
        // Compared in constant time.
        std::iter::once(&self.first).chain(&self.rest).any(|key| hmac::verify(key, &message, &tag).is_ok())
    }

    /// The marker of a session.
    fn make(&self, repository: &RepositoryName, session: &SessionId) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.first, &message(repository, session)))
    }

    /// A `Location` with the marker of the session that it leads to; `None` when it leads to none, or not to us.
    ///
    /// `base` is the path of the request, which a relative reference starts from; `is_own` says which authorities are the gateway.
    pub(crate) fn mark(&self, location: &str, base: &str, is_own: impl Fn(&str) -> bool) -> Option<String> {
        let (rest, fragment) = location.find('#').map_or((location, ""), |at| location.split_at(at));
        let (reference, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let path = path_of(reference, base, is_own)?;
        let operation = Operation::parse(&http::Method::GET, &path, None).ok()?;
        let marker = self.make(operation.repository()?, operation.session()?);
        let separator = match query {
            None => "?",
            Some("") => "",
            Some(_) => "&",
        };
        Some(format!("{rest}{separator}{MARKER}={marker}{fragment}"))
    }
}

/// Neither names nor session ids hold a NUL.
fn message(repository: &RepositoryName, session: &SessionId) -> Vec<u8> {
    [repository.as_str().as_bytes(), b"\0", session.as_str().as_bytes()].concat()
}

/// The path that a reference leads to. One with dot segments is left to the grammar, which knows none.
fn path_of(reference: &str, base: &str, is_own: impl Fn(&str) -> bool) -> Option<String> {
    if reference.is_empty() {
        return Some(base.to_owned());
    }
    if let Some((scheme, rest)) = reference.split_once("://") {
        let (authority, path) = rest.split_at(rest.find('/')?);
        let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        return (http && is_own(authority)).then(|| path.to_owned());
    }
    if reference.starts_with("//") {
        return None;
    }
    if reference.starts_with('/') {
        return Some(reference.to_owned());
    }
    let folder = base.rfind('/').map_or("/", |at| &base[..=at]);
    Some(format!("{folder}{reference}"))
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::keys::{Algorithm, KeyIdFormat, SigningKey};

    const BASE: &str = "/v2/team/app/blobs/uploads/5b2c3d";
    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn key(algorithm: Algorithm) -> String {
        SigningKey::generate(algorithm).unwrap().to_pem().unwrap().expose().to_owned()
    }

    fn markers(keys: &[&str]) -> Markers {
        let keys = keys.iter().map(|pem| SigningKey::from_pem(pem).unwrap()).collect();
        Markers::new(&KeyRing::new(keys, KeyIdFormat::default(), false).unwrap()).unwrap()
    }

    fn mark(markers: &Markers, location: &str) -> Option<String> {
        markers.mark(location, BASE, |authority| authority == "gateway.example")
    }

    /// Whether a PUT to `location`, with the digest appended, is taken for marked.
    fn is_marked(markers: &Markers, location: &str) -> bool {
        let path = location.strip_prefix("https://gateway.example").unwrap_or(location);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = format!("{query}&digest={DIGEST}");
        markers.is_marked(&Operation::parse(&Method::PUT, path, Some(&query)).unwrap())
    }

    #[test]
    fn what_was_marked_is_marked() {
        for algorithm in Algorithm::ALL {
            let markers = markers(&[&key(algorithm)]);
            for location in [
                BASE,
                "/v2/team/app/blobs/uploads/5b2c3d?",
                "/v2/team/app/blobs/uploads/5b2c3d?_state=x%2F&n=1",
                "https://gateway.example/v2/team/app/blobs/uploads/5b2c3d?_state=x",
                "/v2/team/app/blobs/uploads/another",
            ] {
                assert!(!is_marked(&markers, location), "{location}");
                let marked = mark(&markers, location).unwrap();
                assert!(marked.starts_with(location), "{marked}");
                assert!(is_marked(&markers, &marked), "{marked}");
            }
        }
    }

    #[test]
    fn relative_references_and_fragments_are_understood() {
        let markers = markers(&[&key(Algorithm::EdDsa)]);
        let marked = mark(&markers, BASE).unwrap();
        let query = &marked[BASE.len()..];
        assert_eq!(mark(&markers, "5b2c3d").unwrap(), format!("5b2c3d{query}"));
        assert_eq!(mark(&markers, "").unwrap(), query);
        assert_eq!(mark(&markers, "?_state=x").unwrap(), format!("?_state=x&{}", &query[1..]));
        assert_eq!(mark(&markers, &format!("{BASE}#end")).unwrap(), format!("{marked}#end"));
    }

    #[test]
    fn what_leads_to_no_session_of_ours_is_not_marked() {
        let markers = markers(&[&key(Algorithm::EdDsa)]);
        for location in [
            "https://other.example/v2/team/app/blobs/uploads/5b2c3d",
            "//gateway.example/v2/team/app/blobs/uploads/5b2c3d",
            "ftp://gateway.example/v2/team/app/blobs/uploads/5b2c3d",
            "https://gateway.example",
            "/v2/team/app/blobs/uploads/",
            "/v2/team/app/blobs/sha256:00",
            "/v2/team/app/../other/blobs/uploads/5b2c3d",
            "../uploads/5b2c3d",
            "/elsewhere",
        ] {
            assert_eq!(mark(&markers, location), None, "{location}");
        }
    }

    #[test]
    fn replicas_and_new_keys_accept_and_others_do_not() {
        let (old, new, foreign) = (key(Algorithm::Es256), key(Algorithm::EdDsa), key(Algorithm::Es256));
        let before = markers(&[&old]);
        let marked = mark(&before, BASE).unwrap();
        assert!(is_marked(&markers(&[&old]), &marked), "a replica");
        assert!(is_marked(&markers(&[&new, &old]), &marked), "after a rotation");
        assert!(!is_marked(&markers(&[&new]), &marked), "after the old key is gone");
        assert!(!is_marked(&markers(&[&foreign]), &marked));
        assert!(!is_marked(&before, &mark(&markers(&[&new, &old]), BASE).unwrap()), "only the first makes them");
    }

    #[test]
    fn a_marker_is_for_one_session_of_one_repository() {
        let markers = markers(&[&key(Algorithm::EdDsa)]);
        let marked = mark(&markers, BASE).unwrap();
        for (from, to) in [("5b2c3d", "5b2c3e"), ("5b2c3d", "5B2C3D"), ("team/app", "team/ap"), ("team/app", "team")] {
            assert!(!is_marked(&markers, &marked.replacen(from, to, 1)), "{to}");
        }
    }

    #[test]
    fn no_operation_but_of_a_session_is_marked() {
        let markers = markers(&[&key(Algorithm::EdDsa)]);
        let marker = mark(&markers, BASE).unwrap().split_once('?').unwrap().1.to_owned();
        let query = format!("{marker}&digest={DIGEST}");
        for (method, path) in [(Method::POST, "/v2/team/app/blobs/uploads/"), (Method::GET, "/v2/team/app/tags/list")] {
            assert!(!markers.is_marked(&Operation::parse(&method, path, Some(&query)).unwrap()));
        }
    }

    proptest! {
        #[test]
        fn no_marker_can_be_made_or_bent(
            guess in "[A-Za-z0-9_-]{0,64}",
            at in any::<prop::sample::Index>(),
            letter in "[A-Za-z0-9_=.-]",
        ) {
            let markers = markers(&[KEY]);
            let marked = mark(&markers, BASE).unwrap();
            let (head, marker) = marked.split_at(marked.find('=').unwrap() + 1);
            let accepts = |marker: &str| is_marked(&markers, &[head, marker].concat());
            prop_assert!(accepts(marker));
            prop_assert!(!accepts(&guess) || guess == marker);
            let at = at.index(marker.len());
            let mut bent = marker.to_owned();
            bent.replace_range(at..=at, &letter);
            prop_assert!(!accepts(&bent) || bent == marker);
            prop_assert!(!accepts(&marker[..at]));
            prop_assert!(!accepts(&[marker, &letter].concat()));
        }
    }

    /// A key for the properties, which would make a new one each time.
    const KEY: &str = include_str!("../../keys/fixtures/ed25519-pkcs8.pem");
}
