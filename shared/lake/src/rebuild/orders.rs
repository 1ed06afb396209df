//! All orders anew: their changes beside them in a table of their own, which are then
//! added up as a merge adds them.

use std::sync::Arc;

use deltalake::{
    arrow::array::RecordBatch,
    datafusion::{
        execution::{memory_pool::FairSpillPool, runtime_env::RuntimeEnvBuilder},
        prelude::{SessionConfig, SessionContext},
    },
};
use futures::TryStreamExt;

use super::{FolderComparison, Months, TableRebuild};
use crate::{
    append::{Appender, TablePart},
    error::LakeError,
    lake::Lake,
    progress::{AppId, Reached},
    schema::arrow_schema,
    table::{LakeTable, TableProperties},
    tables::OrderChange,
    upsert::orders_of_changes,
};

/// Where the changes are meanwhile.
const CHANGES: &str = "silver.next/order_changes";

/// All orders on their way.
pub struct OrderRebuild {
    lake: Lake,
    orders: TableRebuild,
    changes: Appender,
    chunks: i64,
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
        let orders = TableRebuild::begin(orders, Months::default(), apps).await?;
        let changes = LakeTable::open_or_make(lake.log_store(CHANGES)?, &OrderChange::TABLE, properties).await?;
        Ok(Self { lake: lake.clone(), orders, changes: Appender::new(changes, "raw_seq"), chunks: 0 })
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
        // Each is a writer of its own, of which nothing is there.
        let app = AppId::named(format!("{CHANGES}/{}", self.chunks));
        self.changes.append(&[TablePart { app, reaches: 1, rows }]).await?;
        Ok(())
    }

    /// Adds the changes up, within so many bytes of memory, and compares.
    ///
    /// # Errors
    /// A table cannot be read or written.
    pub async fn compare(&mut self, memory: usize) -> Result<Vec<FolderComparison>, LakeError> {
        let pool = Arc::new(FairSpillPool::new(memory));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
        let context = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
        let changes = self.changes.table().delta();
        let changes = self.lake.existing(CHANGES).await?.unwrap_or_else(|| changes.clone());
        changes.update_datafusion_session(&context.state())?;
        context.register_table("changes", changes.table_provider().await?)?;
        let mut rows = context.sql(&orders_of_changes()).await?.execute_stream().await?;
        let schema = arrow_schema(&crate::tables::SilverOrder::TABLE);
        while let Some(batch) = rows.try_next().await? {
            let columns = schema.fields().iter().map(|field| {
                let column = batch.column_by_name(field.name());
                let missing =
                    || crate::error::LakeError::new(crate::LakeErrorKind::Internal, format!("no {}", field.name()));
                Ok::<_, LakeError>(deltalake::arrow::compute::cast(column.ok_or_else(missing)?, field.data_type())?)
            });
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            self.orders.push(RecordBatch::try_new(schema.clone(), columns)?).await?;
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
