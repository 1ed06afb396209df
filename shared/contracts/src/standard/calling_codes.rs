//! How countries are called.

use std::{ops::RangeInclusive, sync::LazyLock};

/// By country, in the order of their codes.
static CODES: LazyLock<Vec<(&'static str, CallingCode)>> = LazyLock::new(read);

/// How a country is called, and how its numbers are written at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallingCode {
    /// Its calling code.
    pub(super) digits: &'static str,
    /// What stands before a number at home, and not abroad.
    pub(super) prefix: &'static str,
    /// How many digits a number has without both.
    pub(super) lengths: RangeInclusive<usize>,
}

impl CallingCode {
    /// That of a country, by its code of ISO 3166-1.
    pub(super) fn of(country: &str) -> Option<&'static Self> {
        let place = CODES.binary_search_by_key(&country, |(known, _)| known).ok()?;
        CODES.get(place).map(|(_, code)| code)
    }
}

/// Whether digits begin with the calling code of a country.
pub(super) fn begins_with_one(digits: &str) -> bool {
    CODES.iter().any(|(_, code)| digits.starts_with(code.digits))
}

fn read() -> Vec<(&'static str, CallingCode)> {
    include_str!("../../data/calling_codes.csv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(entry)
        .collect()
}

fn entry(line: &'static str) -> Option<(&'static str, CallingCode)> {
    let mut values = line.split(',');
    let (country, digits, prefix) = (values.next()?, values.next()?, values.next()?);
    let (fewest, most) = (values.next()?.parse().ok()?, values.next()?.parse().ok()?);
    Some((country, CallingCode { digits, prefix, lengths: fewest..=most }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read() {
        let lines = include_str!("../../data/calling_codes.csv").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!((CODES.len(), lines), (245, 245));
        assert!(CODES.is_sorted_by_key(|(country, _)| *country));
        let code = CallingCode { digits: "39", prefix: "", lengths: 6..=12 };
        assert_eq!(CallingCode::of("IT"), Some(&code));
        assert_eq!(CallingCode::of("XX"), None);
    }
}
