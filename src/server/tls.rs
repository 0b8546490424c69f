//! TLS towards clients: which certificate is shown to whom, whose client certificates are believed, and how both are changed while
//! connections live.
//!
//! Everything that a handshake needs is one value (rustls' configuration), made whole from files and swapped whole. Connections
//! keep what they began with. When a handshake takes place, and what is spoken afterwards, is not decided here.

mod error;
mod files;
mod names;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

pub use error::{Cause, TlsError};
pub use files::{CertificateFiles, LoadedCertificate, check_client_ca, load_certificate};

use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::metrics::{Expiry, Metrics, Usage};
use crate::watch::Watch;

/// The protocols of ALPN.
pub(crate) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// How often files that could not be used are tried again, beyond the times that they change.
const RETRY: Duration = Duration::from_secs(60);

/// What is shown to clients, and asked of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates with their keys; the first is for whoever names no host that another one is for. Never empty.
    pub certificates: Vec<CertificateFiles>,
    /// Who signs the certificates of clients; none: clients are asked for no certificate.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must have one.
    pub client_auth: ClientAuth,
    /// The oldest version that is spoken.
    pub min_version: Version,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They may.
    #[default]
    Optional,
    /// Without one, there is no connection.
    Required,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl TlsSettings {
    /// Every file that is read.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.certificates.iter().flat_map(|files| [&files.cert, &files.key]).chain(&self.client_ca)
    }
}

/// The TLS of a server, whose certificates can be exchanged.
#[derive(Debug)]
pub struct Tls {
    current: ArcSwap<ServerConfig>,
    settings: Mutex<TlsSettings>,
    watch: Watch,
    clock: Clock,
    metrics: Metrics,
}

/// A certificate that is shown, for those who watch over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its file.
    pub file: PathBuf,
    /// What it says.
    pub certificate: Certificate,
}

/// What was loaded, and is not in use yet.
#[derive(Debug)]
pub struct Prepared {
    settings: TlsSettings,
    config: ServerConfig,
    /// The certificates, in the order of the settings.
    pub shown: Vec<Shown>,
    /// The authorities that sign certificates of clients.
    pub authorities: Vec<Shown>,
}

impl Prepared {
    /// Reads and checks all files.
    pub fn load(settings: TlsSettings) -> Result<Self, TlsError> {
        let provider = provider();
        let mut keys = Vec::with_capacity(settings.certificates.len());
        let mut shown = Vec::with_capacity(settings.certificates.len());
        for files in &settings.certificates {
            let loaded = load_certificate(files)?;
            shown.push(Shown { file: files.cert.clone(), certificate: loaded.certificate.clone() });
            keys.push(loaded);
        }
        let versions: &[&SupportedProtocolVersion] = match settings.min_version {
            Version::Tls12 => &[&TLS13, &TLS12],
            Version::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(TlsError::Setup)?;
        let mut authorities = Vec::new();
        let builder = match &settings.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let (roots, certificates) = files::load_authorities(file)?;
                authorities =
                    certificates.into_iter().map(|certificate| Shown { file: file.clone(), certificate }).collect();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match settings.client_auth {
                    ClientAuth::Optional => verifier.allow_unauthenticated(),
                    ClientAuth::Required => verifier,
                };
                let verifier = verifier.build().map_err(|error| TlsError::authorities(file, &error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(names::ByName::new(keys)));
        // Sessions are resumed from tickets that only this configuration can read: a certificate of a client is not believed
        // longer than the authority behind it.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?;
        config.alpn_protocols =
            [HTTP2, HTTP1].iter().skip(usize::from(!settings.http2)).map(|it| it.to_vec()).collect();
        Ok(Self { settings, config, shown, authorities })
    }

    /// The first certificate whose time is over.
    fn expired(&self, now: u64) -> Option<TlsError> {
        let old = self.shown.iter().find(|shown| shown.certificate.is_expired(now))?;
        Some(TlsError::File { file: old.file.clone(), cause: Cause::Expired(old.certificate.not_after) })
    }
}

impl Tls {
    /// With what was loaded. The files are watched from before they were read on if `watch` was made before.
    pub fn new(prepared: Prepared, watch: Watch, clock: Clock, metrics: Metrics) -> Arc<Self> {
        watch.set(prepared.settings.files().cloned());
        tell(&prepared, &clock, &metrics);
        Arc::new(Self {
            current: ArcSwap::from_pointee(prepared.config),
            settings: Mutex::new(prepared.settings),
            watch,
            clock,
            metrics,
        })
    }

    /// For a handshake that begins now.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// What new connections see from now on.
    pub fn install(&self, prepared: Prepared) {
        self.watch.set(prepared.settings.files().cloned());
        tell(&prepared, &self.clock, &self.metrics);
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = prepared.settings;
        self.current.store(Arc::new(prepared.config));
    }

    /// Reads the files again. Where anything is wrong with them, what is in use stays. A certificate that has expired is wrong too:
    /// the one before cannot be worse.
    pub fn refresh(&self) -> Result<(), TlsError> {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let prepared = Prepared::load(settings)?;
        if let Some(error) = prepared.expired(self.clock.now()) {
            return Err(error);
        }
        self.install(prepared);
        Ok(())
    }

    /// Follows the files for as long as the future lives, looking at them every so often.
    pub async fn follow(self: Arc<Self>, every: Duration) {
        let mut failed: Option<String> = None;
        loop {
            let change = self.watch.changed(every);
            if failed.is_some() {
                // The reason may be gone without any change of a file.
                let _ = tokio::time::timeout(RETRY, change).await;
            } else {
                change.await;
            }
            let tls = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || tls.refresh()).await {
                Ok(Ok(())) => failed = None,
                Ok(Err(error)) => {
                    let error = error.to_string();
                    if failed.as_ref() != Some(&error) {
                        tracing::error!("{error}; the TLS certificates that were in use stay in use");
                    }
                    failed = Some(error);
                }
                Err(panic) => tracing::error!(%panic, "TLS certificates could not be read again"),
            }
        }
    }
}

/// What is to be said of certificates that are in use from now on.
fn tell(prepared: &Prepared, clock: &Clock, metrics: &Metrics) {
    let now = clock.now();
    for (usage, list) in [(Usage::Server, &prepared.shown), (Usage::ClientCa, &prepared.authorities)] {
        let expiry = |Shown { file, certificate }: &Shown| Expiry {
            usage,
            name: file.display().to_string(),
            at: certificate.not_after,
        };
        metrics.expiries(usage, list.iter().map(expiry));
    }
    for Shown { file, certificate } in &prepared.shown {
        let (path, names) = (file.display(), certificate.dns_names.join(", "));
        let until = error::date(certificate.not_after);
        if certificate.is_expired(now) {
            tracing::error!(%path, names, until, "a TLS certificate has expired: clients refuse it");
        } else if certificate.is_early(now) {
            tracing::warn!(%path, names, "a TLS certificate is not valid yet");
        } else {
            tracing::info!(%path, names, until, "TLS certificate");
        }
    }
}

/// The one provider of cryptography; a default for the process could be another's choice.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
