//! Certificates, keys and authorities, from their files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::Zeroizing;

use super::error::{Cause, TlsError};
use crate::certificate::Certificate;

/// No file of a certificate or a key is longer than this; a system's whole list of authorities fits.
const MAX_FILE: u64 = 4 << 20;

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those between it and the root, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM; may be the same file.
    pub key: PathBuf,
}

/// A certificate that can be shown.
#[derive(Clone, Debug)]
pub struct LoadedCertificate {
    /// With its key.
    pub(super) key: Arc<CertifiedKey>,
    /// What it says.
    pub certificate: Certificate,
}

/// Reads a certificate and its key, and holds them against one another.
pub fn load_certificate(files: &CertificateFiles) -> Result<LoadedCertificate, TlsError> {
    let CertificateFiles { cert, key } = files;
    let chain = certificates(cert)?;
    let first = chain.first().ok_or_else(|| TlsError::file(cert, Cause::NoCertificate))?;
    let certificate = Certificate::parse(first).map_err(|_| TlsError::file(cert, Cause::BadCertificate))?;
    let private = private_key(key)?;
    let key = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { cert: cert.clone(), key: key.clone() }
        }
        rustls::Error::InvalidCertificate(_) => TlsError::file(cert, Cause::BadCertificate),
        _ => TlsError::file(key, Cause::BadKey),
    })?;
    Ok(LoadedCertificate { key: Arc::new(key), certificate })
}

/// Checks a file of authorities for client certificates.
pub fn check_client_ca(file: &Path) -> Result<(), TlsError> {
    load_authorities(file).map(|_| ())
}

/// The authorities in a file, and what their certificates say.
pub(super) fn load_authorities(file: &Path) -> Result<(RootCertStore, Vec<Certificate>), TlsError> {
    let mut roots = RootCertStore::empty();
    let mut read = Vec::new();
    for der in certificates(file)? {
        read.push(Certificate::parse(&der).map_err(|_| TlsError::file(file, Cause::BadCertificate))?);
        roots.add(der).map_err(|error| TlsError::authorities(file, &error.to_string()))?;
    }
    if read.is_empty() {
        return Err(TlsError::authorities(file, "there is no certificate"));
    }
    Ok((roots, read))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::file(file, Cause::NoPem))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(file)?;
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::file(file, Cause::Encrypted));
    }
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (kind, der) = section.map_err(|_| TlsError::file(file, Cause::NoPem))?;
        match kind {
            SectionKind::PrivateKey => return Ok(PrivatePkcs8KeyDer::from(der).into()),
            SectionKind::EcPrivateKey => return Ok(PrivateSec1KeyDer::from(der).into()),
            SectionKind::RsaPrivateKey => return Ok(PrivatePkcs1KeyDer::from(der).into()),
            _ => {}
        }
    }
    Err(TlsError::file(file, Cause::NoKey))
}

fn read(path: &Path) -> Result<Zeroizing<String>, TlsError> {
    let unreadable = |error| TlsError::file(path, Cause::Unreadable(error));
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length > MAX_FILE {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, "it is too long")));
    }
    // With room for all of it: a buffer that grew would leave copies of a private key behind.
    let room = usize::try_from(length).unwrap_or_default() + 1;
    let mut text = Zeroizing::new(String::with_capacity(room));
    match file.take(MAX_FILE).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(TlsError::file(path, Cause::NoPem)),
        Err(error) => Err(unreadable(error)),
    }
}
