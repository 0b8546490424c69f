//! Durations and sizes as they are written in the configuration.

use std::time::Duration;

/// Units of durations in milliseconds, longest first.
const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Units of sizes in bytes, largest first.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A text that is no duration or no size. Its `Display` says what is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a duration.
    #[error("a duration is a whole number and a unit: \"500ms\", \"90s\", \"5m\", \"1h\", \"7d\"")]
    Duration,
    /// Not a size.
    #[error("a size is a whole number and a unit: \"512B\", \"64KiB\", \"1MiB\", \"1GiB\"")]
    Size,
}

/// Parses a duration such as `500ms`, `90s`, `5m`, `1h` or `7d`; `0` needs no unit.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    scaled(text, &DURATIONS).map(Duration::from_millis).ok_or(UnitError::Duration)
}

/// Parses a size such as `512B`, `64KiB`, `1MiB` or `1GiB`, in bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    scaled(text, &SIZES).ok_or(UnitError::Size)
}

/// Writes a duration in the largest unit that is exact; below a millisecond is cut off.
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 { "0s".into() } else { written(millis, &DURATIONS) }
}

/// Writes a size in the largest unit that is exact.
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 { "0B".into() } else { written(bytes, &SIZES) }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn written(value: u64, units: &[(&str, u64)]) -> String {
    let (unit, factor) = units.iter().find(|(_, factor)| value.is_multiple_of(*factor)).unwrap_or(&("", 1));
    format!("{}{unit}", value / factor)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{UnitError, format_duration, format_size, parse_duration, parse_size};

    #[test]
    fn examples() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        for bad in
            ["", "5", "m", "5 m", "-5m", "1.5h", "5M", "5min", "1h30m", "99999999999999999999s", "9999999999999999d"]
        {
            assert_eq!(parse_duration(bad), Err(UnitError::Duration), "{bad:?}");
        }
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("0B"), Ok(0));
        for bad in ["", "5", "KiB", "64KB", "64kib", "64 KiB", "1TiB", "99999999999GiB"] {
            assert_eq!(parse_size(bad), Err(UnitError::Size), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn durations_survive_writing(millis in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn sizes_survive_writing(bytes in any::<u64>()) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in "\\PC{0,12}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
