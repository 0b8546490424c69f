//! Percent-escapes (RFC 3986, section 2.1), strict both ways. What may stand in a path or a query is decided there.

use std::borrow::Cow;

/// Why a text cannot be unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EscapeError {
    /// A `%` without two hexadecimal digits behind it.
    BadEscape,
    /// The bytes are no UTF-8; overlong forms and surrogates are none either.
    NotUtf8,
}

/// Unescapes once. What has no escape is borrowed.
pub(super) fn unescape(text: &str) -> Result<Cow<'_, str>, EscapeError> {
    let bytes = text.as_bytes();
    let Some(first) = bytes.iter().position(|&byte| byte == b'%') else { return Ok(Cow::Borrowed(text)) };
    let mut plain = Vec::with_capacity(bytes.len());
    plain.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            plain.push(*byte);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Err(EscapeError::BadEscape) };
        let (Some(high), Some(low)) = (hex(*high), hex(*low)) else { return Err(EscapeError::BadEscape) };
        plain.push(high << 4 | low);
        rest = tail;
    }
    String::from_utf8(plain).map(Cow::Owned).map_err(|_| EscapeError::NotUtf8)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Whether a byte is unreserved (RFC 3986, section 2.3).
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Appends a text, escaping each byte that is neither unreserved nor in `also`.
pub(super) fn escape_into(out: &mut String, text: &str, also: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if is_unreserved(byte) || also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}
