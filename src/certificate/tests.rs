//! Certificates of rcgen's making, and bytes that are none.

use proptest::prelude::*;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType, date_time_ymd};

use super::{Certificate, Malformed};

fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = date_time_ymd(2020, 1, 2);
    params.not_after = date_time_ymd(2060, 3, 4);
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn names_and_times_are_read() {
    let der = made(|params| {
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, "ålice");
        params.subject_alt_names = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::DnsName("*.b.example".try_into().unwrap()),
            SanType::URI("spiffe://x/ci".try_into().unwrap()),
            SanType::Rfc822Name("alice@example.org".try_into().unwrap()),
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
        ];
    });
    let certificate = Certificate::parse(&der).unwrap();
    assert_eq!(certificate.common_names, ["ålice"]);
    assert_eq!(certificate.dns_names, ["a.example", "*.b.example"]);
    assert_eq!(certificate.uris, ["spiffe://x/ci"]);
    assert_eq!(certificate.emails, ["alice@example.org"]);
    assert!(certificate.other_names);
    // One of them is before 2050, where the form of times changes.
    assert_eq!((certificate.not_before, certificate.not_after), (1_577_923_200, 2_845_584_000));
    assert!(certificate.is_early(1_577_923_199) && !certificate.is_early(1_577_923_200));
    assert!(certificate.is_expired(2_845_584_001) && !certificate.is_expired(2_845_584_000));
}

#[test]
fn a_certificate_may_have_no_name() {
    let certificate = Certificate::parse(&made(|_| {})).unwrap();
    assert_eq!((certificate.common_names.len(), certificate.names().count(), certificate.other_names), (0, 0, false));
}

#[test]
fn names_in_other_encodings_are_read() {
    for value in [
        DnValue::PrintableString("carol".try_into().unwrap()),
        DnValue::Ia5String("carol".try_into().unwrap()),
        DnValue::BmpString("carol".try_into().unwrap()),
    ] {
        let der = made(|params| params.distinguished_name.push(DnType::CommonName, value));
        assert_eq!(Certificate::parse(&der).unwrap().common_names, ["carol"]);
    }
    // What cannot be read for sure is not taken for something else.
    let teletex = DnValue::TeletexString("carol".try_into().unwrap());
    let der = made(|params| params.distinguished_name.push(DnType::CommonName, teletex));
    assert_eq!(Certificate::parse(&der), Err(Malformed));
}

#[test]
fn what_is_cut_off_is_no_certificate() {
    let der = made(|params| params.distinguished_name.push(DnType::CommonName, "alice"));
    for end in 0..der.len() {
        assert_eq!(Certificate::parse(&der[..end]), Err(Malformed), "{end}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(at in 0usize..2000, with in any::<u8>(), junk in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Certificate::parse(&junk);
        let mut der = made(|params| params.subject_alt_names = vec![SanType::URI("a:b".try_into().unwrap())]);
        let at = at % der.len();
        der[at] = with;
        let _ = Certificate::parse(&der);
    }
}
