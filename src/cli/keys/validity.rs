//! Until when a certificate is valid: the one field of it that is shown. Nothing here judges a certificate.

use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime, Time};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// `notAfter` of a certificate (RFC 5280 section 4.1.2.5) as RFC 3339; `None` when it cannot be found.
pub(super) fn not_after(der: &[u8]) -> Option<String> {
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    // version (left out by version 1), serialNumber, signature, issuer; then validity.
    let skipped = if fields.first() == Some(&VERSION) { 4 } else { 3 };
    for _ in 0..skipped {
        fields = element(fields)?.2;
    }
    let (SEQUENCE, validity, _) = element(fields)? else { return None };
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    moment(tag, text)?.format(&Rfc3339).ok()
}

fn moment(tag: u8, text: &str) -> Option<OffsetDateTime> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i32 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(part(0)?).ok()?, part(2)?).ok()?;
    Some(date.with_time(Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?).assume_utc())
}

/// Takes one DER element off: its tag, its content, and what stands behind it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (digits, rest) =
            rest.split_at_checked(usize::from(length & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::{GENERALIZED_TIME, UTC_TIME, moment, not_after};
    use crate::keys::{Algorithm, SigningKey};

    #[test]
    fn the_end_of_a_certificate_of_ours_is_found() {
        let der = SigningKey::generate(Algorithm::Es256).unwrap().certificate_der().unwrap();
        assert_eq!(not_after(&der).unwrap(), "2120-01-01T00:00:00Z");
        for length in 0..der.len() {
            assert_eq!(not_after(&der[..length]), None);
        }
    }

    #[test]
    fn both_forms_of_a_time_are_read() {
        let read = |tag, text| moment(tag, text).map(time::OffsetDateTime::unix_timestamp);
        assert_eq!(read(UTC_TIME, "700101000001"), Some(1));
        assert_eq!(read(UTC_TIME, "490101000000"), read(GENERALIZED_TIME, "20490101000000"));
        assert_eq!(read(GENERALIZED_TIME, "20491301000000"), None);
        assert_eq!(read(UTC_TIME, "7001010000"), None);
        assert_eq!(read(UTC_TIME, "70010100000+"), None);
    }
}
