//! All orders anew: their changes beside them in a table of their own, which are then
//! added up as a merge adds them.

use std::hash::{DefaultHasher, Hash, Hasher};

use deltalake::arrow::{
    array::{AsArray, BooleanArray, RecordBatch, StringArray},
    compute::{concat_batches, filter_record_batch},
};

use super::{FolderComparison, Months, TableRebuild};
use crate::{
    append::{Appender, TablePart},
    error::{LakeError, LakeErrorKind},
    kept::files,
    lake::Lake,
    progress::{AppId, Reached},
    read::{reader, with_columns},
    schema::arrow_schema,
    table::{LakeTable, TableProperties},
    tables::{OrderChange, SilverOrder},
    upsert::orders_of,
};

/// Where the changes are meanwhile.
const CHANGES: &str = "silver.next/order_changes";

/// Changes that are added up at once.
const ROWS_AT_ONCE: usize = 500_000;

/// All orders on their way.
pub struct OrderRebuild {
    lake: Lake,
    orders: TableRebuild,
    changes: Appender,
    chunks: i64,
    rows: usize,
}

impl OrderRebuild {
    /// Begins with the table as it is now.
    ///
    /// # Errors
    /// The store is away, or a table cannot be read.
    pub async fn begin(
        lake: &Lake,
        orders: LakeTable,
        properties: &TableProperties,
        apps: impl IntoIterator<Item = AppId>,
    ) -> Result<Self, LakeError> {
        // What an earlier run has left.
        lake.clear(CHANGES).await?;
        let orders = TableRebuild::begin(orders, &Months::default(), apps).await?;
        let changes = LakeTable::open_or_make(lake.log_store(CHANGES)?, &OrderChange::TABLE, properties).await?;
        Ok(Self { lake: lake.clone(), orders, changes: Appender::new(changes, "raw_seq"), chunks: 0, rows: 0 })
    }

    /// How far the log was in the orders then.
    pub const fn reached(&self) -> &Reached {
        self.orders.reached()
    }

    /// As [`TableRebuild::reaches`].
    pub fn reaches(&mut self, ahead: Reached) {
        self.orders.reaches(ahead);
    }

    /// Adds changes.
    ///
    /// # Errors
    /// The store does not take them.
    pub async fn push(&mut self, rows: RecordBatch) -> Result<(), LakeError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.chunks += 1;
        self.rows += rows.num_rows();
        // Each is a writer of its own, of which nothing is there, and all of its rows are meant.
        let app = AppId::named(format!("{CHANGES}/{}", self.chunks));
        self.changes.append(&[TablePart { app, reaches: i64::MAX, rows }]).await?;
        Ok(())
    }

    /// Adds the changes up, and compares.
    ///
    /// # Errors
    /// A table cannot be read or written.
    pub async fn compare(&mut self) -> Result<Vec<FolderComparison>, LakeError> {
        self.compare_in_shares(ROWS_AT_ONCE).await
    }

    /// The same, with so many changes in memory.
    pub(super) async fn compare_in_shares(&mut self, rows_at_once: usize) -> Result<Vec<FolderComparison>, LakeError> {
        let known = self.changes.table().delta().clone();
        let table = self.lake.existing(CHANGES).await?.unwrap_or(known);
        let files = files(&table).await?;
        // All changes of an order are in one share of them.
        let shares = self.rows / rows_at_once.max(1) + 1;
        for share in 0..shares {
            let mut changes = Vec::new();
            for file in &files {
                for batch in reader(&table, &file.path).await? {
                    changes.push(share_of(&batch?, share, shares)?);
                }
            }
            let changes = concat_batches(&arrow_schema(&OrderChange::TABLE), &changes)?;
            for orders in orders_of(changes).await? {
                self.orders.push(with_columns(&orders, &arrow_schema(&SilverOrder::TABLE))?).await?;
            }
        }
        self.orders.compare().await
    }

    /// As [`TableRebuild::swap`].
    ///
    /// # Errors
    /// The store did not do it: the table is as it was.
    pub async fn swap(self) -> Result<Option<u64>, LakeError> {
        let swapped = self.orders.swap().await?;
        self.lake.clear(CHANGES).await?;
        Ok(swapped)
    }
}

fn missing(name: &str) -> LakeError {
    LakeError::new(LakeErrorKind::Internal, format!("there is no column {name}"))
}

/// The changes of orders that belong to a share.
fn share_of(changes: &RecordBatch, share: usize, shares: usize) -> Result<RecordBatch, LakeError> {
    let orders: Option<&StringArray> = changes.column_by_name("order_id").and_then(|column| column.as_string_opt());
    let is_in = |order: Option<&str>| {
        let mut hasher = DefaultHasher::new();
        order.hash(&mut hasher);
        Some(hasher.finish() % shares as u64 == share as u64)
    };
    let is_in: BooleanArray = orders.ok_or_else(|| missing("order_id"))?.iter().map(is_in).collect();
    Ok(filter_record_batch(changes, &is_in)?)
}
