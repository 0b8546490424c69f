//! `client-certificate`: callers to whom an authority of ours has given a certificate.
//!
//! That it is signed, and that who shows it has its key, was found out in the handshake. Here is whom it names.

use std::sync::Arc;

use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::subject::{GroupName, Subject, UserName};

/// The member that their subjects name.
pub const CLIENT_CERTIFICATE: &str = "client-certificate";

/// Where in a certificate the name of its user stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFrom {
    /// The common name of the subject, if there is one and no more.
    CommonName,
    /// The first DNS name of the subject alternative names.
    Dns,
    /// The first URI of them.
    Uri,
    /// The first e-mail address of them.
    Email,
}

/// Why a certificate is nobody's here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefused {
    /// Nothing says what certificates mean.
    #[error("no [[authn]] takes client certificates")]
    NotTaken,
    /// Its time was over after the connection had begun.
    #[error("the client certificate has expired")]
    Expired,
    /// It has no name of the kinds that are looked for, or one that is no user name.
    #[error("the client certificate names no user")]
    NoName,
    /// The name is kept for other uses.
    #[error("the name in the client certificate is reserved")]
    Reserved,
}

/// What client certificates mean.
#[derive(Debug)]
pub struct Certificates {
    names: Vec<NameFrom>,
    groups: Vec<GroupName>,
    member: Arc<str>,
    clock: Clock,
}

impl Certificates {
    /// The name stands in the first of these places that a certificate has; all users get these groups.
    pub fn new(names: Vec<NameFrom>, groups: Vec<GroupName>, clock: Clock) -> Self {
        Self { names, groups, member: Arc::from(CLIENT_CERTIFICATE), clock }
    }

    /// Whose certificate this is. The time is asked at each call: a connection may live longer than the certificate.
    pub(super) fn find(&self, certificate: &Certificate) -> Result<Arc<Subject>, CertificateRefused> {
        if certificate.is_expired(self.clock.now()) {
            return Err(CertificateRefused::Expired);
        }
        let name = self.names.iter().find_map(|place| place.name(certificate));
        let name = name.and_then(|name| UserName::parse(name).ok()).ok_or(CertificateRefused::NoName)?;
        Ok(self.lookup(&name))
    }

    /// Somebody who came with a certificate, as they are now.
    pub(super) fn lookup(&self, name: &UserName) -> Arc<Subject> {
        Arc::new(Subject::new(name.clone(), self.groups.clone(), Arc::clone(&self.member)))
    }
}

impl NameFrom {
    fn name(self, certificate: &Certificate) -> Option<&str> {
        match self {
            // Of several, one reader takes the first and another the last.
            Self::CommonName => certificate.common_names.first().filter(|_| certificate.common_names.len() == 1),
            Self::Dns => certificate.dns_names.first(),
            Self::Uri => certificate.uris.first(),
            Self::Email => certificate.emails.first(),
        }
        .map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::{CertificateRefused, Certificates, NameFrom};
    use crate::certificate::Certificate;
    use crate::clock::Clock;
    use crate::subject::GroupName;

    fn certificate(common_names: &[&str]) -> Certificate {
        Certificate {
            common_names: common_names.iter().map(|&name| name.to_owned()).collect(),
            dns_names: vec!["host.example".into(), "other.example".into()],
            uris: vec!["spiffe://example/ci".into()],
            emails: Vec::new(),
            other_names: false,
            not_before: 0,
            not_after: 1000,
        }
    }

    fn name(places: &[NameFrom], certificate: &Certificate) -> Result<String, CertificateRefused> {
        let certificates = Certificates::new(places.to_vec(), Vec::new(), Clock::manual(1000));
        certificates.find(certificate).map(|subject| subject.name.as_str().to_owned())
    }

    #[test]
    fn the_first_place_that_is_filled_names_the_user() {
        use NameFrom::{CommonName, Dns, Email, Uri};
        let alice = certificate(&["alice"]);
        for (places, expected) in [
            (&[CommonName][..], "alice"),
            (&[Dns, CommonName], "host.example"),
            (&[Email, Uri, CommonName], "spiffe://example/ci"),
        ] {
            assert_eq!(name(places, &alice), Ok(expected.to_owned()));
        }
        assert_eq!(name(&[Email], &alice), Err(CertificateRefused::NoName));
        assert_eq!(name(&[], &alice), Err(CertificateRefused::NoName));
    }

    #[test]
    fn a_name_that_could_be_read_in_two_ways_is_none() {
        for names in [&[][..], &["alice", "bob"], &["alice", "alice"], &[""], &["alice\0"], &[" alice"]] {
            assert_eq!(
                name(&[NameFrom::CommonName], &certificate(names)),
                Err(CertificateRefused::NoName),
                "{names:?}"
            );
        }
        // The next place is not asked when the first holds what is no name.
        let places = [NameFrom::CommonName, NameFrom::Dns];
        assert_eq!(name(&places, &certificate(&[" alice"])), Err(CertificateRefused::NoName));
    }

    #[test]
    fn it_is_good_until_its_time_is_over() {
        let clock = Clock::manual(1000);
        let groups = vec![GroupName::parse("machines").unwrap()];
        let certificates = Certificates::new(vec![NameFrom::CommonName], groups.clone(), clock.clone());
        let subject = certificates.find(&certificate(&["ci"])).unwrap();
        assert_eq!((&*subject.member, &subject.groups), ("client-certificate", &groups));
        clock.set(1001);
        assert_eq!(certificates.find(&certificate(&["ci"])), Err(CertificateRefused::Expired));
    }
}
