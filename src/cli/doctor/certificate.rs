//! The gateway's own TLS: which certificate a listener shows, and what clients make of it.
//!
//! The doctor believes a listener that shows a certificate of the configuration and proves to have its key; whoever signed it. Whether
//! clients believe it is a finding.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::finding::{Finding, shown};
use crate::certificate::Certificate;
use crate::config;
use crate::server::Tls;

/// What one listener shows to who asks for one name.
#[derive(Debug)]
pub(super) struct Own {
    name: ServerName<'static>,
    provider: Arc<CryptoProvider>,
    /// The certificates of the configuration.
    ours: Vec<CertificateDer<'static>>,
    /// What was shown: a certificate, and those behind it.
    seen: Mutex<Option<(CertificateDer<'static>, Vec<CertificateDer<'static>>)>>,
}

impl Own {
    /// Reads the certificates of the configuration; `host` is whom clients ask for.
    pub(super) fn read(tls: &config::Tls, host: &str) -> Result<Arc<Self>, Finding> {
        let failed = |seen: String| {
            Finding::error("no-certificate", seen, "run the doctor as the gateway's own user, on its host")
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(format!("{} is no name that a certificate can be for", shown(host))))?;
        let mut ours = Vec::new();
        for files in &tls.certificates {
            let read = CertificateDer::from_pem_file(&files.cert);
            ours.push(read.map_err(|error| failed(format!("{} cannot be read: {error}", files.cert.display())))?);
        }
        Ok(Arc::new(Self { name, provider: Arc::new(aws_lc_rs::default_provider()), ours, seen: Mutex::default() }))
    }

    /// How connections to the listener speak TLS.
    pub(super) fn tls(self: &Arc<Self>) -> Result<Arc<Tls>, Finding> {
        let failed = |error: Error| Finding::error("no-certificate", format!("TLS cannot be set up: {error}"), "");
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let config = builder
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(self) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok(Arc::new(Tls::with(config, self.name.clone())))
    }

    /// What is to be said of what was shown.
    pub(super) fn findings(&self, now: u64) -> Vec<Finding> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((shown, rest)) = &*seen else { return Vec::new() };
        if !self.ours.contains(shown) {
            return vec![Finding::error(
                "other-certificate",
                "it shows another certificate than those of this configuration",
                "the gateway's log says why it did not take a new one; if it is another process that listens there, end that",
            )];
        }
        let Ok(certificate) = Certificate::parse(shown) else { return Vec::new() };
        let mut findings = Vec::new();
        let mut wrong = |code, seen, mend: &str| findings.push(Finding::error(code, seen, mend));
        if certificate.is_expired(now) {
            wrong(
                "certificate-time",
                format!("its certificate has expired on {}", date(certificate.not_after)),
                "renew it",
            );
        } else if certificate.is_early(now) {
            wrong(
                "certificate-time",
                format!("its certificate is good from {} on", date(certificate.not_before)),
                "wait until then, or set the clock of this host",
            );
        }
        let host = self.name.to_str();
        let fits = ParsedCertificate::try_from(shown).and_then(|parsed| verify_server_name(&parsed, &self.name));
        if fits.is_err() {
            let names = certificate.names().collect::<Vec<_>>().join(", ");
            let whose = if names.is_empty() { "nobody by name".to_owned() } else { super::finding::shown(&names) };
            let seen = format!("its certificate is for {whose}, and clients ask for {host}");
            wrong("certificate-name", seen, "have one issued that names the host of `public_url`");
        }
        if findings.is_empty() {
            let until = date(certificate.not_after);
            findings.push(match self.trusted(shown, rest, now) {
                Ok(()) => Finding::ok("certificate", format!("its certificate is trusted here, until {until}")),
                Err(why) => Finding::note(
                    "certificate-untrusted",
                    format!(
                        "its certificate (until {until}) is of no authority that this system trusts ({why}): clients have to be told \
                         of one, docker in /etc/docker/certs.d/{host}/ca.crt (with the port, where that is not 443)"
                    ),
                ),
            });
        }
        findings
    }

    /// Whether a client with this system's authorities believes it.
    fn trusted(&self, shown: &CertificateDer<'_>, rest: &[CertificateDer<'_>], now: u64) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("it trusts none".to_owned());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider));
        let verifier = verifier.build().map_err(|error| error.to_string())?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
        match verifier.verify_server_cert(shown, rest, &self.name, &[], now) {
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                Err("the one that signed it, or one between, is not known".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let rest = intermediates.iter().map(|one| one.clone().into_owned()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((end_entity.clone().into_owned(), rest));
        if self.ours.contains(end_entity) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn date(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}
