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
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
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
