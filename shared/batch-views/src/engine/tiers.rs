//! A table whose old folders are at another place: both as one.

use std::sync::Arc;

use deltalake::{
    DeltaTable,
    datafusion::{catalog::TableProvider, prelude::SessionContext},
};
use tidemill_lake_tables::{TIERED, complete_since, rows_of_both};

use super::{
    SqlEngine,
    as_of::{AsOf, go_back},
};
use crate::SqlError;

/// A table as plans read it.
pub(super) async fn provider(context: &SessionContext, table: &DeltaTable) -> Result<Arc<dyn TableProvider>, SqlError> {
    table.update_datafusion_session(&context.state())?;
    Ok(table.table_provider().await?)
}

/// The rows here, and those there that count. What is here was read first, so that a folder
/// that is moved meanwhile is seen once.
pub(super) async fn both(
    context: &SessionContext,
    here: &DeltaTable,
    there: &DeltaTable,
) -> Result<Arc<dyn TableProvider>, SqlError> {
    let rows_here = context.read_table(provider(context, here).await?)?;
    let rows_there = context.read_table(provider(context, there).await?)?;
    Ok(rows_of_both([(here, rows_here), (there, rows_there)]).await?.into_view())
}

impl SqlEngine {
    /// The same table at the other place, if there is one. As of a version of the table
    /// here it is the newest one: what was moved since then is still here in that version.
    pub(super) async fn cold_of(&self, path: &str, as_of: Option<AsOf>) -> Result<Option<DeltaTable>, SqlError> {
        let is_tiered = TIERED.iter().any(|table| table.path() == path);
        let Some(cold) = self.cold.as_ref().filter(|_| is_tiered) else { return Ok(None) };
        let Some(mut table) = cold.existing(path).await? else { return Ok(None) };
        let then = as_of.filter(|as_of| matches!(as_of, AsOf::Time(_)));
        match go_back(path, &mut table, then).await {
            Ok(()) => Ok(Some(table)),
            // It was not there yet.
            Err(SqlError::NoSuchVersion { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The day, since 1970, from which on a table has all of its rows, here and there.
    pub(crate) async fn complete_since(&self, path: &str) -> Result<Option<i64>, SqlError> {
        let here = self.lake.existing(path).await?;
        let there = self.cold_of(path, None).await?;
        let mut since = None;
        for table in here.iter().chain(&there) {
            since = since.max(complete_since(table).await?);
        }
        Ok(since)
    }
}
