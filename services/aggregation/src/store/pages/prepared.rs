//! A checkpoint's pages, from what changed to what is committed.

use sqlx::AnyConnection;
use tidemill_store::Error as StoreError;
use tokio::sync::MutexGuard;

use super::{
    Pages,
    fresh::FreshCells,
    takeover::take_over,
    write::{PagePlan, PlannedRows, write},
};
use crate::fold::changes::PartitionChanges;

/// What is known before the transaction begins.
pub(in crate::store) struct PreparedPages<'p> {
    pages: &'p Pages,
    plan: PreparedPlan,
    /// What ended before the first time and was told of before the second is not
    /// kept, if anything is not.
    kept: Option<(i64, i64)>,
    /// Held until it is known where everything is.
    moving: Option<MutexGuard<'p, ()>>,
}

enum PreparedPlan {
    Pages(PagePlan),
    /// There are rows of an earlier release, from this end of a window on.
    WithRows(i64),
}

/// Pages that are written, and not committed yet.
pub(in crate::store) struct WrittenPages<'p> {
    pages: &'p Pages,
    rows: PlannedRows,
    rows_from: Option<i64>,
    moving: Option<MutexGuard<'p, ()>>,
}

impl Pages {
    /// Works out where what changed goes.
    pub(in crate::store) async fn prepare(
        &self,
        changes: &PartitionChanges,
        told_before: Option<i64>,
    ) -> Result<PreparedPages<'_>, StoreError> {
        let kept = changes.forgotten_before.map(|ended| ended.millis()).zip(told_before);
        // The guard of the directory is not held while others are waited for.
        let rows_from = self.directory().rows_from;
        if let Some(from) = rows_from {
            let moving = Some(self.moves.lock().await);
            return Ok(PreparedPages { pages: self, plan: PreparedPlan::WithRows(from), kept, moving });
        }
        let plan = self.plan(&FreshCells::of(changes)?, kept);
        let moving = if plan.has_moves(self.rules) { Some(self.moves.lock().await) } else { None };
        Ok(PreparedPages { pages: self, plan: PreparedPlan::Pages(plan), kept, moving })
    }
}

impl<'p> PreparedPages<'p> {
    /// Writes it, in the checkpoint's transaction.
    pub(in crate::store) async fn write(
        self,
        connection: &mut AnyConnection,
        changes: &PartitionChanges,
    ) -> Result<WrittenPages<'p>, StoreError> {
        let Self { pages, plan, kept, moving } = self;
        let (plan, rows_from) = match plan {
            PreparedPlan::Pages(plan) => (plan, None),
            PreparedPlan::WithRows(from) => {
                let (cells, rows_from) = take_over(connection, changes, from, pages.rules.rows_taken_over).await?;
                (pages.plan(&cells, kept), rows_from)
            }
        };
        let rows = write(connection, changes.partition, plan, pages.rules).await?;
        Ok(WrittenPages { pages, rows, rows_from, moving })
    }
}

impl WrittenPages<'_> {
    /// It is committed: from here on it is found where it is.
    pub(in crate::store) fn committed(self) {
        let mut directory = self.pages.directory();
        directory.apply(self.rows.changes, self.rows.next);
        directory.rows_from = self.rows_from;
        drop(directory);
        drop(self.moving);
    }
}
