//! `server.tls`: certificates, and who signs those of clients.
//!
//! How the values are written is checked always, what is in the files only by `tidegate check`: the gateway itself reads them when it
//! starts, and says the same of them.

use std::path::PathBuf;

use http::uri::Scheme;

use super::item::Item;
use super::listen::Listener;
use super::reader::{Reader, Section, Title};
use super::server::Server;
use super::source::Span;
use super::users::Member;
use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::server::listener::Address;
use crate::server::tls::{CertificateFiles, ClientAuth, TlsError, Version, check_client_ca, load_certificate};

/// `server.tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificates with their keys; the first is the default. Never empty.
    pub certificates: Vec<CertificateFiles>,
    /// Who signs the certificates of clients; none: clients are asked for no certificate.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must have one (default: it may).
    pub client_auth: ClientAuth,
    /// The oldest version that is spoken (default 1.2).
    pub min_version: Version,
}

impl Tls {
    /// Whether clients are asked for a certificate, and must have one.
    pub(super) fn client_auth(&self) -> Option<ClientAuth> {
        self.client_ca.as_ref().map(|_| self.client_auth)
    }
}

/// Files of TLS and where they are named, for `check`.
#[derive(Clone, Debug)]
pub(super) enum NamedFile {
    Certificate { files: CertificateFiles, cert: Span, key: Span },
    ClientCa { file: PathBuf, at: Span },
}

/// Reads the table, or the list of tables.
pub(super) fn tls(item: &Item<'_>) -> Option<Tls> {
    let mut tls = Tls {
        certificates: Vec::new(),
        client_ca: None,
        client_auth: ClientAuth::default(),
        min_version: Version::default(),
    };
    let mut complete = true;
    for (index, item) in item.nonempty_list()?.into_iter().enumerate() {
        let Some(mut section) = item.section(Title::Key("tls")) else {
            complete = false;
            continue;
        };
        match certificate(&mut section) {
            Some(files) if tls.certificates.contains(&files) => {
                section.reader.error("duplicate", section.header, "this certificate is listed twice", "");
            }
            Some(files) => tls.certificates.push(files),
            None => complete = false,
        }
        if index == 0 {
            clients(&mut section, &mut tls);
        } else {
            only_in_the_first(&mut section);
        }
        section.finish();
    }
    complete.then_some(tls).filter(|tls| !tls.certificates.is_empty())
}

fn certificate(section: &mut Section<'_>) -> Option<CertificateFiles> {
    let cert = section.require("cert", "\"tls.crt\"").and_then(|item| Some((item.path()?, item.span)));
    let key = section.require("key", "\"tls.key\"").and_then(|item| Some((item.path()?, item.span)));
    let ((cert, cert_span), (key, key_span)) = (cert?, key?);
    let files = CertificateFiles { cert, key };
    section.reader.note_tls_file(NamedFile::Certificate { files: files.clone(), cert: cert_span, key: key_span });
    Some(files)
}

fn clients(section: &mut Section<'_>, tls: &mut Tls) {
    if let Some(item) = section.take("client_ca") {
        tls.client_ca = item.path();
        if let Some(file) = &tls.client_ca {
            section.reader.note_tls_file(NamedFile::ClientCa { file: file.clone(), at: item.span });
        }
    }
    if let Some(item) = section.take("client_auth") {
        let words = [("optional", ClientAuth::Optional), ("required", ClientAuth::Required)];
        tls.client_auth = item.word(&words).unwrap_or_default();
        if tls.client_ca.is_none() {
            let hint = "add `client_ca = \"ca.crt\"`, the authorities that sign for clients";
            item.reader.error("missing-key", item.key, "`client_auth` needs the key `client_ca`", hint);
        }
    }
    let versions = [("1.2", Version::Tls12), ("1.3", Version::Tls13)];
    tls.min_version = section.take("min_version").and_then(|item| item.word(&versions)).unwrap_or_default();
}

/// What is asked of clients is asked before it is known which name they want, or could be passed by with another name.
fn only_in_the_first(section: &mut Section<'_>) {
    for key in ["client_ca", "client_auth", "min_version"] {
        if let Some(item) = section.take(key) {
            let message = format!("`{key}` holds for all certificates, and stands with the first");
            item.reader.error("wrong-place", item.key, message, "move it to the first table of `tls`");
        }
    }
}

/// Whether a listener speaks TLS.
pub(super) fn is_spoken(listener: &Listener, tls: Option<&Tls>) -> bool {
    // What systemd passes on is mostly TCP.
    tls.is_some() && listener.tls.unwrap_or(!matches!(listener.address, Address::Unix { .. }))
}

/// Reads what was named, and says what is wrong with it.
pub(super) fn check_files(reader: &Reader<'_>) {
    for named in reader.tls_files() {
        match named {
            NamedFile::Certificate { files, cert, key } => {
                if files.key.exists() {
                    reader.note_secret_file(&files.key, key);
                }
                match load_certificate(&files) {
                    Ok(loaded) => judge(reader, cert, &loaded.certificate),
                    Err(error) => {
                        let is_key = matches!(&error, TlsError::Mismatch { .. }) || error.path() == Some(&files.key);
                        let at = if is_key && files.key != files.cert { key } else { cert };
                        reader.error("tls-file", at, error.to_string(), error.hint());
                    }
                }
            }
            NamedFile::ClientCa { file, at } => {
                if let Err(error) = check_client_ca(&file) {
                    reader.error("tls-file", at, error.to_string(), error.hint());
                }
            }
        }
    }
}

/// Warns of what clients would not accept.
fn judge(reader: &Reader<'_>, at: Span, certificate: &Certificate) {
    let now = Clock::System.now();
    if certificate.is_expired(now) {
        reader.warn("expired-certificate", at, "this certificate has expired: clients refuse it", "renew it");
    } else if certificate.is_early(now) {
        reader.warn("early-certificate", at, "this certificate is not valid yet", "see that the clock is right");
    }
    if certificate.dns_names.is_empty() && !certificate.other_names {
        let message =
            "this certificate has no subject alternative name: clients refuse it, whatever its common name is";
        reader.warn("nameless-certificate", at, message, "have it issued with the DNS names that clients use");
    }
}

/// Warns of certificates that are asked for in vain, or not asked for.
pub(super) fn lint_members(
    reader: &Reader<'_>,
    client_auth: Option<ClientAuth>,
    members: &[Member],
    [authn, server]: [Span; 2],
) {
    let takes = members.iter().any(|member| matches!(member, Member::ClientCertificate { .. }));
    match client_auth {
        None if takes => {
            let hint = "name the authorities that sign for clients: `client_ca` in `server.tls`";
            reader.warn("dead-member", authn, "nobody is asked for a certificate, so nobody comes with one", hint);
        }
        // Required ones keep others away, whatever they say.
        Some(ClientAuth::Optional) if !takes => {
            let message = "clients are asked for certificates, and no [[authn]] takes them";
            reader.warn("unused-tls", server, message, "add an [[authn]] with `kind = \"client-certificate\"`");
        }
        _ => {}
    }
}

/// Warns where TLS and the public URLs contradict one another.
pub(super) fn lint(server: &Server, reader: &Reader<'_>, at: Span) {
    let spoken = server.listen.iter().any(|listener| is_spoken(listener, server.tls.as_ref()));
    if !spoken {
        let hint = "take `tls = false` away from a listener, or leave `tls` out";
        reader.warn("unused-tls", at, "no listener speaks TLS", hint);
    } else if !server.public_urls.iter().any(|url| url.scheme == Scheme::HTTPS) {
        let hint = "name what clients call the gateway: https://…";
        reader.warn("plain-public-url", at, "TLS is spoken, and no public_url is https", hint);
    }
}
