//! Which folders of a table are made anew.

use std::collections::BTreeMap;

use tidemill_domain::Timestamp;

use crate::date::Date;

/// Months of event time, by year and month: from the first to before the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Months {
    from: Option<(i32, i32)>,
    to: Option<(i32, i32)>,
}

impl Months {
    /// The months that hold a range of times; without a bound, all.
    pub fn of(from: Option<Timestamp>, to: Option<Timestamp>) -> Self {
        let month = |time: Timestamp| {
            let Date { year, month, .. } = time.into();
            (year, month)
        };
        let from = from.map(month);
        // A month that begins then is not in it.
        let to = to.map(|to| month(to.plus_millis(-1)));
        let to = to.map(|(year, month)| if month == 12 { (year + 1, 1) } else { (year, month + 1) });
        Self { from, to }
    }

    /// Whether it is everything.
    pub const fn is_all(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether a month is among them.
    pub fn has(&self, month: (i32, i32)) -> bool {
        self.from.is_none_or(|from| from <= month) && self.to.is_none_or(|to| month < to)
    }

    /// Whether a folder is; of a table without folders, each file is.
    pub(crate) fn has_folder(&self, folder: &BTreeMap<String, Option<String>>) -> bool {
        let part = |name: &str| folder.get(name).and_then(Option::as_deref).and_then(|text| text.parse().ok());
        match (part("year"), part("month")) {
            (Some(year), Some(month)) => self.has((year, month)),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_of_the_months_that_hold_it() {
        let time = |text: &str| Some(text.parse::<Timestamp>().expect("a time"));
        let months = Months::of(time("2025-12-31T23:59:59Z"), time("2026-02-01T00:00:00Z"));
        let held = [(2025, 11), (2025, 12), (2026, 1), (2026, 2)].map(|month| months.has(month));
        assert_eq!(held, [false, true, true, false]);
        let months = Months::of(None, time("2025-12-02T00:00:00Z"));
        assert!(months.has((1970, 1)) && months.has((2025, 12)) && !months.has((2026, 1)) && !months.is_all());
        assert!(Months::default().is_all());
    }
}
