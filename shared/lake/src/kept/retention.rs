//! Whole folders out of a table once all of their days are over.

use deltalake::{
    DeltaTable,
    kernel::{Remove, Transaction},
    protocol::DeltaOperation,
};
use tidemill_domain::Timestamp;
use time::Month;

use super::{
    KeptTable,
    exchange::Exchange,
    files::{FolderValues, TableFile, folders},
};
use crate::error::LakeError;

/// The transaction that says from which day on a table has all of its rows.
const RETENTION: &str = "tidemill.retention";
const DAY: i64 = 24 * 3_600_000;

/// Which folders go.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Those whose last day is before this one, as days since 1970.
    pub before: i64,
    /// And to which nothing was written since then: what the log still has stays.
    pub unchanged_since: Timestamp,
}

/// What became of folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Folders that are gone.
    pub folders: usize,
    /// Their files.
    pub files: usize,
}

impl Retention {
    /// Keeps the last `days` before now, and what was written within `log_days`.
    pub const fn of_days(days: u32, now: Timestamp, log_days: u32) -> Self {
        Self {
            before: now.millis().div_euclid(DAY) - days as i64,
            unchanged_since: now.plus_millis(-(log_days as i64) * DAY),
        }
    }

    pub(super) fn is_over(&self, folder: &FolderValues, files: &[TableFile]) -> bool {
        last_day(folder).is_some_and(|day| day < self.before)
            && files.iter().all(|file| file.written < self.unchanged_since.millis())
    }
}

impl KeptTable {
    /// Drops folders in one version, which also says from which day on all rows are there.
    /// Their files are deleted by [`KeptTable::vacuum`], once no version has them.
    ///
    /// # Errors
    /// The store did not do it: the table is as it was.
    pub async fn drop_old(&mut self, retention: Retention) -> Result<Dropped, LakeError> {
        self.try_drop_old(retention).await.map_err(|error| error.of(&self.name))
    }

    async fn try_drop_old(&mut self, retention: Retention) -> Result<Dropped, LakeError> {
        self.refresh().await?;
        let folders = folders(&self.table).await?;
        let old: Vec<_> = folders.into_iter().filter(|(folder, files)| retention.is_over(folder, files)).collect();
        if old.is_empty() {
            return Ok(Dropped::default());
        }
        let dropped = old.len();
        let old: Vec<TableFile> = old.into_iter().flat_map(|(_, files)| files).collect();
        let since = retention.before.max(complete_since(&self.table).await?.unwrap_or(i64::MIN));
        let exchange = Exchange {
            removed: old.iter().map(|file| Remove { data_change: true, ..file.removal.clone() }).collect(),
            added: Vec::new(),
            transactions: vec![Transaction::new(RETENTION, since)],
        };
        let is_done = self.exchange(&old, exchange, DeltaOperation::Delete { predicate: None }).await?;
        Ok(if is_done { Dropped { folders: dropped, files: old.len() } } else { Dropped::default() })
    }
}

/// The day, since 1970, from which on a table has all of its rows; `None` where nothing was dropped.
///
/// # Errors
/// The store is away, or the table cannot be read.
pub async fn complete_since(table: &DeltaTable) -> Result<Option<i64>, LakeError> {
    Ok(table.snapshot()?.transaction_version(table.log_store().as_ref(), RETENTION).await?)
}

/// The last day of a folder, since 1970: of a month, of a day, or of a date.
pub(super) fn last_day(folder: &FolderValues) -> Option<i64> {
    let value = |name: &str| folder.get(name).and_then(Option::as_deref);
    let number = |name: &str| value(name).and_then(|text| text.parse::<i32>().ok());
    let (year, month, day) = match (number("year"), number("month"), number("day")) {
        (Some(year), Some(month), day) => {
            let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
            (year, month, day.and_then(|day| u8::try_from(day).ok()).unwrap_or(month.length(year)))
        }
        _ => {
            let mut parts = value("day")?.split('-');
            let mut next = || parts.next().and_then(|part| part.parse::<i32>().ok());
            let (year, month, day) = (next()?, next()?, next()?);
            (year, Month::try_from(u8::try_from(month).ok()?).ok()?, u8::try_from(day).ok()?)
        }
    };
    let date = time::Date::from_calendar_date(year, month, day).ok()?;
    Some(i64::from(date.to_julian_day() - time::Date::from_ordinal_date(1970, 1).ok()?.to_julian_day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_ends_with_its_last_day() {
        let folder = |parts: &[(&str, &str)]| {
            parts.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect::<FolderValues>()
        };
        assert_eq!(last_day(&folder(&[("year", "1970"), ("month", "1")])), Some(30));
        assert_eq!(last_day(&folder(&[("year", "2024"), ("month", "2")])), Some(19_782));
        assert_eq!(last_day(&folder(&[("year", "2024"), ("month", "2"), ("day", "28")])), Some(19_781));
        assert_eq!(last_day(&folder(&[("day", "2024-02-29")])), Some(19_782));
        for wrong in [&[("day", "x")][..], &[("year", "2024")], &[("year", "2024"), ("month", "13")], &[]] {
            assert_eq!(last_day(&folder(wrong)), None, "{wrong:?}");
        }
    }
}
