//! What a certificate says: whose it is, and from when to when it is good (RFC 5280).
//!
//! Here is only what the gateway reads. Whether anybody who is trusted has signed it is decided elsewhere, before or after.

mod der;

use der::{Reader, tag};

/// `id-at-commonName`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `id-ce-subjectAltName`.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Common names of the subject, in its order; mostly one.
    pub common_names: Vec<String>,
    /// DNS names of the subject alternative names.
    pub dns_names: Vec<String>,
    /// URIs of the subject alternative names.
    pub uris: Vec<String>,
    /// E-mail addresses of the subject alternative names.
    pub emails: Vec<String>,
    /// Whether there is any other subject alternative name, such as an IP address.
    pub other_names: bool,
    /// From when it is good, in seconds since the epoch.
    pub not_before: u64,
    /// Until when it is good, in seconds since the epoch.
    pub not_after: u64,
}

/// A certificate that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no X.509 certificate")]
pub struct Malformed;

impl Certificate {
    /// Reads the DER form.
    pub fn parse(der: &[u8]) -> Result<Self, Malformed> {
        read(der).ok_or(Malformed)
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: u64) -> bool {
        now > self.not_after
    }

    /// Whether its time has not come yet.
    pub fn is_early(&self, now: u64) -> bool {
        now < self.not_before
    }

    /// The subject alternative names that are text, for people.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.dns_names.iter().chain(&self.uris).chain(&self.emails).map(String::as_str)
    }
}

fn read(der: &[u8]) -> Option<Certificate> {
    let mut whole = Reader::new(der).sequence()?;
    let mut signed = whole.sequence()?;
    // The version; and what no name of ours follows from: serial number, algorithm, issuer.
    signed.optional(tag::CONTEXT_0);
    signed.expect(tag::INTEGER)?;
    signed.expect(tag::SEQUENCE)?;
    signed.expect(tag::SEQUENCE)?;
    let mut validity = signed.sequence()?;
    let (not_before, not_after) = (validity.time()?, validity.time()?);
    let common_names = common_names(signed.sequence()?)?;
    signed.expect(tag::SEQUENCE)?;
    let mut certificate = Certificate {
        common_names,
        dns_names: Vec::new(),
        uris: Vec::new(),
        emails: Vec::new(),
        other_names: false,
        not_before,
        not_after,
    };
    signed.optional(tag::CONTEXT_1);
    signed.optional(tag::CONTEXT_2);
    if let Some(extensions) = signed.optional(tag::CONTEXT_3) {
        let mut extensions = Reader::new(extensions).sequence()?;
        while !extensions.is_empty() {
            let mut extension = extensions.sequence()?;
            let id = extension.expect(tag::OBJECT_IDENTIFIER)?;
            extension.optional(tag::BOOLEAN);
            let value = extension.expect(tag::OCTET_STRING)?;
            if id == SUBJECT_ALT_NAME {
                certificate.alternative_names(Reader::new(value).sequence()?)?;
            }
        }
    }
    Some(certificate)
}

impl Certificate {
    fn alternative_names(&mut self, mut names: Reader<'_>) -> Option<()> {
        while !names.is_empty() {
            let (tag, value) = names.any()?;
            let list = match tag {
                tag::RFC822_NAME => &mut self.emails,
                tag::DNS_NAME => &mut self.dns_names,
                tag::URI => &mut self.uris,
                _ => {
                    self.other_names = true;
                    continue;
                }
            };
            // These are IA5 strings, which is ASCII.
            let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii())?;
            list.push(text.to_owned());
        }
        Some(())
    }
}

fn common_names(mut name: Reader<'_>) -> Option<Vec<String>> {
    let mut found = Vec::new();
    while !name.is_empty() {
        let mut attributes = Reader::new(name.expect(tag::SET)?);
        while !attributes.is_empty() {
            let mut attribute = attributes.sequence()?;
            let id = attribute.expect(tag::OBJECT_IDENTIFIER)?;
            let (tag, value) = attribute.any()?;
            if id == COMMON_NAME {
                found.push(der::text(tag, value)?);
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests;
