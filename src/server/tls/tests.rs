//! Choosing certificates, and files that are wrong. Handshakes are tested with the whole gateway, in `tests/edge`.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm, date_time_ymd};
use rustls::SignatureScheme;
use tempfile::TempDir;

use super::names::ByName;
use super::{Cause, CertificateFiles, ClientAuth, Prepared, Tls, TlsError, TlsSettings, Version, load_certificate};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::watch::Watch;

/// Writes `NAME.crt` and `NAME.key` for DNS names.
fn issue(dir: &Path, name: &str, dns: &[&str], algorithm: &'static SignatureAlgorithm, until: i32) -> CertificateFiles {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut params = CertificateParams::new(dns.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let files = CertificateFiles { cert: dir.join(format!("{name}.crt")), key: dir.join(format!("{name}.key")) };
    fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

fn settings(certificates: Vec<CertificateFiles>) -> TlsSettings {
    TlsSettings {
        certificates,
        client_ca: None,
        client_auth: ClientAuth::Optional,
        min_version: Version::Tls12,
        http2: true,
    }
}

#[test]
fn names_choose_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let make =
        |name: &str, dns: &[&str], algorithm| load_certificate(&issue(dir.path(), name, dns, algorithm, 2100)).unwrap();
    let certificates = [
        make("default", &["one.example"], &PKCS_ECDSA_P256_SHA256),
        make("wild", &["*.wild.example"], &PKCS_ECDSA_P256_SHA256),
        make("exact", &["exact.wild.example", "Upper.example"], &PKCS_ECDSA_P256_SHA256),
        make("other", &["one.example"], &PKCS_ED25519),
    ];
    let names = ByName::new(certificates.to_vec());
    let (p256, ed25519) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519);
    let find = |name: Option<&str>, schemes: &[SignatureScheme]| {
        let found = names.find(name, schemes).unwrap();
        certificates.iter().position(|own| own.key.cert == found.cert).unwrap()
    };
    for (name, expected) in [
        (None, 0),
        (Some("one.example"), 0),
        (Some("unknown.example"), 0),
        (Some("a.wild.example"), 1),
        (Some("A.WILD.example."), 1),
        (Some("exact.wild.example"), 2),
        (Some("upper.example"), 2),
        // A wildcard is for one label.
        (Some("wild.example"), 0),
        (Some("a.b.wild.example"), 0),
    ] {
        assert_eq!(find(name, &[ed25519, p256]), expected, "{name:?}");
    }
    // What the client can check goes before what is listed first.
    assert_eq!(find(Some("one.example"), &[ed25519]), 3);
    assert_eq!(find(Some("a.wild.example"), &[ed25519]), 3);
    assert_eq!(find(None, &[SignatureScheme::RSA_PSS_SHA256]), 0);
}

/// A folder with a good certificate, and another's.
fn site() -> (TempDir, CertificateFiles, CertificateFiles) {
    let dir = tempfile::tempdir().unwrap();
    let one = issue(dir.path(), "one", &["one.example"], &PKCS_ECDSA_P256_SHA256, 2100);
    let two = issue(dir.path(), "two", &["two.example"], &PKCS_ECDSA_P256_SHA256, 2100);
    (dir, one, two)
}

fn file_error(files: &CertificateFiles) -> (PathBuf, Cause) {
    match load_certificate(files).unwrap_err() {
        TlsError::File { file, cause } => (file, cause),
        other => panic!("{other}"),
    }
}

#[test]
fn every_wrong_file_is_named() {
    let (dir, good, other) = site();
    let put = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let with_cert = |cert: PathBuf| CertificateFiles { cert, ..good.clone() };
    let with_key = |key: PathBuf| CertificateFiles { key, ..good.clone() };
    let missing = dir.path().join("missing");

    for files in [with_cert(missing.clone()), with_key(missing.clone())] {
        assert!(matches!(file_error(&files), (file, Cause::Unreadable(_)) if file == missing));
    }
    let broken = put("broken", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    assert!(matches!(file_error(&with_cert(broken)), (_, Cause::NoPem)));
    let empty = put("empty", "");
    assert!(matches!(file_error(&with_cert(empty.clone())), (_, Cause::NoCertificate)));
    assert!(matches!(file_error(&with_cert(good.key.clone())), (_, Cause::NoCertificate)));
    let none = put("none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(matches!(file_error(&with_cert(none)), (_, Cause::BadCertificate)));
    assert!(matches!(file_error(&with_key(empty)), (_, Cause::NoKey)));
    assert!(matches!(file_error(&with_key(good.cert.clone())), (_, Cause::NoKey)));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(matches!(file_error(&with_key(put("encrypted", encrypted))), (_, Cause::Encrypted)));
    let bad = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(file_error(&with_key(put("bad", bad))), (_, Cause::BadKey)));
    let mismatch = load_certificate(&with_key(other.key.clone())).unwrap_err();
    assert!(matches!(&mismatch, TlsError::Mismatch { .. }), "{mismatch}");
    let text = mismatch.to_string();
    assert!(text.contains("one.crt") && text.contains("two.key"), "{text}");

    // One file may hold both.
    let both = put("both", &[&good.key, &good.cert].map(|path| fs::read_to_string(path).unwrap()).concat());
    assert!(load_certificate(&CertificateFiles { cert: both.clone(), key: both }).is_ok());
}

#[test]
fn authorities_are_checked() {
    let (dir, good, _) = site();
    let load = |client_ca: PathBuf| {
        Prepared::load(TlsSettings { client_ca: Some(client_ca), ..settings(vec![good.clone()]) })
            .map(|it| it.authorities)
    };
    assert_eq!(load(good.cert.clone()).unwrap().len(), 1);
    let empty = dir.path().join("empty");
    fs::write(&empty, "").unwrap();
    assert!(load(empty).unwrap_err().to_string().contains("holds no authority"));
    assert!(load(dir.path().join("missing")).is_err());
}

#[test]
fn what_is_wrong_changes_nothing() {
    let (dir, one, two) = site();
    let old = issue(dir.path(), "old", &["one.example"], &PKCS_ECDSA_P256_SHA256, 2021);
    let settings = settings(vec![one.clone()]);
    let tls = Tls::new(Prepared::load(settings).unwrap(), Watch::new([]), Clock::System, Metrics::new());
    let before = tls.config();
    let copy = |from: &CertificateFiles| {
        fs::copy(&from.cert, &one.cert).unwrap();
        fs::copy(&from.key, &one.key).unwrap();
    };
    // A certificate without its key, one whose time is over, and none at all.
    fs::copy(&two.cert, &one.cert).unwrap();
    assert!(matches!(tls.refresh(), Err(TlsError::Mismatch { .. })));
    copy(&old);
    assert!(tls.refresh().unwrap_err().to_string().contains("has expired at 2021-01-01T00:00:00Z"));
    fs::remove_file(&one.cert).unwrap();
    assert!(tls.refresh().unwrap_err().to_string().contains("one.crt: cannot be read"));
    assert!(std::sync::Arc::ptr_eq(&before, &tls.config()));

    copy(&two);
    tls.refresh().unwrap();
    assert!(!std::sync::Arc::ptr_eq(&before, &tls.config()));
}

#[tokio::test]
async fn files_are_followed() {
    let (_dir, one, two) = site();
    let watch = Watch::new([one.cert.clone(), one.key.clone()]);
    let tls = Tls::new(Prepared::load(settings(vec![one.clone()])).unwrap(), watch, Clock::System, Metrics::new());
    let before = tls.config();
    let every = std::time::Duration::from_millis(10);
    let follow = tokio::spawn(std::sync::Arc::clone(&tls).follow(every));
    // Not at once: in between nothing fits.
    fs::copy(&two.cert, &one.cert).unwrap();
    tokio::time::sleep(every * 5).await;
    assert!(std::sync::Arc::ptr_eq(&before, &tls.config()));
    fs::copy(&two.key, &one.key).unwrap();
    let changed = async {
        while std::sync::Arc::ptr_eq(&before, &tls.config()) {
            tokio::time::sleep(every).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), changed).await.unwrap();
    follow.abort();
}
