//! Points in time, as people and programs write them, and as answers give them.
//!
//! Taken are Unix milliseconds, RFC 3339 with its offset, and a date, which is its first
//! moment in UTC. Nothing is guessed: a time without an offset is refused, and so is whatever
//! lies before 1970.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// For messages about a value that is none.
pub const EXPECTED: &str = "Unix milliseconds, RFC 3339 such as 2026-11-23T10:00:00Z, or a date \
                            such as 2026-11-23, which is its first moment in UTC";

/// Characters of a date; what is longer has a time.
const DATE: usize = "2026-11-23".len();

/// Unix milliseconds; `None` for what is no point in time.
pub fn parse(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    if text.len() == DATE {
        return date(text);
    }
    let milliseconds = unescaped(text).parse::<Timestamp>().ok()?.as_millisecond();
    u64::try_from(milliseconds).ok()
}

/// The first moment of a day in UTC, written `2026-11-23`.
pub fn date(text: &str) -> Option<u64> {
    let date: Date = text.parse().ok().filter(|_| text.len() == DATE)?;
    let milliseconds = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
    u64::try_from(milliseconds).ok()
}

/// RFC 3339 in UTC, to the millisecond; `None` beyond the year 9999.
pub fn rfc3339(unix_ms: u64) -> Option<String> {
    let timestamp = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
    Some(format!("{timestamp:.3}"))
}

/// A `+` that a client forgot to escape arrives as a space.
fn unescaped(text: &str) -> String {
    match text.rsplit_once(' ') {
        Some((time, offset)) if time.len() > DATE => format!("{time}+{offset}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_three_ways_to_write_a_time_are_one_time() {
        let noon = 1_795_435_200_000;
        for text in [
            "1795435200000",
            "2026-11-23T12:00:00Z",
            "2026-11-23T12:00:00.000Z",
            "2026-11-23T13:00:00+01:00",
            "2026-11-23T13:00:00 01:00",
            "2026-11-23 13:00:00+01:00",
            "2026-11-23T07:00:00-05:00",
        ] {
            assert_eq!(parse(text), Some(noon), "{text}");
        }
        assert_eq!(parse("2026-11-23"), Some(noon - 12 * 3_600_000));
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("1970-01-01"), Some(0));
    }

    #[test]
    fn what_is_no_point_in_time_is_none() {
        for text in [
            "",
            "soon",
            "-1",
            "1.5",
            "2026-11-23T12:00:00",
            "2026-13-01",
            "2026-02-30",
            "1969-12-31",
            "1969-12-31T23:59:59Z",
            "20261123T",
            "23.11.2026",
            "99999999999999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_the_same_time(unix_ms in 0u64..253_402_207_200_000) {
            prop_assert_eq!(parse(&rfc3339(unix_ms).unwrap()), Some(unix_ms));
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,40}") {
            parse(&text);
        }
    }
}
