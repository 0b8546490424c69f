//! Which certificate a client is shown: by the name that it asks for (RFC 6066, section 3) and the signatures that it can check.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::files::LoadedCertificate;

/// Certificates by the DNS names that they are for.
#[derive(Debug)]
pub(super) struct ByName {
    /// In the order of the configuration.
    all: Vec<Arc<CertifiedKey>>,
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// Those for `*.name`, by `name`.
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
}

impl ByName {
    pub(super) fn new(certificates: Vec<LoadedCertificate>) -> Self {
        let mut names = Self { all: Vec::new(), exact: HashMap::new(), wildcard: HashMap::new() };
        for LoadedCertificate { key, certificate } in certificates {
            for name in &certificate.dns_names {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut names.wildcard, parent),
                    None => (&mut names.exact, name.as_str()),
                };
                map.entry(name.into()).or_default().push(Arc::clone(&key));
            }
            names.all.push(key);
        }
        names
    }

    /// The certificate for a name, or else the first, of those that the client can check. Where it can check none, the handshake fails
    /// in a way that says so.
    pub(super) fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let exact = name.as_deref().and_then(|name| self.exact.get(name));
        // A wildcard stands for one label (RFC 6125, section 6.4.3).
        let parent = name.as_deref().and_then(|name| name.split_once('.')).map(|(_, parent)| parent);
        let wildcard = parent.and_then(|parent| self.wildcard.get(parent));
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let named = exact.into_iter().chain(wildcard).flatten().find(usable);
        named.or_else(|| self.all.iter().find(usable)).or(self.all.first()).cloned()
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes())
    }
}
