//! Points in time as a person gives them: RFC 3339, or how long ago.

use std::str::FromStr;

use tidemill_domain::Timestamp;

/// A point in time, as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Then.
    At(Timestamp),
    /// So many milliseconds ago.
    Ago(i64),
}

impl When {
    /// As a point in time.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(then) => then,
            Self::Ago(millis) => now.plus_millis(-millis),
        }
    }
}

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "give RFC 3339 (2026-03-01T10:00:00Z) or how long ago (90s, 15m, 2h, 7d)";
        if let Ok(then) = text.parse() {
            return Ok(Self::At(then));
        }
        let seconds = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
        let unit = |(letter, seconds): (char, i64)| Some((text.strip_suffix(letter)?, seconds));
        let (number, seconds) = seconds.into_iter().find_map(unit).ok_or(WRONG)?;
        let number: u32 = number.parse().map_err(|_| WRONG)?;
        i64::from(number).checked_mul(seconds * 1000).map(Self::Ago).ok_or(WRONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_says_when_in_either_way() {
        let now = Timestamp::saturating_from_millis(10_000_000);
        let at = |text: &str| text.parse::<When>().map(|when| when.at(now).millis());
        assert_eq!(at("1970-01-01T00:00:01Z"), Ok(1000));
        assert_eq!(at("90s"), Ok(10_000_000 - 90_000));
        assert_eq!(at("2h"), Ok(10_000_000 - 7_200_000));
        for wrong in ["", "h", "-2h", "2", "2w", "yesterday"] {
            assert_eq!(at(wrong).map_err(|told| told.starts_with("give RFC 3339")), Err(true), "{wrong}");
        }
    }
}
