//! Certificates beside signing keys: distribution 2.x and 3.x can take a token's key from a certificate bundle.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use webpki::EndEntityCert;

use super::{Algorithm, KeyError, KeyIdFormat, PublicKey};

/// Makes a self-signed certificate authority of the key. Its dates do not depend on the clock, so a wrong clock at the
/// first start cannot make a certificate that is refused later.
pub(super) fn self_signed(public: &PublicKey, pkcs8: &[u8]) -> Result<CertificateDer<'static>, KeyError> {
    let algorithm = match public.algorithm() {
        Algorithm::Es256 => &PKCS_ECDSA_P256_SHA256,
        Algorithm::EdDsa => &PKCS_ED25519,
        Algorithm::Rs256 => &PKCS_RSA_SHA256,
    };
    let failed = |error: rcgen::Error| KeyError::CertificateNotMade(error.to_string());
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), algorithm).map_err(failed)?;
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // The id keeps the names of several keys apart: verifiers look issuers up by name.
    name.push(DnType::CommonName, format!("Tidegate {}", public.kid(KeyIdFormat::Rfc7638)));
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok(params.self_signed(&pair).map_err(failed)?.der().clone())
}

/// Checks that the first certificate is one of this key. The others are its chain and are not looked at further: the
/// registry judges the chain, by its own bundle.
pub(super) fn check(public: &PublicKey, chain: &[CertificateDer<'static>]) -> Result<(), KeyError> {
    let Some(first) = chain.first() else { return Ok(()) };
    let certificate = EndEntityCert::try_from(first).map_err(|error| KeyError::Certificate(error.to_string()))?;
    if certificate.subject_public_key_info().as_ref() == public.spki() {
        Ok(())
    } else {
        Err(KeyError::CertificateOfAnotherKey)
    }
}
