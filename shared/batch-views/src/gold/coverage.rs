//! How far silver is, and how far it is in a table of gold.

use std::collections::BTreeMap;

use deltalake::{
    DeltaTable,
    arrow::{array::RecordBatch, util::display::array_value_to_string},
    datafusion::prelude::SessionContext,
    kernel::Transaction,
};
use serde::{Deserialize, Serialize};

use crate::SqlError;

/// What stands in place of a partition for rows that came out of the quarantine: their sequences
/// are old, and the number of their redrive is new.
const REDRIVES: i32 = -1;

/// By partition of the log, the last sequence of `RAW` of which rows are there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Coverage(BTreeMap<i32, i64>);

/// A value as a text.
pub(crate) fn text(batch: &RecordBatch, column: usize, row: usize) -> Result<String, SqlError> {
    Ok(array_value_to_string(batch.column(column), row)?)
}

impl Coverage {
    /// That of `silver.events`, as the session has it.
    pub(crate) async fn of_silver(context: &SessionContext) -> Result<Self, SqlError> {
        let mut sql = "SELECT partition, max(raw_seq) AS raw_seq FROM silver.events GROUP BY partition".to_owned();
        let events = context.table("silver.events").await?;
        if events.schema().has_column_with_unqualified_name("redrive") {
            sql += &format!(
                " UNION ALL SELECT {REDRIVES}, max(redrive) FROM silver.events HAVING max(redrive) IS NOT NULL"
            );
        }
        let mut all = BTreeMap::new();
        for batch in context.sql(&sql).await?.collect().await? {
            for row in 0..batch.num_rows() {
                let number = |column| text(&batch, column, row);
                if let (Ok(partition), Ok(raw_seq)) = (number(0)?.parse(), number(1)?.parse()) {
                    all.insert(partition, raw_seq);
                }
            }
        }
        Ok(Self(all))
    }

    /// By partition of the log.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = (i32, i64)> {
        self.0.iter().map(|(partition, raw_seq)| (*partition, *raw_seq)).filter(|(partition, _)| *partition != REDRIVES)
    }

    /// A condition of SQL for the rows of `silver` that are here.
    pub(crate) fn within(&self, silver: &Self) -> String {
        let part = |(partition, raw_seq)| format!("\"partition\" = {partition} AND \"raw_seq\" <= {raw_seq}");
        let parts: Vec<_> = self.sequences().map(part).collect();
        let parts = if parts.is_empty() { "FALSE".into() } else { parts.join(" OR ") };
        // Without such rows, silver may have no column that says so.
        if !silver.0.contains_key(&REDRIVES) {
            return parts;
        }
        let redrives = self.0.get(&REDRIVES).copied().unwrap_or_default();
        format!("\"redrive\" IS NULL AND ({parts}) OR \"redrive\" IS NOT NULL AND \"redrive\" <= {redrives}")
    }

    /// What a table says by this name, of the partitions that are here.
    pub(crate) async fn of_gold(&self, table: &DeltaTable, app: &str) -> Result<Self, SqlError> {
        let (state, log_store) = (table.snapshot()?, table.log_store());
        let mut all = BTreeMap::new();
        for partition in self.0.keys() {
            let version = state.transaction_version(log_store.as_ref(), name(app, *partition)).await?;
            all.extend(version.map(|version| (*partition, version)));
        }
        Ok(Self(all))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A condition of SQL for the rows that are here and not in `other`.
    pub(crate) fn behind(&self, other: &Self) -> Option<String> {
        let new = self.0.iter().filter_map(|(partition, raw_seq)| {
            let known = other.0.get(partition).copied().unwrap_or_default();
            (*raw_seq > known).then(|| match *partition {
                REDRIVES => format!("\"redrive\" > {known}"),
                _ => format!("\"partition\" = {partition} AND \"raw_seq\" > {known}"),
            })
        });
        let new: Vec<_> = new.collect();
        (!new.is_empty()).then(|| new.join(" OR "))
    }

    /// What says so in a commit.
    pub(super) fn transactions(&self, app: &str) -> Vec<Transaction> {
        self.0.iter().map(|(partition, raw_seq)| Transaction::new(name(app, *partition), *raw_seq)).collect()
    }
}

fn name(app: &str, partition: i32) -> String {
    format!("{app}/{partition}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_asked_for() {
        let silver = Coverage([(0, 7), (1, 3), (2, 1)].into());
        let gold = Coverage([(0, 5), (1, 3)].into());
        let new = silver.behind(&gold).expect("is behind");
        assert_eq!(new, "\"partition\" = 0 AND \"raw_seq\" > 5 OR \"partition\" = 2 AND \"raw_seq\" > 0");
        assert_eq!(silver.behind(&silver), None);
        let redriven = Coverage([(REDRIVES, 2), (0, 5)].into());
        assert_eq!(redriven.behind(&gold).as_deref(), Some("\"redrive\" > 0"));
    }

    #[test]
    fn rows_out_of_the_quarantine_are_there_by_their_redrives() {
        let gold = Coverage([(0, 5)].into());
        let sequences = "\"partition\" = 0 AND \"raw_seq\" <= 5";
        assert_eq!(gold.within(&Coverage([(0, 7)].into())), sequences);
        let silver = Coverage([(REDRIVES, 2), (0, 7)].into());
        let of_redrives = |known: i64| {
            format!("\"redrive\" IS NULL AND ({sequences}) OR \"redrive\" IS NOT NULL AND \"redrive\" <= {known}")
        };
        assert_eq!(gold.within(&silver), of_redrives(0), "gold has none of them");
        assert_eq!(Coverage([(REDRIVES, 1), (0, 5)].into()).within(&silver), of_redrives(1));
        assert_eq!(silver.sequences().collect::<Vec<_>>(), [(0, 7)], "a redrive is no partition");
    }
}
