//! Days as a shop's own clock has them.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tidemill_domain::Timestamp;

#[cfg(test)]
mod tests;

/// How far a zone's clock may be from that of UTC, with room to spare.
const FARTHEST: TimeDelta = TimeDelta::hours(36);

/// A zone of the IANA database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", inline, description = "A name of the IANA database, such as `Europe/Berlin`.")]
pub struct Zone(Tz);

/// Why a text is not a [`Zone`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no zone of the IANA database, such as Europe/Berlin")]
pub struct ZoneError;

impl Zone {
    /// Days that begin at midnight of UTC.
    pub const UTC: Self = Self(Tz::UTC);

    /// The date that the zone's calendars show.
    pub(crate) fn date_of(self, time: Timestamp) -> NaiveDate {
        self.0.from_utc_datetime(&instant(time).naive_utc()).date_naive()
    }

    /// The first instant of a day: midnight, or what comes after it where the
    /// clocks skip midnight. Of two midnights it is the earlier one.
    pub(crate) fn day_begins(self, date: NaiveDate) -> Timestamp {
        let midnight = date.and_time(NaiveTime::MIN);
        let begin = match self.0.from_local_datetime(&midnight).earliest() {
            Some(begin) => begin.timestamp_millis(),
            None => {
                // Skipped. Nearby the date only goes forward, so the instant at which
                // it changes is between two that are too early and late enough.
                let [mut before, mut after] =
                    [midnight - FARTHEST, midnight + FARTHEST].map(|time| time.and_utc().timestamp_millis());
                while after - before > 1 {
                    let middle = before.midpoint(after);
                    let is_late = self.date_of(Timestamp::saturating_from_millis(middle)) >= date;
                    *(if is_late { &mut after } else { &mut before }) = middle;
                }
                after
            }
        };
        Timestamp::saturating_from_millis(begin)
    }

    /// The day that holds `time`: its first instant, and the first after it.
    pub(crate) fn day_of(self, time: Timestamp) -> (Timestamp, Timestamp) {
        let mut date = self.date_of(time);
        // A clock that is put back over midnight shows a date that has ended: the
        // next one has begun, and goes on.
        while let Some(next) = date.succ_opt().filter(|next| self.day_begins(*next) <= time) {
            date = next;
        }
        let end = date.succ_opt().map(|next| self.day_begins(next));
        (self.day_begins(date), end.unwrap_or(Timestamp::saturating_from_millis(i64::MAX)))
    }
}

/// All times of the suite are within what a calendar can hold.
fn instant(time: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.millis()).unwrap_or(DateTime::UNIX_EPOCH)
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        text.parse().map(Self).map_err(|_| ZoneError)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(format_args!("{text:?} {error}")))
    }
}

/// A time as it is asked for. A `+` that a client left unencoded, which comes as
/// a space, is read as it was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct AskedTime(pub(crate) Timestamp);

impl TryFrom<String> for AskedTime {
    type Error = tidemill_domain::TimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let offset_at = text.len().saturating_sub("+01:00".len());
        let meant = match text.split_at_checked(offset_at) {
            Some((time, offset)) if offset.starts_with(' ') => format!("{time}{}", offset.replacen(' ', "+", 1)),
            _ => text,
        };
        meant.parse().map(Self)
    }
}

/// A bound of a range as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum AskedBound {
    /// This instant.
    At(Timestamp),
    /// The first instant of this day in the question's zone.
    Day(NaiveDate),
}

impl AskedBound {
    /// The instant that is meant.
    pub(crate) fn instant(self, zone: Zone) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Day(date) => zone.day_begins(date),
        }
    }
}

impl TryFrom<String> for AskedBound {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = "is neither an RFC 3339 date-time nor a date";
        // chrono takes more than RFC 3339 knows as a date.
        let is_place = |(at, byte): (usize, u8)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
        if text.len() == "2026-11-27".len() && text.bytes().enumerate().all(is_place) {
            return text.parse().map(Self::Day).map_err(|_| wrong);
        }
        AskedTime::try_from(text).map(|time| Self::At(time.0)).map_err(|_| wrong)
    }
}
