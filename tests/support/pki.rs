//! A certificate authority and what it issues.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

/// An authority, with a folder for its files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

/// What is in a certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// The common name.
    pub(crate) common_name: &'a str,
    /// DNS names.
    pub(crate) dns: &'a [&'a str],
    /// A URI.
    pub(crate) uri: Option<&'a str>,
    /// An e-mail address.
    pub(crate) email: Option<&'a str>,
    /// Whether its time is over.
    pub(crate) expired: bool,
}

/// A certificate and its key.
pub(crate) struct Issued {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: KeyPair,
    pem: String,
}

impl Issued {
    /// The key as rustls takes it.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    /// Writes `tls.crt` and `tls.key` into a folder, the certificate first.
    pub(crate) fn write(&self, dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        self.write_certificate(dir);
        let key = dir.join("tls.key");
        fs::write(&key, self.key.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes `tls.crt` alone.
    pub(crate) fn write_certificate(&self, dir: &Path) {
        fs::write(dir.join("tls.crt"), &self.pem).unwrap();
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.crt"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    /// The folder of its files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The file of its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// Its own certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Its own certificate as text.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn issue(&self, wanted: &Wanted<'_>) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if !wanted.common_name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, wanted.common_name);
        }
        let dns = wanted.dns.iter().map(|&name| SanType::DnsName(name.try_into().unwrap()));
        let uri = wanted.uri.map(|uri| SanType::URI(uri.try_into().unwrap()));
        let email = wanted.email.map(|email| SanType::Rfc822Name(email.try_into().unwrap()));
        params.subject_alt_names = dns.chain(uri).chain(email).collect();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(if wanted.expired { 2021 } else { 2100 }, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { certificate: certificate.der().clone(), pem: certificate.pem(), key }
    }

    /// A server's certificate, in the folder `name`.
    pub(crate) fn serve(&self, name: &str, dns: &[&str]) -> PathBuf {
        let dir = self.dir.path().join(name);
        self.issue(&Wanted { dns, ..Wanted::default() }).write(&dir);
        dir
    }

    /// A client's certificate.
    pub(crate) fn client(&self, common_name: &str) -> Issued {
        self.issue(&Wanted { common_name, ..Wanted::default() })
    }
}
