//! How long rows were on their way into a table.

use std::collections::BTreeMap;

use deltalake::{
    DeltaTable,
    kernel::Action,
    logstore::{LogStoreRef, get_actions},
};

use crate::SqlError;

/// Versions that are looked at; of a table that has made more since, the newest.
const MOST_VERSIONS: u64 = 512;

/// From ingestion to a version of the table, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagQuantiles {
    /// Half of the rows took no longer.
    pub p50: i64,
    /// 95 of 100 rows took no longer.
    pub p95: i64,
    /// The longest.
    pub max: i64,
}

impl LagQuantiles {
    /// Of rows by how long they took; none of none.
    pub(super) fn of(lags: &BTreeMap<i64, u64>) -> Option<Self> {
        let rows: u64 = lags.values().sum();
        let max = lags.keys().next_back().copied()?;
        let at = |hundredths: u64| {
            // The first that so many rows do not exceed.
            let wanted = (rows * hundredths).div_ceil(100);
            let mut counted = 0;
            let found = lags.iter().find(|(_, count)| {
                counted += **count;
                counted >= wanted
            });
            found.map_or(max, |(lag, _)| *lag)
        };
        Some(Self { p50: at(50), p95: at(95), max })
    }
}

/// The files that came with new rows behind a version, and when.
pub(super) async fn added_behind(table: &DeltaTable, version: u64) -> Result<BTreeMap<String, i64>, SqlError> {
    let newest = table.version().unwrap_or_default();
    let log_store: LogStoreRef = table.log_store();
    let mut added = BTreeMap::new();
    for version in version.max(newest.saturating_sub(MOST_VERSIONS)) + 1..=newest {
        // One that was deleted by now is too old to matter.
        let Some(entry) = log_store.read_commit_entry(version).await? else { continue };
        let actions = get_actions(version, &entry)?;
        let committed = actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => info.timestamp,
            _ => None,
        });
        let Some(committed) = committed else { continue };
        for action in actions {
            if let Action::Add(add) = action
                && add.data_change
            {
                added.insert(add.path, committed);
            }
        }
    }
    Ok(added)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_rows() {
        assert_eq!(LagQuantiles::of(&BTreeMap::new()), None);
        let one = LagQuantiles::of(&[(7, 3)].into()).expect("rows");
        assert_eq!((one.p50, one.p95, one.max), (7, 7, 7));
        let all = LagQuantiles::of(&[(1, 50), (2, 45), (90, 4), (500, 1)].into()).expect("rows");
        assert_eq!((all.p50, all.p95, all.max), (1, 2, 500));
        let two = LagQuantiles::of(&[(1, 1), (2, 1)].into()).expect("rows");
        assert_eq!((two.p50, two.p95), (1, 2));
    }
}
