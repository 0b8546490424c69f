//! TLS towards an upstream: whom it must prove to be, and what it is shown of us.
//!
//! The certificate is always verified. Files are read at the start, and again when somebody who watches them says so; what is wrong
//! with a new one leaves the old one in place.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::settings::{IdentityFiles, TlsSettings};
use crate::certificate::Certificate;
use crate::metrics::{Expiry, UpstreamMetrics, Usage};
use crate::watch::Watch;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Why TLS cannot be spoken with an upstream. Each names the file, and none holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamTlsError {
    /// A file that cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is no PEM.
    #[error("{} is no PEM file", .0.display())]
    Pem(PathBuf),
    /// A file without a certificate.
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate that cannot stand for a CA.
    #[error("{} holds a certificate that is none of a CA: {why}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: rustls::Error,
    },
    /// A file without a private key.
    #[error("{} holds no private key that can be used without a passphrase", .0.display())]
    NoKey(PathBuf),
    /// Certificate and key that do not belong together, or cannot be used.
    #[error("{} and {} cannot be used together: {why}", cert.display(), key.display())]
    Identity {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong with them.
        why: rustls::Error,
    },
    /// A name that no certificate can be good for.
    #[error("\"{0}\" is no name that a certificate can be good for")]
    ServerName(String),
    /// The system trusts nobody.
    #[error(
        "this system has no CA certificates (install ca-certificates, or set SSL_CERT_FILE), and `tls.ca` is not set"
    )]
    NoSystemCas,
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Library(rustls::Error),
}

impl TlsSettings {
    /// Reads the files, and says what is wrong with them.
    pub fn check(&self) -> Result<(), UpstreamTlsError> {
        Tls::load(self, false).map(drop)
    }
}

/// What connections to one upstream need to know for TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: TlsSettings,
    server_name: Option<ServerName<'static>>,
    alpn: &'static [&'static [u8]],
    config: ArcSwap<ClientConfig>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(settings: &TlsSettings, http2: bool) -> Result<Self, UpstreamTlsError> {
        let server_name = settings.server_name.as_deref().map(server_name).transpose()?;
        let alpn: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        let config = ArcSwap::from_pointee(read(settings, alpn)?);
        Ok(Self { settings: settings.clone(), server_name, alpn, config })
    }

    /// With a configuration of the caller's own, for a peer of this name; no files are read.
    pub(crate) fn with(mut config: ClientConfig, name: ServerName<'static>) -> Self {
        let alpn: &[&[u8]] = &[b"http/1.1"];
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let config = ArcSwap::from_pointee(config);
        Self { settings: TlsSettings::default(), server_name: Some(name), alpn, config }
    }

    /// Reads the files again. Connections that are open stay as they are.
    pub(crate) fn reload(&self) -> Result<(), UpstreamTlsError> {
        self.config.store(Arc::new(read(&self.settings, self.alpn)?));
        Ok(())
    }

    /// When the certificates in its files end.
    fn expiries(&self) -> Vec<Expiry> {
        let TlsSettings { ca, identity, .. } = &self.settings;
        let cert = identity.as_ref().map(|identity| (Usage::UpstreamClient, &identity.cert));
        let files = ca.as_ref().map(|ca| (Usage::UpstreamCa, ca)).into_iter().chain(cert);
        let of_file = |(usage, path): (Usage, &PathBuf)| {
            let read = certificates(path).unwrap_or_default();
            let parsed = read.iter().filter_map(|der| Certificate::parse(der).ok()).collect::<Vec<_>>();
            let name = path.display().to_string();
            parsed.into_iter().map(move |certificate| Expiry { usage, name: name.clone(), at: certificate.not_after })
        };
        files.flat_map(of_file).collect()
    }

    /// The files that it reads.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let TlsSettings { ca, identity, .. } = &self.settings;
        let identity = identity.as_ref().map(|IdentityFiles { cert, key }| [cert.as_path(), key.as_path()]);
        ca.as_deref().into_iter().chain(identity.into_iter().flatten())
    }

    /// How new connections speak TLS.
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        self.config.load_full()
    }

    /// The name that a peer called `host` has to prove.
    pub(super) fn server_name(&self, host: &str) -> Result<ServerName<'static>, UpstreamTlsError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => server_name(host),
        }
    }
}

/// Reads the files again whenever one of them changes, and says when the certificates in them end.
pub(super) async fn keep_fresh(tls: Arc<Tls>, name: Arc<str>, metrics: UpstreamMetrics) {
    let watch = Watch::new(tls.files().map(Path::to_owned));
    loop {
        // They were read before they were watched: the first time counts as a change.
        let fresh = Arc::clone(&tls);
        match tokio::task::spawn_blocking(move || fresh.reload().map(|()| fresh.expiries())).await {
            Ok(Ok(expiries)) => {
                tracing::debug!(upstream = &*name, "has read the files of its `tls`");
                metrics.expiries(expiries);
            }
            Ok(Err(error)) => tracing::error!(upstream = &*name, "keeps the files of its `tls` as they were: {error}"),
            // A panic there is a defect, and no change.
            Err(_) => {}
        }
        watch.changed(LOOK).await;
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, UpstreamTlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| UpstreamTlsError::ServerName(name.to_owned()))
}

fn read(settings: &TlsSettings, alpn: &[&[u8]]) -> Result<ClientConfig, UpstreamTlsError> {
    // Named here: another dependency may have chosen another provider for the process.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(UpstreamTlsError::Library)?
        .with_root_certificates(roots(settings.ca.as_deref())?);
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some(IdentityFiles { cert, key }) => {
            let chain = certificates(cert)?;
            let private = private_key(key)?;
            let unfit = |why| UpstreamTlsError::Identity { cert: cert.clone(), key: key.clone(), why };
            builder.with_client_auth_cert(chain, private).map_err(unfit)?
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, UpstreamTlsError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        // Of what a system trusts some may be of a kind that is not known here; those are left out.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(UpstreamTlsError::NoSystemCas) } else { Ok(roots) };
    };
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|why| UpstreamTlsError::Ca { path: path.to_owned(), why })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, UpstreamTlsError> {
    let text = file(path)?;
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let list = list.map_err(|_| UpstreamTlsError::Pem(path.to_owned()))?;
    if list.is_empty() { Err(UpstreamTlsError::NoCertificate(path.to_owned())) } else { Ok(list) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, UpstreamTlsError> {
    let text = zeroize::Zeroizing::new(file(path)?);
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => UpstreamTlsError::NoKey(path.to_owned()),
        _ => UpstreamTlsError::Pem(path.to_owned()),
    })
}

fn file(path: &Path) -> Result<Vec<u8>, UpstreamTlsError> {
    std::fs::read(path).map_err(|source| UpstreamTlsError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::{IdentityFiles, Tls, TlsSettings, UpstreamTlsError};

    /// A directory with a certificate, its key, another key, and files that are neither.
    fn files() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(["gateway".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
        for (name, text) in [
            ("cert", own.cert.pem()),
            ("key", own.signing_key.serialize_pem()),
            ("other-key", other.signing_key.serialize_pem()),
            ("empty", String::new()),
            ("broken", own.cert.pem().replace("-----END", "----END")),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let path = dir.path().to_owned();
        (dir, move |name: &str| path.join(name))
    }

    fn with_ca(ca: PathBuf) -> TlsSettings {
        TlsSettings { ca: Some(ca), ..TlsSettings::default() }
    }

    fn with_identity(path: impl Fn(&str) -> PathBuf, cert: &str, key: &str) -> TlsSettings {
        let identity = Some(IdentityFiles { cert: path(cert), key: path(key) });
        TlsSettings { ca: Some(path("cert")), identity, server_name: None }
    }

    #[test]
    fn each_file_is_named_when_it_will_not_do() {
        let (_dir, path) = files();
        let failed = |settings: &TlsSettings| Tls::load(settings, false).unwrap_err();
        assert!(matches!(failed(&with_ca(path("none"))), UpstreamTlsError::Unreadable { .. }));
        assert!(matches!(failed(&with_ca(path("empty"))), UpstreamTlsError::NoCertificate(_)));
        assert!(matches!(failed(&with_ca(path("key"))), UpstreamTlsError::NoCertificate(_)));
        assert!(matches!(failed(&with_ca(path("broken"))), UpstreamTlsError::Pem(_)));
        assert!(matches!(failed(&with_identity(&path, "cert", "cert")), UpstreamTlsError::NoKey(_)));
        let mixed = failed(&with_identity(&path, "cert", "other-key"));
        assert!(matches!(mixed, UpstreamTlsError::Identity { .. }), "{mixed}");
        assert!(mixed.to_string().contains("other-key"), "{mixed}");
        let name = TlsSettings { server_name: Some("a b".into()), ..with_ca(path("cert")) };
        assert!(matches!(failed(&name), UpstreamTlsError::ServerName(_)));
        assert!(Tls::load(&with_identity(&path, "cert", "key"), true).is_ok());
    }

    #[test]
    fn a_broken_file_leaves_the_old_one_in_place() {
        let (_dir, path) = files();
        let tls = Tls::load(&with_identity(&path, "cert", "key"), false).unwrap();
        assert_eq!(tls.files().count(), 3);
        let before = tls.config();
        std::fs::write(path("cert"), "nonsense").unwrap();
        assert!(tls.reload().is_err());
        assert!(Arc::ptr_eq(&before, &tls.config()));
        let new = rcgen::generate_simple_self_signed(["new".to_owned()]).unwrap();
        std::fs::write(path("cert"), new.cert.pem()).unwrap();
        assert!(tls.reload().is_err(), "the key has not come yet");
        std::fs::write(path("key"), new.signing_key.serialize_pem()).unwrap();
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&before, &tls.config()));
    }
}
