//! The private half: parsing, generation and signatures.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hkdf, hmac};
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use zeroize::Zeroizing;

use super::es256::Holder;
use super::pem::{self, PrivateForm};
use super::{Algorithm, KeyIdFormat, PublicKey, certificate};
use crate::secret::Secret;

/// Why a text holds no usable signing key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Broken PEM.
    #[error("the file is not valid PEM")]
    Pem,
    /// No private key block.
    #[error("no private key found; a PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY block is needed")]
    NoKey,
    /// More than one private key.
    #[error("several private keys found; a file holds one key, and `token.keys` lists several files")]
    SeveralKeys,
    /// An encrypted key.
    #[error("the private key is encrypted; store it unencrypted with mode 0600 (openssl pkcs8 -topk8 -nocrypt)")]
    Encrypted,
    /// A PKCS#8 key of another type.
    #[error("the private key is of an unknown type; use EC P-256 (ES256), Ed25519 (EdDSA) or RSA (RS256)")]
    UnknownType,
    /// Not a P-256 key.
    #[error("the EC key cannot be used ({0}); it must be on the curve P-256")]
    Ec(String),
    /// Not an Ed25519 key.
    #[error("the Ed25519 key cannot be used ({0})")]
    Ed25519(String),
    /// Not a fit RSA key.
    #[error("the RSA key cannot be used ({0}); it must have 2048 to 8192 bits")]
    Rsa(String),
    /// The public half cannot be read.
    #[error("the public key cannot be used")]
    PublicKey,
    /// The key does not verify what it signs.
    #[error("the key does not verify its own signature; its public and private halves do not belong together")]
    Unfit,
    /// A certificate that cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// A certificate of some other key.
    #[error("the first certificate of the file belongs to another key")]
    CertificateOfAnotherKey,
    /// A certificate could not be made.
    #[error("no certificate could be made for the key: {0}")]
    CertificateNotMade(String),
    /// The library could not make or write the key.
    #[error("the cryptographic library could not make or encode a key")]
    Library,
}

/// The library did not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library could not sign")]
pub struct SigningFailed;

/// A private key, parsed once, with its public half and the certificates of its file. `Debug` shows nothing private.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
    certificates: Vec<CertificateDer<'static>>,
}

enum Pair {
    Es256(EcdsaKeyPair, Holder),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl SigningKey {
    /// Makes a key and a self-signed certificate of it. RSA keys have 2048 bits.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let library = |_| KeyError::Library;
        let pair = match algorithm {
            Algorithm::Es256 => es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(library)?)?,
            Algorithm::EdDsa => Pair::EdDsa(Ed25519KeyPair::generate().map_err(library)?),
            Algorithm::Rs256 => Pair::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).map_err(library)?),
        };
        let mut key = Self::from_pair(pair, Vec::new())?;
        key.certificates = vec![key.make_certificate()?];
        Ok(key)
    }

    /// Reads a PEM text: one private key (PKCS#8, SEC1 or PKCS#1) and, if there is one, its certificate chain, leaf
    /// first. The key has signed and verified once before it is returned.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let sections = pem::read(text)?;
        let der = sections.private.as_slice();
        let pair = match sections.form {
            PrivateForm::Pkcs8 => match algorithm_of_pkcs8(der).ok_or(KeyError::UnknownType)? {
                Algorithm::Es256 => ec(der)?,
                Algorithm::EdDsa => {
                    Pair::EdDsa(Ed25519KeyPair::from_pkcs8(der).map_err(|error| KeyError::Ed25519(error.to_string()))?)
                }
                Algorithm::Rs256 => Pair::Rs256(RsaKeyPair::from_pkcs8(der).map_err(rsa)?),
            },
            PrivateForm::Sec1 => ec(der)?,
            PrivateForm::Pkcs1 => Pair::Rs256(RsaKeyPair::from_der(der).map_err(rsa)?),
        };
        Self::from_pair(pair, sections.certificates)
    }

    fn from_pair(pair: Pair, certificates: Vec<CertificateDer<'static>>) -> Result<Self, KeyError> {
        let public = match &pair {
            Pair::Es256(pair, _) => PublicKey::from_native(Algorithm::Es256, pair.public_key().as_ref()),
            Pair::EdDsa(pair) => PublicKey::from_native(Algorithm::EdDsa, pair.public_key().as_ref()),
            Pair::Rs256(pair) => PublicKey::from_native(Algorithm::Rs256, pair.public_key().as_ref()),
        }?;
        certificate::check(&public, &certificates)?;
        let key = Self { pair, public, certificates };
        // A parsed key is not yet a working one: the halves of an RSA or EC key are stored side by side.
        let message = b"tidegate key check";
        let signature = key.sign(message).map_err(|SigningFailed| KeyError::Unfit)?;
        let fit = key.public.verifies(message, &signature) && key.verifies(message, &signature);
        if fit { Ok(key) } else { Err(KeyError::Unfit) }
    }

    /// The key in PKCS#8 and its certificates, as one PEM text that [`SigningKey::from_pem`] reads.
    pub fn to_pem(&self) -> Result<Secret, KeyError> {
        let private = Zeroizing::new(pem::block("PRIVATE KEY", &self.pkcs8()?));
        let chain: String = self.certificates.iter().map(|der| pem::block("CERTIFICATE", der)).collect();
        let mut text = String::with_capacity(private.len() + chain.len());
        text.push_str(&private);
        text.push_str(&chain);
        Ok(Secret::new(text))
    }

    /// The algorithm of every signature by this key.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// The key's id.
    pub fn kid(&self, format: KeyIdFormat) -> String {
        self.public.kid(format)
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public half as a JWK with `alg` and `use`, without `kid`.
    pub fn jwk(&self) -> Value {
        self.public.jwk()
    }

    /// The public half as a `PUBLIC KEY` PEM block: what Pulp's `PUBLIC_KEY_PATH` takes.
    pub fn public_pem(&self) -> String {
        self.public.pem()
    }

    /// The certificates of the key's file, leaf first; empty when it has none.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The key's certificate: that of its file, or else a self-signed one made now.
    pub fn certificate_der(&self) -> Result<CertificateDer<'static>, KeyError> {
        match self.certificates.first() {
            Some(certificate) => Ok(certificate.clone()),
            None => self.make_certificate(),
        }
    }

    /// [`SigningKey::certificate_der`] as a PEM block: what distribution's `rootcertbundle` takes.
    pub fn certificate_pem(&self) -> Result<String, KeyError> {
        Ok(pem::block("CERTIFICATE", &self.certificate_der()?))
    }

    /// Signs as JWS wants it: ES256 as 64 bytes, not as ASN.1.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Es256(pair, _) => Ok(pair.sign(&random, message).map_err(|_| SigningFailed)?.as_ref().to_vec()),
            Pair::EdDsa(pair) => Ok(pair.try_sign(message).map_err(|_| SigningFailed)?.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| SigningFailed)?;
                Ok(signature)
            }
        }
    }

    /// What [`PublicKey::verifies`] says of the public half, in less than half the time for ES256.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.pair {
            Pair::Es256(_, holder) => holder.verifies(message, signature),
            Pair::EdDsa(_) | Pair::Rs256(_) => self.public.verifies(message, signature),
        }
    }

    /// A secret that follows from the private half (HKDF, RFC 5869), to authenticate what is not a token. Whoever has the key has it
    /// too; of each `purpose` it tells nothing about those of others, nor about the key.
    pub fn derive(&self, purpose: &[u8]) -> Result<hmac::Key, KeyError> {
        let library = |_| KeyError::Library;
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tidegate derived secret");
        let secret = salt.extract(&self.pkcs8()?);
        Ok(hmac::Key::from(secret.expand(&[purpose], hmac::HMAC_SHA256).map_err(library)?))
    }

    fn make_certificate(&self) -> Result<CertificateDer<'static>, KeyError> {
        certificate::self_signed(&self.public, &self.pkcs8()?)
    }

    fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let library = |_| KeyError::Library;
        Ok(Zeroizing::new(match &self.pair {
            Pair::Es256(pair, _) => pair.to_pkcs8v1().map_err(library)?.as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.to_pkcs8v1().map_err(library)?.as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(library)?;
                der.as_ref().to_vec()
            }
        }))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm())
            .field("thumbprint", &self.kid(KeyIdFormat::Rfc7638))
            .finish_non_exhaustive()
    }
}

/// Reads PKCS#8 and SEC1 alike.
fn ec(der: &[u8]) -> Result<Pair, KeyError> {
    let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
    es256(pair.map_err(|error| KeyError::Ec(error.to_string()))?)
}

fn es256(pair: EcdsaKeyPair) -> Result<Pair, KeyError> {
    let holder = Holder::of(&pair)?;
    Ok(Pair::Es256(pair, holder))
}

fn rsa(error: aws_lc_rs::error::KeyRejected) -> KeyError {
    KeyError::Rsa(error.to_string())
}

/// Finds the algorithm identifier of a `PrivateKeyInfo` (RFC 5208), which stands within its first bytes. The parser of
/// that type then judges the whole; this only picks the parser, so that its error speaks of the right type.
fn algorithm_of_pkcs8(der: &[u8]) -> Option<Algorithm> {
    const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
    const RSA_ENCRYPTION: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let head = &der[..der.len().min(24)];
    let holds = |oid: &[u8]| head.windows(oid.len()).any(|window| window == oid);
    [(EC_PUBLIC_KEY, Algorithm::Es256), (ED25519, Algorithm::EdDsa), (RSA_ENCRYPTION, Algorithm::Rs256)]
        .into_iter()
        .find_map(|(oid, algorithm)| holds(oid).then_some(algorithm))
}
