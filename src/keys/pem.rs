//! PEM text (RFC 7468) in and out. What the blocks mean is decided elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use zeroize::Zeroizing;

use super::KeyError;

/// The encoding of a private key, as the label of its block names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrivateForm {
    /// `PRIVATE KEY`.
    Pkcs8,
    /// `EC PRIVATE KEY`.
    Sec1,
    /// `RSA PRIVATE KEY`.
    Pkcs1,
}

/// What a key file holds.
pub(super) struct Sections {
    pub(super) form: PrivateForm,
    pub(super) private: Zeroizing<Vec<u8>>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Takes one private key and any certificates out of a text; blocks of other kinds are passed over.
pub(super) fn read(text: &str) -> Result<Sections, KeyError> {
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(KeyError::Encrypted);
    }
    let mut private = None;
    let mut certificates = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (kind, der) = section.map_err(|_| KeyError::Pem)?;
        let form = match kind {
            SectionKind::PrivateKey => PrivateForm::Pkcs8,
            SectionKind::EcPrivateKey => PrivateForm::Sec1,
            SectionKind::RsaPrivateKey => PrivateForm::Pkcs1,
            SectionKind::Certificate => {
                certificates.push(CertificateDer::from(der));
                continue;
            }
            _ => continue,
        };
        if private.replace((form, Zeroizing::new(der))).is_some() {
            return Err(KeyError::SeveralKeys);
        }
    }
    let (form, private) = private.ok_or(KeyError::NoKey)?;
    Ok(Sections { form, private, certificates })
}

/// One block, in lines of 64 characters, ending with a newline.
pub(super) fn block(label: &str, der: &[u8]) -> String {
    let mut text = Zeroizing::new(String::new());
    STANDARD.encode_string(der, &mut text);
    // Reserved in full: a buffer that grew would leave copies of a private key behind.
    let mut block = String::with_capacity(text.len() + text.len() / 64 + 2 * label.len() + 40);
    block.push_str("-----BEGIN ");
    block.push_str(label);
    block.push_str("-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        block.push_str(line);
        block.push('\n');
        rest = tail;
    }
    block.push_str("-----END ");
    block.push_str(label);
    block.push_str("-----\n");
    block
}
