//! Which folders of a table are made anew.

use std::collections::BTreeSet;

use deltalake::DeltaTable;
use tidemill_domain::Timestamp;

use crate::{
    date::Date,
    error::LakeError,
    kept::{FolderValues, complete_since, files},
};

const DAY: i64 = 24 * 3_600_000;

/// Months of event time, by year and month: from the first to before the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Months {
    from: Option<(i32, i32)>,
    to: Option<(i32, i32)>,
    /// The first of which no rows were dropped.
    complete: Option<(i32, i32)>,
    /// Those of which rows are kept at another place.
    elsewhere: BTreeSet<(i32, i32)>,
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
        Self { from, to, ..Self::default() }
    }

    /// The same, without those of which a table has dropped rows.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn complete_in(mut self, table: &DeltaTable) -> Result<Self, LakeError> {
        let since = complete_since(table).await?.map(|day| {
            let Date { year, month, .. } = Timestamp::saturating_from_millis(day.saturating_mul(DAY)).into();
            (year, month)
        });
        self.complete = self.complete.max(since);
        Ok(self)
    }

    /// The same, without those of which the table has rows at this other place.
    ///
    /// # Errors
    /// The store is away, or the table cannot be read.
    pub async fn not_moved_to(mut self, there: &DeltaTable) -> Result<Self, LakeError> {
        self.elsewhere.extend(files(there).await?.iter().filter_map(|file| month_of(&file.folder)));
        Ok(self)
    }

    /// Whether it is everything.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a month is among them.
    pub fn has(&self, month: (i32, i32)) -> bool {
        self.from.is_none_or(|from| from <= month)
            && self.to.is_none_or(|to| month < to)
            && self.complete.is_none_or(|complete| complete <= month)
            && !self.elsewhere.contains(&month)
    }

    /// Whether a folder is; of a table without folders, each file is.
    pub(crate) fn has_folder(&self, folder: &FolderValues) -> bool {
        month_of(folder).is_none_or(|month| self.has(month))
    }
}

fn month_of(folder: &FolderValues) -> Option<(i32, i32)> {
    let part = |name: &str| folder.get(name).and_then(Option::as_deref).and_then(|text| text.parse().ok());
    Some((part("year")?, part("month")?))
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
