//! The day of a moment in UTC: the folders of a table.

use tidemill_domain::Timestamp;
use time::OffsetDateTime;

/// A day of the calendar in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: i32,
    /// Day of the month, 1 to 31.
    pub day: i32,
}

impl From<Timestamp> for Date {
    fn from(moment: Timestamp) -> Self {
        // Every timestamp of ours is in the calendar's range.
        let moment = OffsetDateTime::from_unix_timestamp(moment.millis().div_euclid(1000));
        let (year, month, day) = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH).to_calendar_date();
        Self { year, month: i32::from(u8::from(month)), day: i32::from(day) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_that_of_utc() {
        let date = |text: &str| {
            let Date { year, month, day } = text.parse::<Timestamp>().expect("a time").into();
            (year, month, day)
        };
        assert_eq!(date("2011-12-09T23:59:59.999Z"), (2011, 12, 9));
        assert_eq!(date("1969-12-31T23:59:59.999Z"), (1969, 12, 31));
        assert_eq!(date("2012-03-01T00:30:00+01:00"), (2012, 2, 29));
    }
}
