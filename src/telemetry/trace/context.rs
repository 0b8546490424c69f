//! W3C Trace Context: `traceparent` (level 1, and what later versions keep of it).

use std::fmt;

use aws_lc_rs::rand;
use http::{HeaderMap, HeaderValue};

/// Which trace, and which span of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: Id<16>,
    pub(super) span: Id<8>,
    pub(super) sampled: bool,
}

/// The id of a trace or of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id<const N: usize>([u8; N]);

impl<const N: usize> Id<N> {
    /// A new one. All zeros, which stand for none, should the system have no randomness.
    pub(super) fn new() -> Self {
        let mut bytes = [0; N];
        let _ = rand::fill(&mut bytes);
        Self(bytes)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; N];
        if digits.len() != 2 * N {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair.first()?, pair.get(1)?].map(|digit| hex(*digit));
            *byte = high? << 4 | low?;
        }
        bytes.iter().any(|byte| *byte != 0).then_some(Self(bytes))
    }

    /// A number that is different for every trace, from 0 to below 1.
    pub(super) fn share(self) -> f64 {
        let low = self.0.iter().rev().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        f64::from(low) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Only lower case is allowed.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl<const N: usize> fmt::Display for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Context {
    /// What a request says that it belongs to; none where it says nothing, or nonsense.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        Self::parse(value.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let number = |text: &str| match text.as_bytes() {
            [high, low] => Some(hex(*high)? << 4 | hex(*low)?),
            _ => None,
        };
        // Version 0 has no further parts; later ones may.
        let later = match number(version)? {
            0xff => return None,
            version => version > 0,
        };
        if !later && parts.next().is_some() {
            return None;
        }
        Some(Self { trace: Id::parse(trace)?, span: Id::parse(span)?, sampled: number(flags)? & 1 == 1 })
    }

    /// The value of `traceparent` for whoever continues from this span.
    pub(super) fn header(&self) -> HeaderValue {
        let text = format!("00-{}-{}-0{}", self.trace, self.span, u8::from(self.sampled));
        // Digits and hyphens always fit.
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::{Context, Id};

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_the_same() {
        let context = Context::parse(GOOD).unwrap();
        assert!(context.sampled);
        assert_eq!(context.header(), GOOD);
        assert!(!Context::parse(&GOOD.replace("-01", "-00")).unwrap().sampled);
        // A later version may say more.
        let later = Context::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more").unwrap();
        assert_eq!(later, context);
    }

    #[test]
    fn nonsense_is_no_context() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é-01",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        ] {
            assert_eq!(Context::parse(text), None, "{text}");
        }
    }

    #[test]
    fn shares_lie_between_nothing_and_all() {
        assert!(Id([0; 16]).share() <= 0.0);
        assert!(Id([255; 16]).share() < 1.0);
        let ids: Vec<Id<16>> = (0..1000).map(|_| Id::new()).collect();
        let half = ids.iter().filter(|id| id.share() < 0.5).count();
        // Nine standard deviations.
        assert!((357..643).contains(&half), "{half}");
    }
}
