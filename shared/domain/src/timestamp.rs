//! Points in event time, to the millisecond.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::text;

/// Milliseconds since 1970-01-01T00:00:00Z, between the years 0000 and 9999
/// (what RFC 3339 can write).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(with = "String", inline, description = "RFC 3339 in UTC.", extend("format" = "date-time"))]
pub struct Timestamp(i64);

/// Why a text is not a [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 date-time")]
pub struct TimestampError;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    const MIN: i64 = -62_167_219_200_000;
    const MAX: i64 = 253_402_300_799_999;

    /// From milliseconds since the epoch; what lies outside the years 0000
    /// to 9999 becomes the nearest end.
    pub const fn saturating_from_millis(millis: i64) -> Self {
        if millis < Self::MIN {
            Self(Self::MIN)
        } else if millis > Self::MAX {
            Self(Self::MAX)
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This time moved by `millis`, within the range.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::saturating_from_millis(self.0.saturating_add(millis))
    }

    /// The start of the tumbling window of `size_millis` that holds this time,
    /// counted from the epoch (also before it).
    pub const fn floor_to(self, size_millis: i64) -> Self {
        Self::saturating_from_millis(self.0.div_euclid(size_millis) * size_millis)
    }

    /// The time of a text that is as `Display` writes it; `None` of any other text,
    /// which may be a time all the same. It takes a tenth of what reading any form does,
    /// and nearly every text in the log is of this one.
    pub fn in_own_form(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let millis = match *bytes.get(19..)? {
            [b'Z'] => 0,
            [b'.', .., b'Z'] if bytes.len() == 24 => number(&bytes[20..23]).filter(|millis| *millis > 0)?,
            _ => return None,
        };
        let signs = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if signs.iter().any(|(at, sign)| bytes[*at] != *sign) {
            return None;
        }
        let part = |from: usize, to: usize| number(&bytes[from..to]);
        let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
        let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
        if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
            return None;
        }
        // A leap second is another form: it is written as the second before.
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = ((days_before(year, month) + day - 1) * 24 + hour) * 3600 + minute * 60 + second;
        Some(Self(Self::MIN + seconds * 1000 + millis))
    }
}

/// A number of digits alone.
fn number(digits: &[u8]) -> Option<i64> {
    let more = |sum: i64, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'));
    digits.iter().try_fold(0, more)
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the first one of the year 0 to the first one of a month.
fn days_before(year: i64, month: i64) -> i64 {
    const OF_MONTHS: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    // The leap years before this one; the year 0 is one.
    let leap = if year == 0 { 0 } else { (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1 };
    let is_behind_leap_day = month > 2 && is_leap(year);
    let of_months = usize::try_from(month - 1).ok().and_then(|at| OF_MONTHS.get(at)).copied().unwrap_or_default();
    year * 365 + leap + of_months + i64::from(is_behind_leap_day)
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        if let Some(time) = Self::in_own_form(text) {
            return Ok(time);
        }
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let millis = i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1_000_000)).map_err(|_| TimestampError)?;
        if (Self::MIN..=Self::MAX).contains(&millis) { Ok(Self(millis)) } else { Err(TimestampError) }
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with milliseconds only where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).map_err(|_| fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        )?;
        if time.millisecond() > 0 {
            write!(f, ".{:03}", time.millisecond())?;
        }
        f.write_str("Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::read(deserializer, str::parse)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_offsets_and_fractions() {
        let millis = |text: &str| text.parse::<Timestamp>().expect(text).millis();
        assert_eq!(millis("1970-01-01T00:00:00Z"), 0);
        assert_eq!(millis("2010-12-01T08:26:00+01:00"), 1_291_188_360_000);
        assert_eq!(millis("1969-12-31T23:59:59.9999Z"), -1);
        assert_eq!("yesterday".parse::<Timestamp>(), Err(TimestampError));
        assert_eq!("2010-12-01 08:26".parse::<Timestamp>(), Err(TimestampError));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in Timestamp::MIN..=Timestamp::MAX) {
            let time = Timestamp(millis);
            prop_assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
            prop_assert_eq!(Timestamp::in_own_form(&time.to_string()), Some(time));
        }

        #[test]
        fn what_is_in_its_own_form_is_that_time(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,4})?(Z|z|\\+00:00)",
        ) {
            let any = OffsetDateTime::parse(&text, &Rfc3339).ok();
            if let Some(time) = Timestamp::in_own_form(&text) {
                let nanos = any.expect("it is a time").unix_timestamp_nanos();
                prop_assert_eq!(i128::from(time.millis()) * 1_000_000, nanos);
                prop_assert_eq!(time.to_string(), text);
            } else if let Ok(time) = text.parse::<Timestamp>() {
                prop_assert_ne!(time.to_string(), text);
            }
        }

        #[test]
        fn a_window_holds_its_time(millis in -10_000_000_000i64..10_000_000_000, size in 1i64..100_000_000) {
            let time = Timestamp(millis);
            let start = time.floor_to(size);
            prop_assert!(start <= time && time < start.plus_millis(size));
            prop_assert_eq!(start.millis().rem_euclid(size), 0);
        }
    }
}
